"""Corner pooling (1808.01244, section 3.3): every cell sees the highest value on its way to one side of the map."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Direction = Literal["top", "left", "bottom", "right"]
"""The corner whose side is looked for: `top` looks down from each cell, `left` to the right, `bottom` up, `right` to
the left."""
DOUBLINGS = 11
"""In a graph maps are at most 2 to the power of so many cells long."""


def corner_pool(maps_NCHW: Tensor, direction: Direction) -> Tensor:
    """(N, C, H, W): the running maximum over rows (top, bottom) or columns (left, right), the cell itself included.

    Of equal values the one nearest to the cell gets the gradient.
    """
    dim = 2 if direction in ("top", "bottom") else 3
    if torch.compiler.is_exporting():
        return _doubled(maps_NCHW, dim, backwards=direction in ("top", "left"))
    # along cells that lie far apart in memory, a CPU's scan takes five times as long
    last = maps_NCHW.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if last else torch.contiguous_format
    lines = maps_NCHW.transpose(dim, 3).contiguous(memory_format=layout)
    found = lines.cummax(3).values if direction in ("bottom", "right") else lines.flip(3).cummax(3).values.flip(3)
    return found.transpose(dim, 3)


def _doubled(maps_NCHW: Tensor, dim: int, backwards: bool) -> Tensor:
    """The running maximum in a graph, for which ONNX has no operation: over 2 cells, then over 4, and so on."""
    length = maps_NCHW.shape[dim]
    rounds = (length - 1).bit_length() if isinstance(length, int) else DOUBLINGS
    for step in (1 << n for n in range(rounds)):
        ends = (0, step) if backwards else (step, 0)
        padded = F.pad(maps_NCHW, ends if dim == 3 else (0, 0, *ends), value=-torch.inf)
        maps_NCHW = maps_NCHW.maximum(padded.narrow(dim, step if backwards else 0, length))
    return maps_NCHW
