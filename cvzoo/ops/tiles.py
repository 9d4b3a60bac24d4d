"""Large images in tiles: where they lie, and what was found in all of them put together.

Shape suffixes: D detections of all tiles, C those that a tile's border cuts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise, product
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from cvzoo.ops.boxes import area
from cvzoo.ops.masks import pad_mask
from cvzoo.structures import RLE, Prediction, Segmentation, Size

EDGE = 0.02
"""A box that comes this close to a tile's border, as a share of the tile's side, is taken to be cut by it."""
COVERED = 0.7
"""A cut box goes where a larger one of its class covers this share of it."""
CHUNK = 1024
"""Cut boxes that are compared with all others at a time."""


class Tile(NamedTuple):
    """A window of an image, and the part of it for which no other tile answers; slices of the image's pixels."""

    rows: slice
    columns: slice
    own_rows: slice
    own_columns: slice


def starts(length: int, window: int, step: int) -> list[int]:
    """Where windows begin that cover `length`; the last one ends with it."""
    count = math.ceil((length - window) / step) + 1
    return [min(number * step, length - window) for number in range(count)]


def tiles_of(size: Size, tile: Size, overlap: float) -> list[Tile]:
    """Tiles that cover an image of `size`, neighbours by `overlap`, a share of the tile's side, or more."""
    rows, columns = (_spans(length, min(side, length), overlap) for length, side in zip(size, tile))
    return [Tile(row, column, own_row, own_column) for (row, own_row), (column, own_column) in product(rows, columns)]


def _spans(length: int, side: int, overlap: float) -> list[tuple[slice, slice]]:
    """Along an axis: what each tile covers, and its own part, which ends in the middle of what it shares."""
    begins = starts(length, side, max(1, math.floor(side * (1 - overlap))))
    seams = [0, *((begin + before + side) // 2 for before, begin in pairwise(begins)), length]
    return [(slice(b, b + side), slice(first, last)) for b, first, last in zip(begins, seams, seams[1:])]


def joined_boxes(found: Sequence[Prediction], tiles: Sequence[Tile], size: Size, iou: float) -> Prediction:
    """The detections of an image of `size`, by falling score, from those of its tiles.

    Of what a tile's border cuts, the part goes where another tile's larger box of the class covers it; then boxes of a
    class compete as in one image: of two with a higher IoU than `iou` the lower-scored goes. Masks stay as one tile saw
    them.
    """
    if len(found) == 1:
        return found[0]
    boxes = torch.cat([f.boxes + f.boxes.new_tensor(_origin(tile)) for f, tile in zip(found, tiles)])
    scores, labels = (torch.cat([getattr(f, name) for f in found]) for name in ("scores", "labels"))
    cut = torch.cat([_cut(f.boxes, tile, size) for f, tile in zip(found, tiles)])
    number = torch.arange(len(found)).repeat_interleave(torch.tensor([len(f) for f in found]))
    whole = torch.where(~_parts(boxes, labels, cut, number))[0]
    kept = whole[batched_nms(boxes[whole], scores[whole], labels[whole], iou)]
    merged = Prediction(boxes[kept], scores[kept], labels[kept])
    places = [(n, row) for n, f in enumerate(found) for row in range(len(f))]
    rows = [places[place] for place in kept.tolist()]
    masks, surfaces = [f.masks for f in found], [f.surfaces for f in found]
    if None not in masks:
        merged.masks = [_in_image((masks[n] or [])[row], tiles[n], size) for n, row in rows]
    if None not in surfaces:
        merged.surfaces = [(surfaces[n] or [])[row] for n, row in rows]
    return merged


def _in_image(mask: RLE, tile: Tile, size: Size) -> RLE:
    padded = pad_mask(mask, tile.rows.start, tile.columns.start, size)
    assert isinstance(padded, dict), "a run-length code stays one"
    return padded


def _origin(tile: Tile) -> tuple[int, int, int, int]:
    return (tile.columns.start, tile.rows.start) * 2


def _cut(boxes_D4: Tensor, tile: Tile, size: Size) -> Tensor:
    """(D,) bool: the boxes that reach to a border of the tile within the image; in the tile's pixels."""
    cut_D = torch.zeros(len(boxes_D4), dtype=torch.bool)
    for axis, (span, length) in enumerate(((tile.columns, size[1]), (tile.rows, size[0]))):
        side = span.stop - span.start
        if span.start > 0:
            cut_D |= boxes_D4[:, axis] <= EDGE * side
        if span.stop < length:
            cut_D |= boxes_D4[:, axis + 2] >= side - EDGE * side
    return cut_D


def _parts(boxes_D4: Tensor, labels_D: Tensor, cut_D: Tensor, tile_D: Tensor) -> Tensor:
    """(D,) bool: the cut boxes that a larger one of the class, of another tile, covers."""
    parts_D = torch.zeros_like(cut_D)
    area_D = area(boxes_D4[:, 2:] - boxes_D4[:, :2])
    for row_C in torch.where(cut_D)[0].split(CHUNK):
        low = torch.maximum(boxes_D4[row_C, None, :2], boxes_D4[:, :2])
        high = torch.minimum(boxes_D4[row_C, None, 2:], boxes_D4[:, 2:])
        both_CD = area((high - low).clamp(min=0))
        covers_CD = (both_CD >= COVERED * area_D[row_C, None]) & (area_D > area_D[row_C, None])
        covers_CD &= (labels_D == labels_D[row_C, None]) & (tile_D != tile_D[row_C, None])
        parts_D[row_C] = covers_CD.any(dim=1)
    return parts_D


def joined_labels(found: Sequence[Segmentation], tiles: Sequence[Tile], size: Size) -> Segmentation:
    """The label map of an image of `size`: every pixel as the tile sees it in whose middle it lies most."""
    labels_HW = torch.empty(size, dtype=torch.uint8)
    for part, tile in zip(found, tiles):
        inner = [
            slice(own.start - span.start, own.stop - span.start)
            for own, span in ((tile.own_rows, tile.rows), (tile.own_columns, tile.columns))
        ]
        labels_HW[tile.own_rows, tile.own_columns] = part.labels[inner[0], inner[1]]
    return Segmentation(labels_HW)
