"""From maps of corners to candidate boxes: the best corners of each kind, every one paired with every other.

Shape suffixes: N images, C corners of one kind, P pairs of corners that make a box.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from cvzoo.parts.heatmap.peaks import peaks
from cvzoo.parts.heatmap.targets import at_cells
from cvzoo.structures import Prediction, Size, size_of
from cvzoo.zoo.cornernet.head import CornerOutput


class Corners(NamedTuple):
    """The best corners of one kind in each image; of one image without the suffix N."""

    scores_NC: Tensor
    labels_NC: Tensor
    points_NC2: Tensor
    """x and y in pixels of the canvas."""
    tags_NC: Tensor

    def of(self, image: int) -> Corners:
        return Corners(*(values[image] for values in self))


def corners_in(maps: CornerOutput, count: int, kernel: int, canvas: Size) -> Corners:
    """At most `count` corners of each image, from the last hourglass' maps."""
    heat = maps.heat[-1]
    found = peaks(heat, count, kernel)
    images, corners = found.scores_NP.shape
    image = torch.arange(images, device=heat.device).repeat_interleave(corners)
    cells = found.cells_NP2.flatten(0, 1)
    offset, tag = (at_cells(x[-1], image, cells).view(images, corners, -1) for x in (maps.offset, maps.tag))
    (rows, columns), (height, width) = size_of(heat), canvas
    scale = offset.new_tensor([width / columns, height / rows])
    return Corners(found.scores_NP, found.labels_NP, (found.cells_NP2 + offset) * scale, tag.squeeze(2))


def boxes_between(
    one: Corners, other: Corners, begin: Size, clip: Size | None, distance: float, count: int
) -> Prediction:
    """The `count` best boxes of an image that begins at `begin`, in its own pixels, clipped at the
    left and top, and to the size `clip` if any.

    A box has a top-left and a bottom-right corner of the same class, with tags at most `distance` apart; its score is
    the mean of theirs.
    """
    start, limit = (one.points_NC2.new_tensor(size).flip(0) for size in (begin, clip or (torch.inf, torch.inf)))
    low_C2, high_C2 = ((x.points_NC2 - start).clamp(min=0).minimum(limit) for x in (one, other))
    fits_CC = (low_C2[:, None] < high_C2).all(dim=2)
    fits_CC &= one.labels_NC[:, None] == other.labels_NC
    fits_CC &= (one.tags_NC[:, None] - other.tags_NC).abs() <= distance
    score_CC = (one.scores_NC[:, None] + other.scores_NC) / 2
    scores = torch.where(fits_CC, score_CC, -1.0).flatten()
    best_P, pair_P = scores.topk(min(count, len(scores)))
    row_P, column_P = pair_P // fits_CC.shape[1], pair_P % fits_CC.shape[1]
    boxes_P4 = torch.cat([low_C2[row_P], high_C2[column_P]], dim=1)
    return Prediction(boxes_P4, best_P, one.labels_NC[row_P])[torch.where(best_P >= 0)[0]]
