"""Resizing of maps."""

from __future__ import annotations

from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor

from cvzoo.structures import Size, size_of


def resize(x_NCHW: Tensor, size: Size, align_corners: bool = False) -> Tensor:
    """(N, C, *size): bilinear; with `align_corners` the centres of the corner cells stay where they are."""
    # the sizes of an exported graph cannot be compared
    if not torch.compiler.is_exporting() and size_of(x_NCHW) == size:
        return x_NCHW
    return F.interpolate(x_NCHW, size=size, mode="bilinear", align_corners=align_corners)


def enlarged(x_NCHW: Tensor, size: Size) -> Tensor:
    """(N, C, *size): each cell is the nearest one's, in the map's dtype.

    Autocast would compute it in float32, and then every sum with it: twice the memory for numbers that are the same.
    """
    device = x_NCHW.device.type
    with torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext():
        return F.interpolate(x_NCHW, size=size, mode="nearest")
