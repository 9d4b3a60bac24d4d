"""What is done to pixels alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from cvzoo.data.config import Data
from cvzoo.data.damage import blurred, cutout, damaged
from cvzoo.data.shapes import draw
from cvzoo.structures import IGNORE, Sample


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
def test_blur_is_a_gaussians_within_two_grey_levels(sigma: float) -> None:
    sample = draw(90, 120, 5, 1)
    reach = torch.arange(-8, 9).float()
    bell = torch.exp(-(reach**2) / (2 * sigma**2))
    kernel = torch.outer(bell, bell) / bell.sum() ** 2
    padded = F.pad(sample.image.float()[:, None], (8, 8, 8, 8), mode="replicate")
    exact = F.conv2d(padded, kernel[None, None])[:, 0]
    assert float((blurred(sample, sigma).image - exact).abs().mean()) < 2


def test_greyscale_has_no_colour_and_nothing_is_moved() -> None:
    sample = draw(50, 60, 4, 2, masks=True)
    before = sample.image.clone()
    grey = damaged(sample, Data(greyscale=1.0), rng(0))
    assert torch.equal(grey.image[0], grey.image[2])
    assert grey.target is sample.target
    assert torch.equal(sample.image, before)
    assert damaged(sample, Data(), rng(0)) is sample


@settings(max_examples=30)
@given(st.integers(40, 90), st.integers(40, 90), st.integers(0, 1000))
def test_cutout_hides_one_rectangle(height: int, width: int, seed: int) -> None:
    sample = draw(height, width, 5, seed, label_maps=True)
    before = sample.target.label_map
    assert before is not None
    found = cutout(sample, rng(seed), 0.1)
    after = found.target.label_map
    assert after is not None
    hidden = (after == IGNORE) & (before != IGNORE) | (after != before)
    changed = (found.image != sample.image).any(0)
    assert torch.equal(changed & (after != IGNORE), torch.zeros_like(changed))
    rows, columns = torch.where(changed | hidden)
    area = float((rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1)) / (height * width)
    assert 0.015 < area < 0.22
    again = cutout(sample, rng(seed), 0.1)
    assert torch.equal(again.image, found.image)


@pytest.mark.parametrize("min_visible", [0.0, 0.5])
def test_objects_that_a_cutout_hides_are_dropped(min_visible: float) -> None:
    for seed in range(30):
        sample: Sample = draw(80, 80, 6, seed, masks=True)
        found = cutout(sample, rng(seed), min_visible)
        noise = (found.image != sample.image).any(0)
        shares = [1 - noise[y1:y2, x1:x2].float().mean() for x1, y1, x2, y2 in sample.target.boxes.int().tolist()]
        kept = torch.tensor([bool(share >= min_visible) for share in shares], dtype=torch.bool)
        assert torch.equal(found.target.boxes, sample.target.boxes[kept])
        assert torch.equal(found.target.labels, sample.target.labels[kept])
        assert found.target.masks is not None
        assert len(found.target.masks) == int(kept.sum())


def test_probabilities() -> None:
    sample = replace(draw(40, 40, 2, 0))
    changed = [damaged(sample, Data(blur=0.3), rng(seed)) is not sample for seed in range(300)]
    assert 0.2 < np.mean(changed) < 0.4
