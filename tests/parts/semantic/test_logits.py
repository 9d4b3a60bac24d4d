"""From the logits of pixels to one loss."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cvzoo.parts.semantic.logits import PixelLossConfig, best_planes, pixel_loss
from cvzoo.structures import IGNORE

Pixels = tuple[Tensor, Tensor, Tensor]
"""(N, K, H, W) logits, (N, H, W) labels, and the cross-entropy of each pixel."""


@pytest.fixture
def pixels() -> Pixels:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, generator=generator)
    labels = torch.randint(3, (2, 4, 5), generator=generator, dtype=torch.uint8)
    labels[0, 0] = IGNORE
    return logits, labels, F.cross_entropy(logits, labels.long(), ignore_index=IGNORE, reduction="none")


def test_the_mean_counts_ignored_pixels_or_not(pixels: Pixels) -> None:
    logits, labels, loss = pixels
    torch.testing.assert_close(pixel_loss(logits, labels, PixelLossConfig()), loss.sum() / 40)
    labelled = PixelLossConfig(count_ignored=False)
    torch.testing.assert_close(pixel_loss(logits, labels, labelled), loss.sum() / 35)


def test_the_hardest_pixels(pixels: Pixels) -> None:
    logits, labels, loss = pixels
    hardest = PixelLossConfig(hardest=0.2)
    torch.testing.assert_close(pixel_loss(logits, labels, hardest), loss.flatten().sort().values[-8:].mean())
    hardest = replace(hardest, count_ignored=False)
    torch.testing.assert_close(pixel_loss(logits, labels, hardest), loss.flatten().sort().values[-7:].mean())


@pytest.mark.parametrize("count_ignored", [True, False])
@pytest.mark.parametrize("hardest", [1.0, 0.2])
def test_nothing_labelled_is_no_loss(pixels: Pixels, count_ignored: bool, hardest: float) -> None:
    logits, config = pixels[0].requires_grad_(), PixelLossConfig(count_ignored=count_ignored, hardest=hardest)
    loss = pixel_loss(logits, torch.full((2, 4, 5), IGNORE), config)
    assert loss == 0
    loss.backward()
    assert logits.grad is not None
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("at_once", [1, 3, 4, 7])
def test_the_best_of_many_planes_is_found_part_by_part(at_once: int) -> None:
    planes = torch.randint(4, (7, 5, 6)).float()  # many are equally high
    found = best_planes(planes.split(at_once))
    assert found.dtype == torch.uint8
    assert torch.equal(found, planes.argmax(dim=0).to(torch.uint8))
