"""Heat maps to be looked at: where a network sees key points, in the pixels of the image that it was given.

Shape suffixes: N images, K classes, H W cells of a map or pixels of an image.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch.nn.functional as F
from torch import Tensor

from cvzoo.ops.resize import resize
from cvzoo.parts.heatmap.frame import Corner
from cvzoo.structures import Size, size_of

Point = Literal["centre", "top_left", "bottom_right"]
"""Which point of an object's box is looked for."""


class Heat(NamedTuple):
    """Where a network sees one kind of point in an image."""

    point: Point
    map_HW: Tensor
    """The highest score of any class, 0 to 1, at each pixel of the ORIGINAL image."""


def hottest(logits_NKHW: Tensor, class_ids: tuple[int, ...]) -> Tensor:
    """(N, H, W) in 0..1: the highest score of each cell. Outputs that are no class of the data set do not count."""
    used = [output for output, label in enumerate(class_ids) if label >= 0]
    logits_NKHW = logits_NKHW[:, used] if class_ids else logits_NKHW
    return logits_NKHW.float().amax(dim=1).sigmoid()


def on_original(cells_HW: Tensor, canvas: Size, corner: Corner, size: Size, original: Size) -> Tensor:
    """A map of a canvas, cut to the image of `size` that begins at a corner of it and scaled to its original size.

    A cell's value stands in its middle, as a point that is found in a cell lies there on average.
    """
    (top, left), (height, width) = corner, size
    canvas_HW = resize(cells_HW[None, None], canvas)[0, 0]
    image_HW = canvas_HW[top : top + height, left : left + width]
    if size_of(image_HW) == original:
        return image_HW
    # without antialiasing a peak could fall between the pixels of an original smaller than the map
    return F.interpolate(image_HW[None, None], original, mode="bilinear", antialias=True)[0, 0]
