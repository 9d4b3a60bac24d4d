"""Each detection of an image compared with each person: GPS, IoU of masks and of boxes, parts and coordinates.

D detections, G people, P points of a person, H W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cvzoo.metrics.geometry import Geometry
from cvzoo.ops import rle
from cvzoo.ops.masks import to_bitmap
from cvzoo.structures import RLE, Size

SIDE = 255
"""Points are placed on a square of this side, stretched over the person's box; 256 in training."""
Person = Mapping[str, Any]
"""An annotation in COCO's format."""


class Found(NamedTuple):
    """A detection."""

    image_id: int
    category_id: int
    box: tuple[float, float, float, float]
    """x, y, width, height in pixels."""
    score: float
    surface: np.ndarray
    """(3, H, W) uint8: part, 255 U and 255 V of every pixel of the box from its whole-numbered corner on."""
    mask: np.ndarray | None = None
    """(H, W) bool: where in the box the person is, for the IoU of masks; None takes the pixels that have a part."""


class Pairs(NamedTuple):
    """The people and detections of an image, the best first."""

    gps_DG: np.ndarray
    """0 for people without points."""
    iou_DG: np.ndarray
    """Of masks."""
    box_iou_DG: np.ndarray
    scores_D: np.ndarray
    areas_D: np.ndarray
    """Of boxes."""
    areas_G: np.ndarray
    ignored_G: np.ndarray
    """Without points."""
    crowd_G: np.ndarray
    read: Reading
    """At the points of people who have any, in the detection of the most similar box."""


class Reading(NamedTuple):
    """What was found at points of people that the matched detection's box covers."""

    covered: int
    points: int
    """All there are."""
    right: int
    """Points with the true part."""
    uv_error: float
    """The distance in U and V, summed over these."""


MATCHED = 0.5
"""IoU of boxes from which a detection is taken for the person's own when its coordinates are read."""


def compare(
    people: Sequence[Person], detections: Sequence[Found], size: Size, geometry: Geometry, kappas: np.ndarray
) -> Pairs:
    """The people of an image of `size`, and its detections by falling score."""
    shape = (len(detections), len(people))
    crowd_G = np.array([bool(person.get("iscrowd", 0)) for person in people], bool)
    boxes_D4 = np.array([found.box for found in detections], np.float64).reshape(-1, 4)
    boxes_G4 = np.array([person["bbox"] for person in people], np.float64).reshape(-1, 4)
    box_iou_DG = _box_iou(boxes_D4, boxes_G4, crowd_G)
    gps_DG = np.zeros(shape)
    readings = []
    for g, person in enumerate(people):
        if person.get("dp_x") and detections:
            points = _read_points(person, detections)
            gps_DG[:, g] = _gps(points, geometry, kappas)
            readings.append(_reading(points, box_iou_DG[:, g]))
        else:
            readings.append(Reading(0, len(person.get("dp_x", ())), 0, 0.0))
    return Pairs(
        gps_DG=gps_DG,
        iou_DG=_mask_iou(people, detections, crowd_G, size),
        box_iou_DG=box_iou_DG,
        scores_D=np.array([found.score for found in detections], np.float64),
        areas_D=boxes_D4[:, 2:].prod(1),
        areas_G=np.array([person["area"] for person in people], np.float64),
        ignored_G=np.array(["dp_x" not in person for person in people], bool),
        crowd_G=crowd_G,
        read=Reading(*(sum(values) for values in zip(Reading(0, 0, 0, 0.0), *readings))),
    )


class _Points(NamedTuple):
    parts_P: np.ndarray
    uv_P2: np.ndarray
    inside_DP: np.ndarray
    """Whether the detection's box covers the point."""
    found_DP: np.ndarray
    """The part found there; 0 outside."""
    uv_DP2: np.ndarray


def _read_points(person: Person, detections: Sequence[Found]) -> _Points:
    """What each detection says of a person's points."""
    x, y, width, height = person["bbox"]
    across_P = np.array(person["dp_x"], np.float64) * width / SIDE
    down_P = np.array(person["dp_y"], np.float64) * height / SIDE
    inside, read = [], []
    for found in detections:
        left, top, found_width, found_height = found.box
        columns = (across_P + x - left).astype(np.int64)  # towards 0: what is a little outside counts as the edge
        rows = (down_P + y - top).astype(np.int64)
        limits = np.minimum(found.surface.shape[1:], (int(found_height), int(found_width)))
        own = (columns >= 0) & (rows >= 0) & (rows < limits[0]) & (columns < limits[1])
        inside.append(own)
        read.append(found.surface[:, rows * own, columns * own] * own)
    inside_DP, read_D3P = np.array(inside), np.array(read)
    return _Points(
        parts_P=np.array(person["dp_I"], np.int64),
        uv_P2=np.stack([np.array(person[name], np.float64) for name in ("dp_U", "dp_V")], 1),
        inside_DP=inside_DP,
        found_DP=read_D3P[:, 0].astype(np.int64),
        uv_DP2=read_D3P[:, 1:].transpose(0, 2, 1) / 255,
    )


def _gps(points: _Points, geometry: Geometry, kappas: np.ndarray) -> np.ndarray:
    """(D,)"""
    distances_DP = geometry.distances(points.parts_P, points.uv_P2, points.found_DP, points.uv_DP2)
    return np.exp(-(distances_DP**2) / (2 * kappas[points.parts_P] ** 2)).mean(1)


def _reading(points: _Points, box_iou_D: np.ndarray) -> Reading:
    best = int(box_iou_D.argmax())
    if box_iou_D[best] < MATCHED:
        return Reading(0, len(points.parts_P), 0, 0.0)
    right_P = points.inside_DP[best] & (points.found_DP[best] == points.parts_P)
    errors_P = np.sqrt(((points.uv_DP2[best] - points.uv_P2) ** 2).sum(-1))
    covered = int(np.count_nonzero(points.inside_DP[best]))
    return Reading(covered, len(points.parts_P), int(np.count_nonzero(right_P)), float(errors_P[right_P].sum()))


def _box_iou(boxes_D4: np.ndarray, boxes_G4: np.ndarray, crowd_G: np.ndarray) -> np.ndarray:
    """(D, G) of boxes as x, y, width, height; of a crowd the share of the detection that lies in it."""
    starts = np.maximum(boxes_D4[:, None, :2], boxes_G4[:, :2])
    ends = np.minimum(boxes_D4[:, None, :2] + boxes_D4[:, None, 2:], boxes_G4[:, :2] + boxes_G4[:, 2:])
    both_DG = (ends - starts).clip(0).prod(-1)
    return _share(both_DG, boxes_D4[:, 2:].prod(1), boxes_G4[:, 2:].prod(1), crowd_G)


def _share(both_DG: np.ndarray, areas_D: np.ndarray, areas_G: np.ndarray, crowd_G: np.ndarray) -> np.ndarray:
    either_DG = np.where(crowd_G, areas_D[:, None], areas_D[:, None] + areas_G - both_DG)
    return np.divide(both_DG, either_DG, out=np.zeros(both_DG.shape), where=both_DG > 0)


class _Mask(NamedTuple):
    """A bitmap somewhere in an image."""

    top: int
    left: int
    bitmap_HW: np.ndarray


def _mask_iou(people: Sequence[Person], detections: Sequence[Found], crowd_G: np.ndarray, size: Size) -> np.ndarray:
    """(D, G)"""
    found = [_placed(_found_mask(detection), detection.box, size) for detection in detections]
    true = [_true_mask(person, size) for person in people]
    both_DG = np.array([[_both(one, other) for other in true] for one in found], np.float64)
    areas_D, areas_G = (np.array([np.count_nonzero(m.bitmap_HW) for m in masks], np.float64) for masks in (found, true))
    return _share(both_DG.reshape(len(found), len(true)), areas_D, areas_G, crowd_G)


def _found_mask(found: Found) -> np.ndarray:
    return found.surface[0] > 0 if found.mask is None else found.mask


def _true_mask(person: Person, size: Size) -> _Mask:
    """The coarse parts where they are outlined, else the object's mask where there is one."""
    if "dp_masks" in person:
        return _placed(_body(person), person["bbox"], size)
    mask = person.get("segmentation")
    outline = _rle(mask) if isinstance(mask, Mapping) else [np.array(polygon) for polygon in mask or ()]
    return _Mask(0, 0, to_bitmap(outline, size) > 0)


def _body(person: Person) -> np.ndarray:
    """All coarse parts together, in whole pixels of the box."""
    masks = [rle.decode(_rle(mask)) for mask in person["dp_masks"] if mask] or [np.zeros((1, 1), np.uint8)]
    body = np.max(masks, axis=0)
    rows, columns = (_stretched(side, round(float(max(to, 1)))) for side, to in zip(body.shape, person["bbox"][:1:-1]))
    return rows @ body @ columns.T > 0.5


def _stretched(side: int, to: int) -> np.ndarray:
    """(to, side): the linear weights of pixels along one axis, the first on the first and the last on the last.

    Where rounding puts the last beyond the end it has no weight: scipy's zoom, which the task uses, has it so.
    """
    places = np.arange(to) * ((side - 1) / (to - 1) if to > 1 else 1.0)
    weights = (1 - abs(places[:, None] - np.arange(side))).clip(0)
    return weights * (places <= side - 1)[:, None]


def _rle(mask: Mapping[str, Any]) -> RLE:
    counts = mask["counts"]
    return {"size": mask["size"], "counts": counts.encode() if isinstance(counts, str) else counts}


def _placed(bitmap_HW: np.ndarray, box: Sequence[float], size: Size) -> _Mask:
    """The part of a box's mask that lies in the image."""
    x, y, width, height = box
    left, top = int(x), int(y)
    right = min(int(x + width), size[1], left + bitmap_HW.shape[1])
    bottom = min(int(y + height), size[0], top + bitmap_HW.shape[0])
    first_row, first_column = max(top, 0), max(left, 0)
    window = bitmap_HW[first_row - top : max(bottom - top, 0), first_column - left : max(right - left, 0)]
    return _Mask(first_row, first_column, window)


def _both(one: _Mask, other: _Mask) -> int:
    """How many pixels two masks share."""
    top, left = max(one.top, other.top), max(one.left, other.left)
    bottom = min(one.top + one.bitmap_HW.shape[0], other.top + other.bitmap_HW.shape[0])
    right = min(one.left + one.bitmap_HW.shape[1], other.left + other.bitmap_HW.shape[1])
    if bottom <= top or right <= left:
        return 0
    a, b = (m.bitmap_HW[top - m.top : bottom - m.top, left - m.left : right - m.left] for m in (one, other))
    return int(np.count_nonzero(a & b))
