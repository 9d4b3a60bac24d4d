"""The loss of heat maps (1808.01244, equation 1; 1904.07850, equation 1)."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


class _HeatmapLoss(torch.autograd.Function):
    """Loss and gradient in one pass over the logits, keeping only the gradient.

    Every cell is first treated as background, in place; then the few peaks are replaced.
    """

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        target: Tensor,
        peak: tuple[Tensor, ...],
        alpha: float,
        gamma: float,
        clamp: float,
        epsilon: float,
    ) -> Tensor:
        x = logits.float().contiguous()  # as the target is: mixed layouts are slow
        if clamp:
            limit = math.log((1 - clamp) / clamp)
            outside = x.abs() > limit
            x = x.clamp(-limit, limit)
        p = torch.sigmoid(x)
        softplus = -(1 - p + epsilon).log() if epsilon else F.softplus(x)
        weight = (1 - target).square_().pow_(gamma / 2).mul_(p.square() if alpha == 2 else p.pow(alpha))
        loss = weight * softplus
        p_peak = p[peak]
        softplus_peak = -(p_peak + epsilon).log() if epsilon else F.softplus(-x[peak])
        # d/dx of w p^a softplus(x) is w p^a (a (1 - p) softplus(x) + p); softplus' buffer turns into that gradient
        slope = p * ((1 - p) / (1 - p + epsilon)) if epsilon else p  # 0 where a rounded p is 1
        grad = softplus.mul_(1 - p).mul_(alpha).add_(slope).mul_(weight)
        # the peaks' own: (1 - p)^a softplus(-x)
        weight_peak = (1 - p_peak).pow(alpha)
        loss[peak] = weight_peak * softplus_peak
        grad[peak] = -weight_peak * (alpha * p_peak * softplus_peak + 1 - p_peak)
        if clamp:
            grad.masked_fill_(outside, 0)  # pyright: ignore[reportPossiblyUnboundVariable]
        ctx.save_for_backward(grad.to(logits.dtype))
        return loss.sum()

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor, None, None, None, None, None, None]:
        (grad,) = ctx.saved_tensors
        return grad * grad_outputs[0].to(grad.dtype), None, None, None, None, None, None


def heatmap_loss(
    logits: Tensor,
    target: Tensor,
    peak: tuple[Tensor, ...],
    alpha: float = 2.0,
    gamma: float = 4.0,
    clamp: float = 0.0,
    epsilon: float = 0.0,
) -> Tensor:
    """Penalty-reduced focal loss, summed over all cells, in float32.

    Cells where the target is 1 are peaks: -(1 - p)^alpha log p; `peak` is their index, which a GPU would have to search
    for. All others are background, the less so the nearer they are to a peak: -(1 - target)^gamma p^alpha log(1 - p).
    The probability p is kept within [clamp, 1 - clamp]. With `epsilon` the logarithms are those of rounded
    probabilities plus epsilon (mmdetection: 1e-12); without, they are exact.
    """
    return _HeatmapLoss.apply(logits, target, peak, alpha, gamma, clamp, epsilon)  # type: ignore[return-value]


def peaks_in(target: Tensor) -> Tensor:
    """() float32: the number of peaks, by which the references divide the loss."""
    return (target == 1).sum().float()
