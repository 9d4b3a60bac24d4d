"""Corner pooling (1808.01244, section 3.3): every cell sees the highest value on its way to one side of the map."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

Direction = Literal["top", "left", "bottom", "right"]
"""The corner whose side is looked for: `top` looks down from each cell, `left` to the right, `bottom` up, `right` to
the left."""


def corner_pool(maps_NCHW: Tensor, direction: Direction) -> Tensor:
    """(N, C, H, W): the running maximum over rows (top, bottom) or columns (left, right), the cell itself included.

    Of equal values the one nearest to the cell gets the gradient.
    """
    dim = 2 if direction in ("top", "bottom") else 3
    if direction in ("bottom", "right"):
        return maps_NCHW.cummax(dim).values
    return maps_NCHW.flip(dim).cummax(dim).values.flip(dim)
