"""Losses per candidate; the models sum and normalise them. M candidates, K classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from cvzoo.ops.anchors import per_anchor
from cvzoo.ops.assigners import IGNORED
from cvzoo.ops.boxes import Weights, area, decode_boxes, encode_boxes
from cvzoo.ops.kernels import triton_kernels

BoxLoss = Literal["smooth_l1", "giou"]
"""On deltas, or on decoded boxes."""


class _FocalLoss(torch.autograd.Function):
    """Loss and gradient in one pass over the logits, keeping only the gradient.

    Written as autograd would, the loss of 200 000 anchors x 80 classes keeps a dozen tensors of 64 MB each. Here every
    logit is first treated as background, in place; then one entry of each candidate is looked at, and replaced where
    the candidate is positive: a GPU need not say which ones these are.
    """

    @staticmethod
    def forward(ctx: Any, logits_MK: Tensor, labels_M: Tensor, alpha: float | None, gamma: float) -> Tensor:
        weights = (1.0, 1.0) if alpha is None else (alpha, 1 - alpha)
        if (kernels := triton_kernels("focal_loss", logits_MK)) is not None:
            loss_M, grad_MK = kernels.loss_and_gradient(logits_MK, labels_M, weights, gamma, IGNORED)
            ctx.save_for_backward(grad_MK)
            return loss_M
        positive_weight, negative_weight = weights
        x = logits_MK.float()
        p = torch.sigmoid(x)
        softplus = F.softplus(x)
        modulator = p.square() if gamma == 2 else p.pow(gamma)
        modulator *= torch.where(labels_M == IGNORED, 0.0, negative_weight).unsqueeze(1)
        # d/dx of w p^g softplus(x) is w p^g (g (1 - p) softplus(x) + p); p's buffer turns into that gradient
        loss_MK = modulator * softplus
        grad_MK = softplus.mul_(gamma).mul_(1 - p).add_(p).mul_(modulator)
        positive_M1 = (labels_M >= 0).unsqueeze(1)
        column_M1 = labels_M.clamp(min=0).unsqueeze(1)
        x_M1 = x.gather(1, column_M1)
        p_M1, softplus_M1 = torch.sigmoid(x_M1), F.softplus(-x_M1)
        modulator_M1 = positive_weight * (1 - p_M1).pow(gamma)
        grad_M1 = -modulator_M1 * (gamma * p_M1 * softplus_M1 + 1 - p_M1)
        for of_all, of_positives in ((loss_MK, modulator_M1 * softplus_M1), (grad_MK, grad_M1)):
            # elsewhere the first entry is written as it is
            of_all.scatter_(1, column_M1, torch.where(positive_M1, of_positives, of_all[:, :1]))
        ctx.save_for_backward(grad_MK.to(logits_MK.dtype))
        return loss_MK.sum(dim=1)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor, None, None, None]:
        (grad_MK,) = ctx.saved_tensors
        return grad_MK * grad_outputs[0].unsqueeze(1).to(grad_MK.dtype), None, None, None


def focal_loss(logits_MK: Tensor, labels_M: Tensor, alpha: float | None = 0.25, gamma: float = 2.0) -> Tensor:
    """Sigmoid focal loss of each candidate, summed over its K classes: (M,) float32 (1708.02002, equation 5).

    `labels_M` holds a class in 0..K-1, or BACKGROUND (all classes are negatives) or IGNORED (no loss).
    `alpha` weights positives and 1 - alpha negatives; None weights both 1.
    """
    return _FocalLoss.apply(logits_MK, labels_M, alpha, gamma)  # type: ignore[return-value]


def focal_star_loss(logits_MK: Tensor, labels_M: Tensor, alpha: float | None = 0.25, gamma: float = 2.0) -> Tensor:
    """The focal loss FL* without a shift, summed over the K classes of each candidate: (M,) (1708.02002, appendix A).

    The cross-entropy of logits `gamma` times as steep, divided by `gamma`; the other arguments are `focal_loss`'s.
    """
    positive_weight, negative_weight = (1.0, 1.0) if alpha is None else (alpha, 1 - alpha)
    x = logits_MK.float()
    background_M = negative_weight * F.softplus(x, beta=gamma).sum(dim=1)
    x_M = x.gather(1, labels_M.clamp(min=0).unsqueeze(1)).squeeze(1)
    change_M = positive_weight * F.softplus(-x_M, beta=gamma) - negative_weight * F.softplus(x_M, beta=gamma)
    loss_M = background_M + torch.where(labels_M >= 0, change_M, 0)
    return torch.where(labels_M == IGNORED, 0, loss_M)


def smooth_l1(prediction: Tensor, target: Tensor, beta: float) -> Tensor:
    """Elementwise 0.5 d^2 / beta below beta, |d| - 0.5 beta above; beta 0 is L1 (Fast R-CNN, equation 3)."""
    if beta == 0:
        return (prediction - target).abs()
    return F.smooth_l1_loss(prediction, target, beta=beta, reduction="none")


def focal_loss_of_levels(
    logits: list[Tensor],
    labels_NM: Tensor,
    classes: int,
    alpha: float | None,
    gamma: float,
    loss: Callable[[Tensor, Tensor, float | None, float], Tensor] = focal_loss,
) -> Tensor:
    """(N,): a focal loss summed over the M candidates of each image.

    `logits` are L maps (N, A * K, H, W) of the M candidates; one level at a time, because all of them are large.
    """
    found = []
    for x, labels_NP in zip(logits, labels_NM.split([x[0].numel() // classes for x in logits], dim=1)):
        loss_P = loss(per_anchor(x, classes).flatten(0, 1), labels_NP.flatten(), alpha, gamma)
        found.append(loss_P.view(len(labels_NM), -1).sum(dim=1))
    return torch.stack(found).sum(dim=0)


def iou_loss(boxes_P4: Tensor, truth_P4: Tensor, kind: Literal["iou", "giou"]) -> Tensor:
    """(P,): -log IoU (UnitBox, 1608.01471, equation 1) or 1 - GIoU (1902.09630, algorithm 2)."""
    low = torch.maximum(boxes_P4[:, :2], truth_P4[:, :2])
    high = torch.minimum(boxes_P4[:, 2:], truth_P4[:, 2:])
    both = area((high - low).clamp(min=0))
    areas = [area(boxes[:, 2:] - boxes[:, :2]) for boxes in (boxes_P4, truth_P4)]
    union = areas[0] + areas[1] - both
    if kind == "giou":  # torchvision's generalized_box_iou_loss asks a GPU which boxes meet
        around = torch.maximum(boxes_P4[:, 2:], truth_P4[:, 2:]) - torch.minimum(boxes_P4[:, :2], truth_P4[:, :2])
        hull = area(around)
        return 1 - both / (union + 1e-7) + (hull - union) / (hull + 1e-7)
    return -(both / union.clamp(min=1e-6)).clamp(min=1e-6).log()


def centreness_of(distances_P4: Tensor) -> Tensor:
    """(P,): 1 in the middle of a box, 0 at its sides, from the distances to them (1904.01355, equation 3)."""
    left, top, right, bottom = distances_P4.unbind(dim=1)
    across = torch.minimum(left, right) / torch.maximum(left, right)
    down = torch.minimum(top, bottom) / torch.maximum(top, bottom)
    return (across * down).sqrt()


def box_loss(
    deltas_P4: Tensor, anchors_P4: Tensor, truth_P4: Tensor, kind: BoxLoss, weights: Weights, beta: float
) -> Tensor:
    """(P,): the loss between predicted deltas and the boxes they should lead to."""
    if kind == "giou":
        return iou_loss(decode_boxes(deltas_P4, anchors_P4, weights), truth_P4, "giou")
    return smooth_l1(deltas_P4.float(), encode_boxes(truth_P4, anchors_P4, weights), beta).sum(dim=1)
