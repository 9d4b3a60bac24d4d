"""The one thing an operator must know about other processes: normalisers and norms are those of the whole batch.

A loss divided by `mean_over_processes(count)`, averaged by DDP, equals the loss of one process with the whole batch.
The references divide by their own process' count instead; with one process the two are the same.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def processes() -> int:
    """Number of training processes."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def sum_over_processes(value: Tensor) -> Tensor:
    """Sum of a scalar over all training processes; itself in a single process."""
    if processes() == 1:
        return value
    total = value.detach().clone().float()
    dist.all_reduce(total)
    return total


def all_reduce_sum(value: Tensor) -> Tensor:
    """Sum of a tensor over all training processes, through which gradients flow back to every one of them."""
    return _AllReduceSum.apply(value) if processes() > 1 else value  # pyright: ignore[reportReturnType]


class _AllReduceSum(torch.autograd.Function):
    """Every process' loss depends on every process' value, so the gradients are added up, too."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        total = grad_outputs[0].clone()
        dist.all_reduce(total)
        return total


def mean_over_processes(value: Tensor) -> Tensor:
    """Mean of a scalar over all training processes; itself in a single process."""
    return sum_over_processes(value) / processes()


def moving_count(average: Tensor, count: Tensor, update: bool) -> Tensor:
    """The moving average of a count over all processes, as this process' share of it.

    With `update` the buffer `average` first takes `count` in: 0.9 of it and 0.1 of the count of the whole batch, at
    least 1 (detectron2, which counts its own process only).
    """
    if update:
        average.mul_(0.9).add_(0.1 * sum_over_processes(count).clamp(min=1))
    return average / processes()
