"""Soft-NMS against its definition, box by box."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.ops import batched_nms

from cvzoo.ops.soft_nms import SoftNMSConfig, soft_nms


def iou(a: list[float], b: list[float], extent: float) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0]) + extent
    height = min(a[3], b[3]) - max(a[1], b[1]) + extent
    both = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0] + extent) * (box[3] - box[1] + extent) for box in (a, b)]
    return both / (sum(areas) - both)


def by_definition(boxes: Tensor, scores: Tensor, labels: Tensor, config: SoftNMSConfig) -> list[tuple[int, float]]:
    """Index and score of what is kept, best first."""
    left = dict(enumerate(scores.tolist()))
    kept = []
    while left:
        best = max(left, key=lambda i: left[i])
        kept.append((best, left.pop(best)))
        for i in list(left):
            if labels[i] == labels[best]:
                overlap = iou(boxes[i].tolist(), boxes[best].tolist(), config.extent)
                beyond = overlap >= config.iou_threshold
                factors = {
                    "gaussian": math.exp(-(overlap**2) / config.sigma),
                    "linear": 1 - overlap if beyond else 1.0,
                    "hard": 0.0 if beyond else 1.0,
                }
                left[i] *= factors[config.method]
            if left[i] < config.min_score:
                del left[i]
    return kept


def drawn(count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(seed)
    corner = torch.rand(count, 2) * 30
    boxes = torch.cat([corner, corner + 1 + torch.rand(count, 2) * 30], dim=1)
    return boxes, torch.rand(count), torch.randint(0, 2, (count,))


@settings(max_examples=40)
@given(
    count=st.integers(0, 40),
    limit=st.integers(1, 50),
    method=st.sampled_from(["gaussian", "linear", "hard"]),
    threshold=st.sampled_from([0.3, 0.5]),
    sigma=st.sampled_from([0.2, 0.5]),
    min_score=st.sampled_from([0.0, 0.001, 0.2]),
    extent=st.sampled_from([0.0, 1.0]),
    seed=st.integers(0, 99),
)
def test_keeps_what_the_definition_keeps(
    count: int, limit: int, method, threshold: float, sigma: float, min_score: float, extent: float, seed: int
) -> None:
    boxes, scores, labels = drawn(count, seed)
    config = SoftNMSConfig(
        method=method, iou_threshold=threshold, sigma=sigma, min_score=max(min_score, 1e-9), extent=extent
    )
    expected = by_definition(boxes, scores, labels, config)[:limit]
    found, index = soft_nms(boxes, scores, config, limit, labels)
    assert index.tolist() == [i for i, _ in expected]
    torch.testing.assert_close(found, torch.tensor([score for _, score in expected]), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("threshold", [0.3, 0.6])
def test_the_hard_method_is_nms(threshold: float) -> None:
    boxes, scores, labels = drawn(60, seed=0)
    found, index = soft_nms(boxes, scores, SoftNMSConfig(method="hard", iou_threshold=threshold), 100, labels)
    assert torch.equal(index, batched_nms(boxes, scores, labels, threshold))
    assert torch.equal(found, scores[index])
