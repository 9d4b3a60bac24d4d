"""Masks as one polygon each, for formats that know nothing else.

Parts and holes are joined by bridges, lines that go there and come back: they enclose nothing, so that the polygon
fills what its parts fill together. A bitmap's outline runs through the middles between pixels inside and outside.
Shape suffix: P points.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cvzoo.ops.masks import to_bitmap
from cvzoo.ops.outlines import outlines
from cvzoo.structures import Mask, Size


def single_outline(mask: Mask, size: Size) -> np.ndarray:
    """(P, 2) float64 x and y of a polygon that fills what a mask fills in an image of `size`, inside the image."""
    if isinstance(mask, dict):
        parts = bitmap_outlines(to_bitmap(mask, size))
    else:
        parts = [polygon.reshape(-1, 2) for polygon in mask]
    return _bridged(parts).clip(0, (size[1], size[0]))


def bitmap_outlines(bitmap_HW: np.ndarray) -> list[np.ndarray]:
    """Outlines of the parts of a bitmap, and of their holes, each (P, 2) x and y."""
    return [_corners(ring[:-1]) for rings in outlines(bitmap_HW) for ring in rings]


def _corners(points_P2: np.ndarray) -> np.ndarray:
    """A closed line without the points on which it goes straight on."""
    before, after = points_P2 - np.roll(points_P2, 1, 0), np.roll(points_P2, -1, 0) - points_P2
    turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    return points_P2[turns]


def _bridged(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Closed lines as a single one, which returns to the start of the first after each."""
    if len(parts) == 1:
        return parts[0]
    start = parts[0][:1]
    return np.concatenate([line for part in parts for line in (part, part[:1], start)])
