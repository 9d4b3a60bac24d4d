"""Polygons drawn into the boxes of many regions at once, bit for bit as COCO's rasteriser fills them.

It traces an outline five times as fine as the pixels. Where the outline passes the middle of a column of pixels, inside
and outside change places from the next pixel downwards on; a polygon is what lies between such places.
Compiled by Numba on first use, and run in threads that let go of Python's lock.
Shape suffixes: F regions, M points, S pixels along a region.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cvzoo.ops.compiled import compiled

Array = NDArray[Any]

FINER = 5
"""Steps of an outline per pixel."""
REGIONS_AT_ONCE = 128
"""For one thread: it takes them two tenths of a millisecond."""


def draw_polygons(
    polygons: Sequence[Sequence[np.ndarray]], object_F: Array, origin_F2: Array, factor_F2: Array, side: int
) -> Array:
    """(F, side, side) uint8 of 0 and 1: of each region its object, moved by -origin and scaled by the factors (x, y).

    An object is all its `polygons` together.
    """
    outlines = [outline for of_object in polygons for outline in of_object]
    points_M2 = np.concatenate([np.zeros(0), *outlines]).reshape(-1, 2)
    ends = np.cumsum([0, *(len(outline) // 2 for outline in outlines)])
    objects = np.cumsum([0, *(len(of_object) for of_object in polygons)])
    found_FSS = np.zeros((len(object_F), side, side), np.uint8)

    def draw(part: slice) -> None:
        regions = object_F[part], origin_F2[part], factor_F2[part], found_FSS[part]
        _draw(points_M2, ends, objects, *regions)

    parts = [slice(start, start + REGIONS_AT_ONCE) for start in range(0, len(object_F), REGIONS_AT_ONCE)]
    threads = min(len(parts), torch.get_num_threads())
    if threads < 2:
        draw(slice(None))
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(draw, parts))
    return found_FSS


@compiled
def _pass(line: int, at: int, side: int, flips: Array) -> None:
    """The outline passes the middle of the column whose fine line this is, at that fine row."""
    flips[min(max((at + FINER // 2) // FINER, 0), side), line // FINER] ^= 1


@compiled
def _edge(x1: int, y1: int, x2: int, y2: int, side: int, flips: Array) -> None:
    """Where an edge of the fine outline passes from a column's middle line, 2 of 5, to the next line, or back."""
    across, down = abs(x2 - x1), abs(y2 - y1)
    if (across >= down and x1 > x2) or (across < down and y1 > y2):
        x1, y1, x2, y2 = x2, y2, x1, y1
    first, last = max(min(x1, x2), 0), min(max(x1, x2) - 1, FINER * side - 1)
    first += (FINER // 2 - first) % FINER
    if first > last:
        return
    if across >= down:
        slope = (y2 - y1) / across
        start = x1 if slope >= 0 else x1 - 1  # the smaller row of a line's and the next one's
        for line in range(first, last + 1, FINER):
            _pass(line, int(y1 + slope * (line - start) + 0.5), side, flips)
        return
    slope = (x2 - x1) / down
    for line in range(first, last + 1, FINER):
        beyond = line + 1 if x2 > x1 else line
        border = beyond - 0.5 if x2 > x1 else beyond + 0.5
        step = min(max(int((border - x1) / slope), 1), down)  # the first one beyond, or next to it
        while step > 1 and (int(x1 + slope * (step - 1) + 0.5) - beyond) * slope >= 0:
            step -= 1
        while step < down and (int(x1 + slope * step + 0.5) - beyond) * slope < 0:
            step += 1
        _pass(line, y1 + step - 1, side, flips)


@compiled
def _draw(
    points_M2: Array, ends: Array, objects: Array, object_F: Array, origin_F2: Array, factor_F2: Array, found: Array
) -> None:
    side = found.shape[1]
    flips = np.zeros((side + 1, side), np.uint8)
    inside = np.zeros(side, np.uint8)
    for region in range(len(object_F)):
        left, top = origin_F2[region]
        wide, high = factor_F2[region]
        for outline in range(objects[object_F[region]], objects[object_F[region] + 1]):
            start, end = ends[outline], ends[outline + 1]
            x1 = int(FINER * ((points_M2[end - 1, 0] - left) * wide) + 0.5)
            y1 = int(FINER * ((points_M2[end - 1, 1] - top) * high) + 0.5)
            for point in range(start, end):
                x2 = int(FINER * ((points_M2[point, 0] - left) * wide) + 0.5)
                y2 = int(FINER * ((points_M2[point, 1] - top) * high) + 0.5)
                _edge(x1, y1, x2, y2, side, flips)
                x1, y1 = x2, y2
            _fill(flips, inside, found[region])


@compiled
def _fill(flips: Array, inside: Array, found_SS: Array) -> None:
    """Add a polygon to what is found. All columns at once, row by row: an outline is closed, so that it passes the
    middle of each an even number of times, and nothing is left over for the next column. Clears the flips.
    """
    side = len(found_SS)
    for column in range(side):
        inside[column] = flips[side, column] = 0
    for row in range(side):
        for column in range(side):
            inside[column] ^= flips[row, column]
            flips[row, column] = 0
            found_SS[row, column] |= inside[column]
