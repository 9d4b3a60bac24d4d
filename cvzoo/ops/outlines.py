"""Outlines of bitmaps as polygons with holes."""

from __future__ import annotations

import itertools
from typing import cast

import numpy as np
from contourpy import FillType, contour_generator

Rings = list[np.ndarray]
"""A polygon: its outer ring, then those of its holes, each (P, 2) float64 x and y in pixels; the last point is the
first."""


def outlines(bitmap_HW: np.ndarray) -> list[Rings]:
    """The connected parts of a bitmap, as polygons that contain the centres of its pixels and of no others.

    Outer rings turn from the x axis to the y axis, holes the other way round. They cut the corners of pixels.
    """
    rows, columns = np.flatnonzero(bitmap_HW.any(1)), np.flatnonzero(bitmap_HW.any(0))
    if not len(rows):
        return []
    window = bitmap_HW[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    generator = contour_generator(z=np.pad(window, 1).astype(np.float32), fill_type=FillType.OuterOffset)
    points, offsets = cast("tuple[list[np.ndarray], list[np.ndarray]]", generator.filled(0.5, 2.0))
    shift = (columns[0] - 0.5, rows[0] - 0.5)  # a pixel wider at each side, and a pixel's centre is half a pixel in
    return [[part[begin:end] + shift for begin, end in itertools.pairwise(ends)] for part, ends in zip(points, offsets)]
