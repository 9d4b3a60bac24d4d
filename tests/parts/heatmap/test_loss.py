"""The loss of heat maps against autograd on its formula."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cvzoo.parts.heatmap.loss import heatmap_loss, peaks_in


def by_formula(logits: Tensor, target: Tensor, alpha: float, gamma: float, clamp: float) -> Tensor:
    p = logits.sigmoid().clamp(clamp, 1 - clamp)
    peak = -((1 - p) ** alpha) * p.log()
    rest = -((1 - target) ** gamma) * p**alpha * (1 - p).log()
    return torch.where(target == 1, peak, rest).sum()


@pytest.mark.parametrize("alpha", [2.0, 1.5])
@pytest.mark.parametrize("gamma", [4.0, 2.0])
@pytest.mark.parametrize("clamp", [0.0, 1e-4, 0.2])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_equals_the_formula(alpha: float, gamma: float, clamp: float, memory_format: torch.memory_format) -> None:
    torch.manual_seed(0)
    logits = (6 * torch.randn(2, 3, 5, 7, dtype=torch.float64)).float().contiguous(memory_format=memory_format)
    target = torch.rand(2, 3, 5, 7)
    target[torch.rand_like(target) < 0.1] = 1
    mine, other = logits.clone().requires_grad_(), logits.double().requires_grad_()
    peak = tuple(torch.cat([x, x[:2]]) for x in torch.where(target == 1))  # objects of a class may share a cell
    loss, expected = (
        heatmap_loss(mine, target, peak, alpha, gamma, clamp),
        by_formula(other, target, alpha, gamma, clamp),
    )
    (3 * loss).backward()
    (3 * expected).backward()
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-6)
    assert mine.grad is not None
    assert other.grad is not None
    torch.testing.assert_close(mine.grad.double(), other.grad, rtol=1e-4, atol=1e-6)
    assert peaks_in(target) == (target == 1).sum()


def test_extreme_logits_are_finite() -> None:
    logits = torch.tensor([-200.0, 200, -200, 200]).requires_grad_()
    loss = heatmap_loss(logits, torch.tensor([1.0, 1, 0, 0.5]), (torch.tensor([0, 1]),))
    loss.backward()
    assert loss.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
