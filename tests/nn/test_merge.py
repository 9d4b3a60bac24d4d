"""The levels of a pyramid in one map."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from cvzoo.nn.merge import PyramidMerge


def test_levels_are_convolved_and_doubled_in_turn() -> None:
    merge = PyramidMerge(4, 6, 5, (0, 1, 2))
    maps = [torch.randn(2, 4, 16 >> level, 24 >> level) for level in range(3)]
    convs = [list(level) for level in merge.levels]  # type: ignore[call-overload]
    assert [len(level) for level in convs] == [1, 1, 2]

    def doubled(x: torch.Tensor) -> torch.Tensor:
        return F.interpolate(x, scale_factor=2, mode="bilinear")

    finest, finer = convs[0][0](maps[0]), doubled(convs[1][0](maps[1]))
    coarse = doubled(convs[2][1](doubled(convs[2][0](maps[2]))))
    torch.testing.assert_close(merge(maps), merge.out(finest + finer + coarse))


def test_a_level_of_an_odd_map_is_cut_to_the_finest() -> None:
    merge = PyramidMerge(4, 6, 5, (0, 1, 2))
    assert merge([torch.randn(1, 4, *size) for size in ((15, 9), (8, 5), (4, 3))]).shape == (1, 5, 15, 9)
