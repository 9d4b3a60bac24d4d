"""Rotation, zoom, shift and shear as one affine map: of the image, and of all that is known of it.

Places are continuous: pixel (x, y) covers x to x + 1 and y to y + 1. A map is a (2, 3) float64 matrix from places in
the old image to places in the new one. Shape suffixes: G objects, M corners of an outline.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cvzoo.data.charts import scale_surface, shift_surface
from cvzoo.data.config import Data
from cvzoo.data.transforms import MIN_SIDE, resize_image
from cvzoo.ops import rle
from cvzoo.ops.clip import clip_polygon, clipped_box
from cvzoo.structures import IGNORE, RLE, Mask, Sample, Size, Surface, Target

ALIASING = 0.75
"""An image that a map makes smaller than this is resized with a filter first: the map itself looks at four pixels."""


def drawn_map(data: Data, size: Size, new_size: Size, rng: np.random.Generator) -> np.ndarray:
    """A map around the middle of the image to the middle of the new one, as the settings let it be drawn."""
    angle = math.radians(rng.uniform(*data.rotation))
    zoom = rng.uniform(*data.zoom)
    shear = np.tan(np.radians(rng.uniform(-data.shear, data.shear, 2)))
    shift = rng.uniform(-data.shift, data.shift, 2) * new_size[::-1]
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])  # y points down
    linear = zoom * turn @ [[1, shear[0]], [shear[1], 1]]
    middle, new_middle = np.array(size[::-1]) / 2, np.array(new_size[::-1]) / 2
    return np.column_stack([linear, new_middle + shift - linear @ middle])


def shift_of(left: float, top: float) -> np.ndarray:
    """The map that moves an image right and down."""
    return np.array([[1, 0, left], [0, 1, top]], np.float64)


def warp(sample: Sample, matrix: np.ndarray, size: Size, min_visible: float) -> Sample:
    """The image as a map shows it on a black canvas of `size`; of a label map the rest is ignored.

    Objects of which less than `min_visible` remains are dropped; see `warp_target`.
    """
    target = warp_target(sample.target, matrix, sample.size, size, min_visible)
    return replace(sample, image=_warped_image(sample.image, matrix, size), target=target)


def warp_target(target: Target, matrix: np.ndarray, size: Size, new_size: Size, min_visible: float) -> Target:
    """What is known of an image of `size`, in one of `new_size`.

    A box is drawn around the object's mask, where it has one, and around its own turned corners otherwise, which holds
    the object but is larger than needed. It is cut to the image, and the object dropped where less than a pixel or less
    than `min_visible` of the box's area is left.
    """
    masks: Sequence[Mask | None] = [None] * len(target) if target.masks is None else target.masks
    boxes = target.boxes.double().numpy()
    moved = [_moved_object(box, mask, matrix, size, new_size) for box, mask in zip(boxes, masks)]
    whole_G4 = torch.tensor(np.array([one.whole for one in moved]).reshape(-1, 4))
    seen_G4 = torch.tensor(np.array([one.seen for one in moved]).reshape(-1, 4))
    sides = seen_G4[:, 2:] - seen_G4[:, :2]
    kept = (sides >= MIN_SIDE).all(1) & (sides.prod(1) >= min_visible * (whole_G4[:, 2:] - whole_G4[:, :2]).prod(1))
    return Target(
        boxes=seen_G4.float(),
        labels=target.labels,
        masks=None if target.masks is None else [one.mask or [] for one in moved],
        label_map=None if target.label_map is None else _warped_map(target.label_map, matrix, new_size),
        surfaces=None if target.surfaces is None else [_warped_surface(one, matrix) for one in target.surfaces],
    )[kept]


class _Moved(NamedTuple):
    """An object in the new image."""

    whole: np.ndarray
    """(4,) xyxy, which may reach beyond it."""
    seen: np.ndarray
    """(4,) xyxy: what of it lies inside; without extent where nothing does."""
    mask: Mask | None


def _moved_object(box: np.ndarray, mask: Mask | None, matrix: np.ndarray, size: Size, new_size: Size) -> _Moved:
    if isinstance(mask, dict):
        bitmap = rle.decode(mask)
        code = rle.encode(_warped_map(torch.from_numpy(bitmap), matrix, new_size, outside=0).numpy())
        return _Moved(_around(_placed(_corners(bitmap), matrix)), code_box(code), code)
    if mask is None:
        x1, y1, x2, y2 = box
        whole = _around(_placed(np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]]), matrix))
        limit = np.array([*new_size[::-1]] * 2)
        return _Moved(whole, whole.clip(0, limit), None)
    # an earlier crop leaves outlines that reach beyond the image, where nothing is to be seen
    outlines = [_placed(clip_polygon(polygon.reshape(-1, 2), size), matrix) for polygon in mask]
    cut = [clip_polygon(outline, new_size) for outline in outlines]
    whole = _union([_around(outline) for outline in outlines if len(outline)])
    seen = _union([clipped_box(outline, new_size) for outline in cut if len(outline)])
    return _Moved(whole, seen, [outline.reshape(-1) for outline in cut if len(outline)])


def _placed(points_M2: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return points_M2 @ matrix[:, :2].T + matrix[:, 2]


def _around(points_M2: np.ndarray) -> np.ndarray:
    """The box around points; one without extent for none."""
    return np.concatenate([points_M2.min(0), points_M2.max(0)]) if len(points_M2) else np.zeros(4)


def _union(boxes: list[np.ndarray]) -> np.ndarray:
    return _around(np.concatenate(boxes).reshape(-1, 2)) if boxes else np.zeros(4)


def code_box(code: RLE) -> np.ndarray:
    """(4,) xyxy: the box around a mask's pixels; one without extent for none."""
    return _around(_corners(rle.decode(code)))


def _corners(bitmap_HW: np.ndarray) -> np.ndarray:
    """(M, 2): the corners of the first and the last pixel of each column of a mask, among them all that stick out."""
    columns = np.flatnonzero(bitmap_HW.any(0))
    shown = bitmap_HW[:, columns]
    tops, bottoms = shown.argmax(0), len(shown) - shown[::-1].argmax(0)
    corners = [(columns, tops), (columns + 1, tops), (columns, bottoms), (columns + 1, bottoms)]
    return np.concatenate([np.stack(pair, 1) for pair in corners]).astype(np.float64)


def _warped_surface(surface: Surface | None, matrix: np.ndarray) -> Surface | None:
    if surface is None:
        return None
    (x_factor, skew, left), (tilt, y_factor, top) = matrix.tolist()
    assert skew == tilt == 0, "the settings refuse to turn surfaces"
    return shift_surface(scale_surface(surface, (x_factor, y_factor)), left, top)


def _warped_image(image: Tensor, matrix: np.ndarray, size: Size) -> Tensor:
    """Bilinear, black outside; (3, H, W) uint8."""
    if whole := _whole_shift(matrix):
        return paste(image.new_zeros(3, *size), image, *whole)
    shrink = math.sqrt(abs(np.linalg.det(matrix[:, :2])))
    if shrink < ALIASING:
        height, width = (max(round(side * shrink), 1) for side in image.shape[1:])
        matrix = matrix * [image.shape[2] / width, image.shape[1] / height, 1]
        image = resize_image(image, (height, width))
    from cvzoo.ops.interpolate import bilinear  # Numba takes a while: only training with a map pays for it

    return torch.from_numpy(bilinear(image.numpy(), _inverse(matrix), size))


def _warped_map(label_map: Tensor, matrix: np.ndarray, size: Size, outside: int = IGNORE) -> Tensor:
    """(H, W) uint8 by nearest neighbour."""
    if whole := _whole_shift(matrix):
        return paste(label_map.new_full(size, outside), label_map, *whole)
    back = _inverse(matrix).reshape(-1).tolist()
    shown = Image.fromarray(label_map.numpy()).transform(
        (size[1], size[0]), Image.Transform.AFFINE, back, Image.Resampling.NEAREST, fillcolor=outside
    )
    return torch.from_numpy(np.array(shown))


def _inverse(matrix: np.ndarray) -> np.ndarray:
    """(2, 3): from places in the new image to places in the old one."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]])


def _whole_shift(matrix: np.ndarray) -> tuple[int, int] | None:
    """Top and left, where a map only moves by whole pixels."""
    left, top = matrix[:, 2].tolist()
    moves = np.array_equal(matrix[:, :2], np.eye(2)) and left % 1 == 0 and top % 1 == 0
    return (int(top), int(left)) if moves else None


def paste(canvas: Tensor, image: Tensor, top: int, left: int) -> Tensor:
    """Lay the part of (..., h, w) pixels that has room onto a canvas (..., H, W), whose new content is returned."""
    rows, columns = (
        slice(min(max(start, 0), full), min(max(start + length, 0), full))
        for start, length, full in zip((top, left), image.shape[-2:], canvas.shape[-2:])
    )
    canvas[..., rows, columns] = image[
        ..., rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
    ]
    return canvas
