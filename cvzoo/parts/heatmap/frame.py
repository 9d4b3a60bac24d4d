"""How images lie on their canvas at inference: in the middle of one that is a little larger than they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from cvzoo.fields import Natural
from cvzoo.ops.boxes import xyxy
from cvzoo.structures import Size

Corner = tuple[int, int]
"""Where an image begins on its canvas: (top, left)."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """How large the canvas is, and what lies around the image."""

    mask: Natural = 31
    """A side of the canvas is the image's with all bits of this number set, plus `extra`: 31, or 127 with hourglasses
    of five levels."""
    extra: Natural = 1
    """What a side of the canvas has beyond that."""
    around: Literal["black", "mean"] = "black"
    """What lies around the image: black, or the mean colour of the network's input."""


def framed(images_N3HW: Tensor, sizes: list[Size], mask: int, extra: int) -> tuple[Tensor, list[Corner]]:
    """Images of some sizes on a larger canvas, and where they begin there; what lies around them is 0.

    A side of the canvas is its old length, with all bits of `mask` set, plus `extra`: 600 becomes 607 + 1 with 31
    and 1. Each image lies in the middle of the canvas that it would have alone, whatever else is in the batch.
    """
    canvas = tuple((side | mask) + extra for side in images_N3HW.shape[-2:])
    framed_N3HW = images_N3HW.new_zeros(*images_N3HW.shape[:2], *canvas)
    corners = []
    for image, framed_3HW, (height, width) in zip(images_N3HW, framed_N3HW, sizes):
        top, left = (((side | mask) + extra) // 2 - side // 2 for side in (height, width))
        framed_3HW[:, top : top + height, left : left + width] = image[:, :height, :width]
        corners.append((top, left))
    return framed_N3HW, corners


def framed_in_graph(images_N3HW: Tensor, sizes_N2: Tensor, mask: int, extra: int) -> tuple[Tensor, Tensor]:
    """The same of sizes that are a tensor; and where (N, 2) the images begin."""
    index = []
    for dim, sides_N in enumerate(sizes_N2.unbind(1)):
        canvas = _filled(images_N3HW.shape[2 + dim], mask) + extra
        start_N = (_filled(sides_N, mask) + extra) // 2 - sides_N // 2
        index.append((start_N, torch.arange(canvas, device=images_N3HW.device) - start_N[:, None]))
    (top_N, row_NH), (left_N, column_NW) = index
    lines = _taken(images_N3HW, row_NH[:, None, :, None], sizes_N2[:, 0], 2)
    framed_N3HW = _taken(lines, column_NW[:, None, None], sizes_N2[:, 1], 3)
    return framed_N3HW, torch.stack([top_N, left_N], dim=1)


def _filled(side: Any, mask: int) -> Any:
    """`side | mask`, for a mask whose bits are the lowest ones."""
    return side // (mask + 1) * (mask + 1) + mask


def _taken(x_N3HW: Tensor, place: Tensor, sides_N: Tensor, dim: int) -> Tensor:
    """The rows (dim 2) or columns (3) at these places, 0 where they lie outside an image's own."""
    inside = (place >= 0) & (place < sides_N[:, None, None, None])
    shape = list(x_N3HW.shape)
    shape[dim] = place.shape[dim]
    return x_N3HW.gather(dim, place.clamp(0, x_N3HW.shape[dim] - 1).expand(shape)) * inside


def begun_at(boxes_NP4: Tensor, begins_N2: Tensor) -> Tensor:
    """Boxes on a canvas in the pixels of the images that begin at those corners (top, left) of it."""
    return boxes_NP4 - xyxy(begins_N2).to(boxes_NP4.dtype)
