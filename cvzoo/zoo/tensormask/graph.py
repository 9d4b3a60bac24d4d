"""The masks of a batch in tensors of fixed shapes: what is exported.

A graph cannot choose tiles of its maps: it computes them whole, and reads of them the masks of the detections. These
have as many cells as their level and kind of window; here they all get one side.
Shape suffixes: N images, D detections, F = N * D, V of these that are there, of one level and kind or of all, M windows
of all levels, C cells along a mask, S pixels along an answer.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cvzoo.nn.roi_pool import flat
from cvzoo.structures import Boxes, Size
from cvzoo.zoo.tensormask.head import TensorMaskHead

LARGEST = 112
"""Pixels along an answer at most. Masks with more cells under the image are sampled."""


def masks_of_batch(
    head: TensorMaskHead,
    features: list[Tensor],
    grids: list[Size],
    found: Boxes,
    index_ND: Tensor,
    windows_M4: Tensor,
    sizes_N2: Tensor,
) -> tuple[Tensor, Tensor]:
    """Probabilities (N, D, S, S), and the squares (N, D, 4) of the canvas in which they lie.

    `index_ND` tells the windows of the detections, `grids` the cells of the levels.
    """
    index_F, there_F = index_ND.flatten(), found.scores.flatten() > 0
    _, image_F = flat(found.boxes)
    side = min(max(head.sides) * head.scale(len(grids) - 1) + 2, LARGEST)
    kinds = len(head.sides)
    parts = []
    for level, kind, x_NCHW in head.mask_maps(features):
        begin, (height, width) = kinds * sum(h * w for h, w in grids[:level]), grids[level]
        own_F = index_F - begin
        is_kind_F = there_F & (own_F >= 0) & (own_F < kinds * height * width) & (own_F % kinds == kind)
        row_V = torch.where(is_kind_F)[0]
        cell_V, image_V = own_F[row_V] // kinds, image_F[row_V]
        line_V = cell_V // width  # and not `%`, which PyTorch 2.14.1 writes for ONNX only where a width is known
        logits_VCC = head.natural_masks(x_NCHW, image_V, line_V, cell_V - line_V * width, level)
        parts.append((row_V, *_fitted(logits_VCC.sigmoid(), windows_M4[index_F[row_V]], sizes_N2[image_V], side)))
    row_V, masks_VSS, places_V4 = (torch.cat(part) for part in zip(*parts))
    masks_FSS = masks_VSS.new_zeros(index_F.shape[0], side, side).index_copy(0, row_V, masks_VSS)
    places_F4 = places_V4.new_zeros(index_F.shape[0], 4).index_copy(0, row_V, places_V4)
    return masks_FSS.unflatten(0, index_ND.shape), places_F4.unflatten(0, index_ND.shape)


def _fitted(masks_VCC: Tensor, windows_V4: Tensor, sizes_V2: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Masks of windows cut to what lies on images of these sizes, and where (V, 4) they lie then.

    Pixels are the cells of the mask, with zeros around them; if these are too many, bilinear samples.
    """
    cells = masks_VCC.shape[-1]
    start_V2, end_V2 = windows_V4.split(2, dim=1)
    cell_V2 = (end_V2 - start_V2) / cells
    # pixels at the image's edge lie between two cells, of which one may be beyond it
    first_V2 = (-start_V2 / cell_V2 - 0.5).floor().clamp(min=0)
    last_V2 = ((sizes_V2.flip(1) - start_V2) / cell_V2 + 0.5).ceil().clamp(max=cells)
    step_V2 = ((last_V2 - first_V2) / (side - 2)).clamp(min=1)
    begin_V2 = ((first_V2 + last_V2 - side * step_V2) / 2).floor()
    pixel_S, cell_C = (torch.arange(count, device=masks_VCC.device) for count in (side, cells))
    place_V2S = begin_V2[:, :, None] + (pixel_S + 0.5) * step_V2[:, :, None] - 0.5
    x_VSC, y_VSC = (1 - (place_V2S[..., None] - cell_C).abs()).clamp(min=0).unbind(1)
    corner_V2 = start_V2 + begin_V2 * cell_V2
    return y_VSC @ masks_VCC @ x_VSC.mT, torch.cat([corner_V2, corner_V2 + side * step_V2 * cell_V2], dim=1)
