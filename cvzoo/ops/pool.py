"""Max pooling to half the size."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from packaging.version import Version
from torch import Tensor

SPLITS_BY_PARITY = Version(torch.__version__) < Version("2.14")
"""torch 2.11 traces a pooling with a stride for sizes of one parity alone, and refuses to export it for any size."""


def halved(x_NCHW: Tensor, kernel: int, padding: int = 0) -> Tensor:
    """`F.max_pool2d` of stride 2, also in exported graphs of any size."""
    if SPLITS_BY_PARITY and torch.compiler.is_exporting():
        every = F.max_pool2d(x_NCHW, kernel, stride=1, padding=padding)
        rows, columns = (torch.arange(0, side, 2, device=every.device) for side in every.shape[2:])
        return every.index_select(2, rows).index_select(3, columns)
    return F.max_pool2d(x_NCHW, kernel, stride=2, padding=padding)
