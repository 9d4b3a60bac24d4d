"""The way back of deep layer aggregation, against the same spelt out map by map."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from cvzoo.nn.dla_up import DLAUp, DLAUpConfig

CHANNELS = (4, 6, 8, 10)


def features() -> list[Tensor]:
    return [torch.randn(2, channels, 32 >> level, 48 >> level) for level, channels in enumerate(CHANNELS)]


def model() -> DLAUp:
    neck = DLAUpConfig(norm="frozen").build(CHANNELS)
    for name, parameter in neck.named_parameters():
        if "offset" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return neck.eval()


@torch.no_grad()
def test_each_step_brings_all_coarser_maps_to_the_next_finer_one() -> None:
    neck, (c2, c3, c4, c5) = model(), features()

    def added(step: int | None, place: int, coarse: Tensor, fine: Tensor) -> Tensor:
        """What a step makes of its map at this place and of what it has already."""
        own = neck.last if step is None else neck.steps[step]
        parts = (getattr(own, name)[place] for name in ("project", "enlarge", "node"))  # type: ignore[index]
        project, enlarge, node = parts
        return node(enlarge(project(coarse)) + fine)

    c54 = added(0, 0, c5, c4)
    c43 = added(1, 0, c4, c3)
    c543 = added(1, 1, c54, c43)
    c32 = added(2, 0, c3, c2)
    c432 = added(2, 1, c43, c32)
    c5432 = added(2, 2, c543, c432)
    expected = added(None, 1, c54, added(None, 0, c543, c5432))
    found = neck([c2, c3, c4, c5])
    assert found.shape == (2, 4, 32, 48)
    assert neck.channels == 4
    torch.testing.assert_close(found, expected)


@torch.no_grad()
def test_each_channel_begins_as_a_bilinear_enlargement() -> None:
    for factor, enlarge in ((2, model().steps[0].enlarge[0]), (4, model().last.enlarge[1])):  # type: ignore[index]
        x = torch.randn(1, enlarge.in_channels, 6, 6)
        expected = F.interpolate(x, scale_factor=factor, mode="bilinear")
        inside = slice(factor, -factor)  # at the border the deconvolution adds nothing
        torch.testing.assert_close(enlarge(x)[..., inside, inside], expected[..., inside, inside])


@torch.no_grad()
def test_the_steps_may_end_at_a_coarser_and_wider_map() -> None:
    neck = DLAUpConfig(first_level=4, min_channels=17).build(CHANNELS).eval()
    assert neck.channels == 17
    assert neck(features()).shape == (2, 17, 8, 12)
    assert not any(name.startswith("widen") for name in DLAUpConfig().build(CHANNELS).state_dict())
    given = features()
    for number in range(4):  # the coarser maps count, and only they
        changed = [x + (level == number) for level, x in enumerate(given)]
        assert torch.equal(neck(given), neck(changed)) == (number < 2)
