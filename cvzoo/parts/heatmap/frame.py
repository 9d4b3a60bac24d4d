"""How images lie on their canvas at inference: in the middle of one that is a little larger than they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from cvzoo.fields import Natural
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


def begun_at(boxes_D4: Tensor, corner: Corner) -> Tensor:
    """Boxes on a canvas in the pixels of the image that begins at a corner of it."""
    top, left = corner
    return boxes_D4 - torch.tensor([left, top], dtype=boxes_D4.dtype, device=boxes_D4.device).repeat(2)
