"""The focal loss with its hand-written gradient, beside autograd on the formula of the paper."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

from cvzoo.ops.assigners import BACKGROUND, IGNORED
from cvzoo.ops.losses import focal_loss, focal_star_loss, smooth_l1


def reference(logits: Tensor, labels: Tensor, alpha: float | None, gamma: float) -> Tensor:
    target = torch.zeros_like(logits)
    target[labels >= 0, labels[labels >= 0]] = 1
    loss = sigmoid_focal_loss(logits, target, -1 if alpha is None else alpha, gamma)
    return loss.sum(dim=1) * (labels != IGNORED)


@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2.0), (None, 2.0), (0.4, 1.5), (0.25, 0.0)])
def test_focal_loss_and_gradient(alpha: float | None, gamma: float) -> None:
    ours = (torch.randn(64, 5) * 8).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    labels = torch.randint(IGNORED, 5, (64,))
    weights = torch.rand(64)
    (focal_loss(ours, labels, alpha, gamma) * weights).sum().backward()
    (reference(theirs, labels, alpha, gamma) * weights).sum().backward()
    torch.testing.assert_close(
        focal_loss(ours.detach(), labels, alpha, gamma), reference(theirs.detach(), labels, alpha, gamma)
    )
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("focal", [focal_loss, focal_star_loss])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_focal_losses_of_extreme_logits_are_finite(dtype: torch.dtype, focal: Callable[..., Tensor]) -> None:
    logits = torch.tensor([[-1e4, 1e4, 0.0]] * 3, dtype=dtype, requires_grad=True)
    loss = focal(logits, torch.tensor([0, BACKGROUND, IGNORED]))
    loss.sum().backward()
    assert loss.isfinite().all()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert loss[2] == 0
    assert (logits.grad[2] == 0).all()


def test_smooth_l1_is_l1_at_beta_0_and_continuous() -> None:
    d = torch.linspace(-2, 2, 41)
    assert torch.equal(smooth_l1(d, torch.zeros_like(d), 0.0), d.abs())
    beta = smooth_l1(torch.tensor([0.5 - 1e-6, 0.5 + 1e-6]), torch.zeros(2), 0.5)
    assert beta[0] == pytest.approx(beta[1].item(), abs=1e-5)
