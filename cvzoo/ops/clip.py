"""Polygons cut to an image: what is left of the outline, and the box around it.

Places are continuous: an image of (height, width) reaches from 0 to its sides. Shape suffix: M corners of an outline.
"""

from __future__ import annotations

import numpy as np

from cvzoo.structures import Size

NUDGE = 1e-6
"""So many pixels inside of an image's corner is asked whether an outline holds it."""


def clip_polygon(points_M2: np.ndarray, size: Size) -> np.ndarray:
    """(M', 2): the part of a polygon inside an image (Sutherland and Hodgman), with M' 0 where there is none.

    Parts of a concave one that are apart stay joined by lines along the image's border, which hold no pixel.
    """
    if ((points_M2 >= 0) & (points_M2 <= size[::-1])).all():
        return points_M2
    for axis, bound, sign in ((0, 0, 1), (0, size[1], -1), (1, 0, 1), (1, size[0], -1)):
        inside_M = sign * (points_M2[:, axis] - bound) >= 0
        if inside_M.all():
            continue
        if not inside_M.any():
            return points_M2[:0]
        crosses_M = inside_M != _next(inside_M)
        step_M2 = _next(points_M2) - points_M2
        share_M = np.divide(bound - points_M2[:, axis], step_M2[:, axis], where=crosses_M, out=np.zeros(len(points_M2)))
        crossing_M2 = points_M2 + share_M[:, None] * step_M2
        crossing_M2[:, axis] = bound
        kept = np.stack([inside_M, crosses_M], 1).reshape(-1)
        points_M2 = np.stack([points_M2, crossing_M2], 1).reshape(-1, 2)[kept]
    return points_M2 if len(points_M2) > 2 else points_M2[:0]


def clipped_box(points_M2: np.ndarray, size: Size) -> np.ndarray:
    """(4,) xyxy: the box around a polygon that `clip_polygon` has cut, at least one corner long.

    The joining lines may pass a corner of the image that the polygon does not hold.
    """
    at_corner_M = ((points_M2 == 0) | (points_M2 == size[::-1])).all(1)
    if not at_corner_M.any():
        return np.concatenate([points_M2.min(0), points_M2.max(0)])
    along_M = (points_M2 == _next(points_M2)).any(1)  # an edge along the border, when it begins at a corner
    real_M = ~(at_corner_M & along_M & np.roll(along_M, 1))
    for number in np.flatnonzero(~real_M):
        inwards = np.where(points_M2[number] == 0, NUDGE, -NUDGE)
        real_M[number] = _holds(points_M2, points_M2[number] + inwards)
    real_M2 = points_M2[real_M] if real_M.any() else points_M2
    return np.concatenate([real_M2.min(0), real_M2.max(0)])


def _holds(points_M2: np.ndarray, place_2: np.ndarray) -> bool:
    """Whether a place lies inside: a line to the right crosses the outline an odd number of times."""
    x_M, y_M = (points_M2 - place_2).T
    next_x_M, next_y_M = _next(x_M), _next(y_M)
    crosses_M = (y_M > 0) != (next_y_M > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        at_x_M = x_M - y_M * (next_x_M - x_M) / (next_y_M - y_M)
    return bool(np.count_nonzero(crosses_M & (at_x_M > 0)) % 2)


def _next(of_M: np.ndarray) -> np.ndarray:
    """For each corner that of the following one."""
    return np.concatenate([of_M[1:], of_M[:1]])
