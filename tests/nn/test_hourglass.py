"""Hourglass networks: their sizes, and what is summed where."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cvzoo.nn.hourglass import HourglassConfig

NARROW = HourglassConfig(stacks=3, stem_channels=4, channels=(8, 10, 12), blocks=(1, 2, 3), width=6)


@pytest.mark.parametrize("size", [(64, 64), (127, 255), (33, 50), (8, 8)])
def test_every_hourglass_gives_a_map_at_stride_4(size: tuple[int, int]) -> None:
    maps = NARROW.build().eval()(torch.rand(2, 3, *size))
    shape = (2, 6, -(-size[0] // 4), -(-size[1] // 4))
    assert [x.shape for x in maps] == [shape] * 3


def test_blocks_of_each_level() -> None:
    (first, *_) = NARROW.build().hourglasses
    inner = first.inner
    assert [len(part) for part in (first.past, first.down, first.up)] == [1, 1, 1]
    assert [len(part) for part in (inner.past, inner.down, inner.inner, inner.up)] == [2, 2, 3, 2]
    assert [block.conv2.out_channels for block in inner.down] == [12, 12]
    assert [block.conv2.out_channels for block in inner.up] == [12, 10]


def test_hourglasses_follow_each_other() -> None:
    """Between two of them the input and the output are added, each through a convolution of its own."""
    model = NARROW.build().eval()
    image = torch.rand(1, 3, 64, 64)
    x, found = model.stem(image), []
    for i in range(3):
        found.append(model.outputs[i](run(model.hourglasses[i], x)))
        if i < 2:
            x = model.merged[i]((model.from_input[i](x) + model.from_output[i](found[-1])).relu())
    for mine, expected in zip(model(image), found, strict=True):
        torch.testing.assert_close(mine, expected)


def run(level: object, x: Tensor) -> Tensor:
    past, down, inner, up = (getattr(level, name) for name in ("past", "down", "inner", "up"))
    low = down(x)
    low = run(inner, low) if hasattr(inner, "inner") else inner(low)
    return past(x) + F.interpolate(up(low), scale_factor=2, mode="nearest")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": (8,), "blocks": (1,)}, "model.backbone.channels .* two levels or more"),
        ({"channels": (8, 8)}, "model.backbone.channels .* model.backbone.blocks"),
    ],
)
def test_what_cannot_be_built(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HourglassConfig(**options)


@pytest.mark.parametrize("norm", ["frozen", "group"])
def test_other_norms(norm) -> None:
    config = HourglassConfig(
        stacks=1, stem_channels=4, channels=(8, 8), blocks=(1, 1), width=4, norm=norm, norm_groups=2
    )
    config.build()(torch.rand(1, 3, 32, 32))[0].sum().backward()
