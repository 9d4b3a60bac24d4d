"""The one thing an operator must know about other processes."""

from __future__ import annotations

import torch.distributed as dist
from torch import Tensor


def mean_over_processes(value: Tensor) -> Tensor:
    """Mean of a scalar over all training processes; itself in a single process.

    A loss divided by this normaliser, averaged by DDP, equals the loss of one process with the whole batch. The
    references divide by their own process' count instead; with one process the two are the same.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return value
    total = value.detach().clone().float()
    dist.all_reduce(total)
    return total / dist.get_world_size()
