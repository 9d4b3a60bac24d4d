"""Where heat maps have their peaks. N images, K classes, H W or C cells, P peaks."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from cvzoo.ops.detect import gather_rows
from cvzoo.parts.heatmap.targets import at_cells
from cvzoo.structures import Size, size_of


class Peaks(NamedTuple):
    """The highest peaks of each image by falling score."""

    scores_NP: Tensor
    """0 where an image has fewer peaks."""
    labels_NP: Tensor
    cells_NP2: Tensor
    """x and y."""


def peaks(logits_NKHW: Tensor, count: int, kernel: int = 3) -> Peaks:
    """At most `count` cells of each image, over all classes, that nothing in a window of `kernel` cells exceeds."""
    # a tensor, since ONNX has no remainder by a side that is free
    width = torch.full((), logits_NKHW.shape[3], device=logits_NKHW.device)
    # with a cell's classes side by side, pooling takes a fifth of the time
    logits_NKHW = logits_NKHW.float().contiguous(memory_format=torch.channels_last)
    highest = F.max_pool2d(logits_NKHW, kernel, stride=1, padding=kernel // 2)
    kept_NCK = logits_NKHW.masked_fill(logits_NKHW < highest, -torch.inf).permute(0, 2, 3, 1).flatten(1, 2)
    # the best peaks lie in the best cells: two small searches instead of a large one
    cell_NC = kept_NCK.amax(dim=2).topk(torch.sym_min(count, kept_NCK.shape[1]), dim=1).indices
    kept_NCK = gather_rows(kept_NCK, cell_NC)
    logits_NP, index_NP = kept_NCK.flatten(1).topk(torch.sym_min(count, kept_NCK.shape[1] * kept_NCK.shape[2]), dim=1)
    cell_NP = cell_NC.gather(1, index_NP // kept_NCK.shape[2])
    cells_NP2 = torch.stack([cell_NP % width, cell_NP // width], dim=-1)
    return Peaks(logits_NP.sigmoid(), index_NP % kept_NCK.shape[2], cells_NP2)


def at_peaks(maps_NCHW: Tensor, found: Peaks) -> Tensor:
    """(N, P, C) float32: the values of maps at the peaks of each image."""
    images, count = found.scores_NP.shape
    image_N1 = torch.arange(images, device=maps_NCHW.device)[:, None]
    values = at_cells(maps_NCHW, image_N1.expand(-1, count).flatten(), found.cells_NP2.flatten(0, 1))
    return values.unflatten(0, (-1, count))


def pixels_of_cell(maps_NCHW: Tensor, canvas: Size) -> Tensor:
    """(2,) float32: how wide and how high a cell of the maps is, in pixels of the canvas."""
    (rows, columns), (height, width) = size_of(maps_NCHW), canvas
    sides = [torch.full((), side, dtype=torch.float32) for side in (width, columns, height, rows)]  # in graphs, symbols
    return torch.stack([sides[0] / sides[1], sides[2] / sides[3]]).to(maps_NCHW.device)
