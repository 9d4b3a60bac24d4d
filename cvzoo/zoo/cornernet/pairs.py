"""From maps of corners to candidate boxes: the best corners of each kind, every one paired with every other.

Shape suffixes: N images, C corners of one kind, P pairs of corners that make a box.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from cvzoo.ops.detect import gather_rows
from cvzoo.parts.heatmap.peaks import at_peaks, peaks, pixels_of_cell
from cvzoo.structures import Boxes, Size
from cvzoo.zoo.cornernet.head import CornerOutput


class Corners(NamedTuple):
    """The best corners of one kind in each image."""

    scores_NC: Tensor
    labels_NC: Tensor
    points_NC2: Tensor
    """x and y in pixels of the canvas."""
    tags_NC: Tensor


def corners_in(maps: CornerOutput, count: int, kernel: int, canvas: Size) -> Corners:
    """At most `count` corners of each image, from the last hourglass' maps."""
    heat = maps.heat[-1]
    found = peaks(heat, count, kernel)
    offset, tag = (at_peaks(x[-1], found) for x in (maps.offset, maps.tag))
    points_NC2 = (found.cells_NP2 + offset) * pixels_of_cell(heat, canvas)
    return Corners(found.scores_NP, found.labels_NP, points_NC2, tag.squeeze(2))


def boxes_between(
    one: Corners, other: Corners, begins_N2: Tensor, limits_N2: Tensor | None, distance: float, count: int
) -> Boxes:
    """The `count` best boxes of images that begin there, in their own pixels, clipped at the left and top, and to the
    limits (x, y) if any.

    A box has a top-left and a bottom-right corner of the same class, with tags at most `distance` apart; its score is
    the mean of theirs, or -1 where there is no such pair.
    """
    start_N12 = begins_N2.flip(1)[:, None].to(one.points_NC2.dtype)
    low_NC2, high_NC2 = ((x.points_NC2 - start_N12).clamp(min=0) for x in (one, other))
    if limits_N2 is not None:
        low_NC2, high_NC2 = (x.minimum(limits_N2[:, None].to(x.dtype)) for x in (low_NC2, high_NC2))
    fits_NCC = (low_NC2[:, :, None] < high_NC2[:, None]).all(dim=3)
    fits_NCC &= one.labels_NC[:, :, None] == other.labels_NC[:, None]
    fits_NCC &= (one.tags_NC[:, :, None] - other.tags_NC[:, None]).abs() <= distance
    score_NCC = (one.scores_NC[:, :, None] + other.scores_NC[:, None]) / 2
    others = torch.full((), other.scores_NC.shape[1], device=other.scores_NC.device)  # as in `peaks`
    scores_NM = torch.where(fits_NCC, score_NCC, -1.0).flatten(1)
    best_NP, pair_NP = scores_NM.topk(torch.sym_min(count, scores_NM.shape[1]), dim=1)
    row_NP, column_NP = pair_NP // others, pair_NP % others
    boxes_NP4 = torch.cat([gather_rows(low_NC2, row_NP), gather_rows(high_NC2, column_NP)], dim=2)
    return Boxes(boxes_NP4, best_NP, one.labels_NC.gather(1, row_NP))
