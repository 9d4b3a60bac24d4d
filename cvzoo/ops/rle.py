"""Run-length codes of masks: pycocotools' functions with types, since it states none. H W pixels of an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from pycocotools import mask as coco

from cvzoo.structures import RLE, Size

_coco: Any = coco


def encode(bitmap_HW: np.ndarray) -> RLE:
    """The code of a bitmap."""
    return cast(RLE, _coco.encode(np.asfortranarray(bitmap_HW, np.uint8)))


def decode(code: RLE) -> np.ndarray:
    """(H, W) uint8 of 0 and 1."""
    return cast(np.ndarray, _coco.decode(code))


def area(code: RLE) -> int:
    """Pixels that the mask covers."""
    return int(_coco.area(code))


def union(codes: Sequence[RLE]) -> RLE:
    """The pixels of any of them; at least one code."""
    return cast(RLE, _coco.merge(list(codes)))


def intersection(codes: Sequence[RLE]) -> RLE:
    """The pixels of all of them; at least one code."""
    return cast(RLE, _coco.merge(list(codes), intersect=True))


def ious(codes_D: Sequence[RLE], others_G: Sequence[RLE], crowds_G: np.ndarray) -> np.ndarray:
    """(D, G) float64: the IoU of each with each other one; with a crowd, the share of the first that lies in it."""
    if not (codes_D and others_G):
        return np.zeros((len(codes_D), len(others_G)))
    return np.asarray(_coco.iou(list(codes_D), list(others_G), crowds_G.astype(np.uint8).tolist()))


def from_polygons(polygons: Sequence[np.ndarray], size: Size) -> RLE:
    """The code of all polygons together, filled as COCO's rasteriser does; at least one polygon."""
    return cast(RLE, _coco.merge(_coco.frPyObjects([polygon.tolist() for polygon in polygons], *size)))


def from_counts(counts: list[int], size: Size) -> RLE:
    """The compressed code of plain run lengths, down the columns, the first of them of zeros."""
    return cast(RLE, _coco.frPyObjects({"size": list(size), "counts": counts}, *size))
