"""NMS of many groups at once keeps what torchvision's keeps of each."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.ops import nms

from cvzoo.ops import nms as ours


def crowd(images: int, boxes: int, seed: int) -> Tensor:
    """(N, P, 4): many that overlap, some twice, some without area."""
    generator = torch.Generator().manual_seed(seed)
    corner, side = 40 * torch.rand(2, images, boxes, 2, generator=generator)
    found = torch.cat([corner, corner + side], dim=-1)
    found[:, 1::7] = found[:, :1]
    found[:, 2::9, 2] = found[:, 2::9, 0]
    return found


@pytest.mark.parametrize("threshold", [0.3, 0.7])
def test_both_ways_keep_what_torchvision_keeps(threshold: float) -> None:
    boxes = [crowd(3, 60, seed=0), crowd(3, 11, seed=1), crowd(3, 0, seed=2)]
    valid = [torch.rand(level.shape[:2], generator=torch.Generator().manual_seed(3)) < 0.8 for level in boxes]
    expected = []
    for level, own in zip(boxes, valid):
        kept = torch.zeros_like(own)
        for n in range(3):
            rows = torch.where(own[n])[0]
            kept[n, rows[nms(level[n, rows], torch.linspace(1, 0, len(rows)), threshold)]] = True
        expected.append(kept)
    for found in (ours.suppress_levels(boxes, valid, threshold), ours._at_once(boxes, valid, threshold)):
        assert all(torch.equal(mine, wanted) for mine, wanted in zip(found, expected, strict=True))


def test_a_chain_longer_than_the_rounds_between_two_looks() -> None:
    """Each box overlaps the next one only, so that every second one stays, which the last box knows last."""
    start = torch.arange(50.0) * 6
    boxes = torch.stack([start, torch.zeros(50), start + 10, torch.full((50,), 10.0)], dim=1)[None]
    (kept,) = ours._at_once([boxes], [torch.ones(1, 50, dtype=torch.bool)], 0.2)
    assert kept[0].tolist() == [True, False] * 25
