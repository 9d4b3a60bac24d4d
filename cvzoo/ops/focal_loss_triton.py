"""The focal loss on CUDA: the logits are read once, and their gradient is written once.

M candidates, K classes; logits lie in memory as (M, K).
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from cvzoo.ops.launch_triton import blocks_of, launch, power_of_2

BLOCK = 4096
"""Logits that one program reads."""


@triton.jit
def _power(base, exponent, square: tl.constexpr):
    """Of numbers from 0 to 1."""
    return base * base if square else tl.exp(exponent * tl.log(tl.maximum(base, 1e-30)))


@triton.jit
def _loss(
    logits, labels, loss, grad, candidates, of_positives, of_negatives, gamma, ignored: tl.constexpr,
    square: tl.constexpr, classes: tl.constexpr, rows: tl.constexpr, columns: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * rows + tl.arange(0, rows)
    column = tl.arange(0, columns)[None, :]
    known = row < candidates
    place = row[:, None] * classes + column
    inside = known[:, None] & (column < classes)
    label = tl.load(labels + row, known, ignored)[:, None]
    x = tl.load(logits + place, inside, 0.0).to(tl.float32)
    p = tl.sigmoid(x)
    of_background = tl.maximum(x, 0.0) + tl.log(1 + tl.exp(-tl.abs(x)))  # softplus(x), of an object softplus(-x)
    of_object = of_background - x
    negative = tl.where(label == ignored, 0.0, of_negatives) * _power(p, gamma, square)
    positive = of_positives * _power(1 - p, gamma, square)
    is_object = column == label
    value = tl.where(is_object, positive * of_object, negative * of_background)
    slope = tl.where(
        is_object,
        -positive * (gamma * p * of_object + 1 - p),
        negative * (gamma * (1 - p) * of_background + p),
    )
    tl.store(grad + place, slope, inside)
    tl.store(loss + row, tl.sum(tl.where(inside, value, 0.0), axis=1), known)


def loss_and_gradient(
    logits_MK: Tensor, labels_M: Tensor, weights: tuple[float, float], gamma: float, ignored: int
) -> tuple[Tensor, Tensor]:
    """Of each candidate (M,) in float32; and by each logit (M, K), in its dtype. `weights` of positives, negatives."""
    logits_MK = logits_MK.contiguous()
    candidates, classes = logits_MK.shape
    loss_M = logits_MK.new_empty(candidates, dtype=torch.float32)
    grad_MK = torch.empty_like(logits_MK)
    columns = power_of_2(classes)
    rows = max(BLOCK // columns, 1)
    if logits_MK.numel():
        tensors = logits_MK, labels_M.contiguous(), loss_M, grad_MK
        constants = {"ignored": ignored, "square": gamma == 2, "classes": classes, "rows": rows, "columns": columns}
        grid = (blocks_of(candidates, rows),)
        launch(_loss, grid, *tensors, candidates, *map(float, weights), float(gamma), warps=8, **constants)
    return loss_M, grad_MK
