"""RoIAlign as weighted bags of cells is torchvision's RoIAlign, gradient included."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.ops import roi_align

from cvzoo.nn.roi_pool import RoIPoolConfig, flat, roi_levels, roi_pool

STRIDES = (4, 8, 16)
coordinate = st.floats(-30, 150, width=32)


def maps(seed: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, 5, 96 // s, 128 // s, generator=generator).to(dtype).requires_grad_() for s in STRIDES]


def expected(features: list[Tensor], boxes: list[Tensor], config: RoIPoolConfig) -> Tensor:
    """One region at a time."""
    pooled = []
    for n, of_image in enumerate(boxes):
        for box in of_image:
            level = int(roi_levels(box[None], config))
            roi = torch.cat([torch.tensor([float(n)]), box])[None]
            scale = 1 / config.strides[level]
            pooled.append(roi_align(features[level], roi, config.size, scale, config.sampling, config.aligned))
    return torch.cat(pooled)


@settings(max_examples=40)
@given(
    corners=st.lists(st.tuples(coordinate, coordinate, coordinate, coordinate), min_size=1, max_size=6),
    size=st.sampled_from([2, 7]),
    sampling=st.sampled_from([0, 2]),
    aligned=st.booleans(),
)
def test_values_and_gradients_are_torchvisions(
    corners: list[tuple[float, ...]], size: int, sampling: int, aligned: bool
) -> None:
    config = RoIPoolConfig(size=size, strides=STRIDES, sampling=sampling, aligned=aligned)
    boxes_R4 = torch.tensor(corners)
    boxes_R4 = torch.cat([torch.minimum(boxes_R4[:, :2], boxes_R4[:, 2:]), boxes_R4.view(-1, 2, 2).amax(1)], dim=1)
    boxes = [boxes_R4[::2], boxes_R4[1::2]]
    ours, theirs = maps(0), maps(0)
    found, wanted = roi_pool(ours, *flat(boxes), config), expected(theirs, boxes, config)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
    upstream = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(1))
    found.backward(upstream)
    wanted.backward(upstream)
    for mine, other in zip(ours, theirs):
        grad = torch.zeros_like(other) if other.grad is None else other.grad
        torch.testing.assert_close(mine.grad, grad, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("size", "level", "expected"), [(224, 4, 1), (112, 4, 2), (224, 3, 0), (56, 2, 1), (1, 9, 2)])
def test_the_canonical_box_decides_the_level(size: int, level: int, expected: int) -> None:
    """A box with sides of 150 pixels."""
    config = RoIPoolConfig(strides=STRIDES, canonical_size=size, canonical_level=level)
    assert roi_levels(torch.tensor([[10.0, 20.0, 160.0, 170.0]]), config).tolist() == [expected]


def test_no_boxes_give_no_regions() -> None:
    pooled = roi_pool(maps(0), *flat([torch.zeros(0, 4), torch.zeros(0, 4)]), RoIPoolConfig(size=3, strides=STRIDES))
    assert pooled.shape == (0, 5, 3, 3)


@pytest.mark.parametrize("sampling", [0, 2])
def test_bfloat16_keeps_the_place(sampling: int) -> None:
    """The features are rounded, the boxes are not: a bfloat16 coordinate beyond 256 is off by pixels."""
    config = RoIPoolConfig(size=7, strides=STRIDES, sampling=sampling)
    boxes = [torch.tensor([[101.3, 50.7, 125.1, 90.2]]), torch.tensor([[3.1, 2.2, 100.4, 94.9]])]
    exact = roi_pool(maps(0), *flat(boxes), config)
    rounded = roi_pool(maps(0, torch.bfloat16), *flat(boxes), config)
    assert rounded.dtype == torch.bfloat16
    torch.testing.assert_close(rounded.float(), exact, atol=0.05, rtol=0.02)
