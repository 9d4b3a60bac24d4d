"""Between the program and the device it computes on, with as few waits as can be.

A GPU works off a queue, well behind the program. What the program asks of it, it learns once the queue is empty: a
number, how many rows are true. `torch.tensor(numbers, device=...)` waits for that, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor


def on_device(numbers: Any, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """Numbers of the program as a tensor on the device; the program does not wait."""
    return torch.tensor(numbers, dtype=dtype).to(device, non_blocking=True)


def constant(numbers: Any, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """`on_device` of numbers, in tuples, that are the same step after step: they stay there. Do not write into them."""
    return (on_device if torch.compiler.is_compiling() else _kept_on_device)(numbers, device, dtype)


_kept_on_device = lru_cache(maxsize=256)(on_device)


def numbered(counts: Sequence[int], device: torch.device) -> Tensor:
    """(sum of the counts,) int64: 0 as often as the first of them says, then 1 as the second says, and so on."""
    return on_device(np.repeat(np.arange(len(counts)), counts), device)


def rows_where(masks: Sequence[Tensor]) -> list[Tensor]:
    """Of each mask (M,) the rows (R,) where it is true, rising. The program waits once, for all masks."""
    if not masks:
        return []
    if torch.compiler.is_exporting():
        return [torch.where(mask)[0] for mask in masks]
    counts = torch.stack([mask.count_nonzero() for mask in masks]).tolist()
    return [torch.nonzero_static(mask, size=count).squeeze(1) for mask, count in zip(masks, counts)]
