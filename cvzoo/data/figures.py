"""Drawn people: jointed figures seen from the front or from behind, whose parts, U and V are known at every pixel.

A limb is a bone with a width: U runs along it, V across it from the outer to the inner edge. Hands and feet, which have
one chart, use half of V in front and the other half behind; so do the halves of the head, whose U runs down. On the
torso U runs down and V from the right to the left. So the right and the left of a mirrored figure have the coordinates
of the left and the right before, as `FlatCharts` says.
The body's x points to its left and its y down, its hips are the origin and its height is about 1.
Shape suffixes: H W pixels of an image, h w of a window of it, P points.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.random import Generator

from cvzoo.data.body_parts import COARSE_OF, PARTS
from cvzoo.data.surfaces import SIDE
from cvzoo.structures import Surface

POINTS = 8
"""So many places are annotated of each part that can be seen: about 100 of a person."""
HEIGHTS = (0.45, 0.75)
"""A figure is so high, in shares of the image's shorter side."""
PLACES = 12
"""A figure is put where it hides the least of those before it, of so many places: NMS takes boxes that overlap by half
for one person's."""
HUES = np.array(
    [
        *((0.85, 0.40, 0.15), (1.00, 0.85, 0.30), (0.90, 0.20, 0.20), (0.20, 0.35, 0.95)),
        *((0.15, 0.75, 0.90), (0.95, 0.45, 0.10), (0.75, 0.10, 0.60), (0.10, 0.65, 0.35)),
        *((0.85, 0.25, 0.60), (0.25, 0.80, 0.35), (0.70, 0.05, 0.15), (0.05, 0.30, 0.70)),
        *((0.75, 0.10, 0.30), (0.10, 0.60, 0.75), (0.30, 0.85, 0.65), (0.95, 0.60, 0.45)),
        *((0.10, 0.40, 0.20), (0.60, 0.30, 0.05), (0.45, 0.75, 0.95), (0.90, 0.85, 0.35)),
        *((0.25, 0.25, 0.60), (0.55, 0.50, 0.10), (1.00, 0.50, 0.65), (0.40, 0.65, 1.00)),
    ],
    np.float32,
)
"""The colour of each part: right and left, front and back can be told apart."""


class Bone(NamedTuple):
    """A part between two joints."""

    part: int
    start: np.ndarray
    """x and y in the body."""
    end: np.ndarray
    widths: tuple[float, float]
    """Half the width at its start and at its end."""
    outwards: int
    """1 where its outer side is to the left of its direction, as of left limbs that hang down; -1 the other way."""
    span: tuple[float, float]
    """V at the outer and at the inner edge."""


class Limb(NamedTuple):
    """A piece of a leg or an arm."""

    front: tuple[int, int]
    """The left and the right part seen from the front ..."""
    behind: tuple[int, int]
    """... and from behind."""
    length: float
    widths: tuple[float, float]


LEG = (
    Limb((10, 9), (8, 7), 0.23, (0.060, 0.045)),
    Limb((14, 13), (12, 11), 0.21, (0.042, 0.028)),
    Limb((5, 6), (5, 6), 0.08, (0.026, 0.030)),
)
ARM = (
    Limb((15, 16), (17, 18), 0.16, (0.042, 0.032)),
    Limb((19, 20), (21, 22), 0.14, (0.034, 0.024)),
    Limb((4, 3), (4, 3), 0.08, (0.026, 0.034)),
)
NECK = np.array([0.0, -0.36])


@dataclass(frozen=True)
class Figures:
    """What the pixels of an image show of people."""

    part: np.ndarray
    """(H, W) uint8: 0 where nobody is."""
    uv: np.ndarray
    """(2, H, W) float32."""
    owner: np.ndarray
    """(H, W) int16: whose part it is, counted from 1."""
    areas: np.ndarray
    """(G,) int64: the pixels of each figure before others hid it."""


def draw_figures(image: np.ndarray, count: int, rng: Generator) -> Figures:
    """Draw people on an image, (3, H, W) uint8, later ones over earlier ones."""
    size = (image.shape[1], image.shape[2])
    figures = Figures(
        part=np.zeros(size, np.uint8),
        uv=np.zeros((2, *size), np.float32),
        owner=np.zeros(size, np.int16),
        areas=np.zeros(count, np.int64),
    )
    for number in range(1, count + 1):
        _draw_figure(figures, number, rng)
        rows, columns = np.nonzero(figures.owner == number)
        figures.areas[number - 1] = len(rows)
        colours = _colours(figures.part[rows, columns], figures.uv[:, rows, columns], rng)
        image[:, rows, columns] = colours
    return figures


def surface_of(figures: Figures, number: int, box: Sequence[int], rng: Generator) -> Surface:
    """What is annotated of figure `number`, counted from 1, in the box of its visible pixels, xyxy."""
    x1, y1, x2, y2 = box
    window = np.s_[y1:y2, x1:x2]
    part = np.where(figures.owner[window] == number, figures.part[window], 0)
    rows, columns = np.nonzero(part)
    order = rng.permutation(len(rows))
    rows, columns = rows[order], columns[order]
    parts = part[rows, columns].astype(np.int64)
    kept = np.concatenate([np.flatnonzero(parts == number)[:POINTS] for number in range(1, len(PARTS) + 1)])
    rows, columns, parts = rows[kept], columns[kept], parts[kept]
    points = np.stack([(columns + 0.5) * SIDE / (x2 - x1), (rows + 0.5) * SIDE / (y2 - y1)], 1)
    # the pixel of the window below each pixel of the square
    down, across = (((np.arange(SIDE) + 0.5) * side / SIDE).astype(int) for side in part.shape)
    coarse = np.array(COARSE_OF, np.uint8)[part][down[:, None], across]
    return Surface(
        frame=(float(x1), float(y1), float(x2), float(y2)),
        points_P2=torch.from_numpy(points.astype(np.float32)),
        parts_P=torch.from_numpy(parts),
        uv_P2=torch.from_numpy(figures.uv[:, y1:y2, x1:x2][:, rows, columns].T.copy()),
        coarse=torch.from_numpy(coarse),
    )


@dataclass(frozen=True)
class _Place:
    """Where a figure stands in an image."""

    figures: Figures
    number: int
    turn: np.ndarray
    """(2, 2): places of the image from those of the body."""
    inverse: np.ndarray
    shift: np.ndarray
    """Where the body's hips are."""

    def window(self, corners: np.ndarray) -> tuple[slice, slice]:
        """The pixels around these places of the body; none where they lie outside the image."""
        places = corners @ self.turn.T + self.shift
        left, top = (max(math.floor(place), 0) for place in places.min(0).tolist())
        right, bottom = (max(math.ceil(place), 0) for place in places.max(0).tolist())
        height, width = self.figures.part.shape
        return slice(top, min(bottom, height)), slice(left, min(right, width))

    def coordinates(self, window: tuple[slice, slice], axes: np.ndarray, origin: np.ndarray) -> list[np.ndarray]:
        """Two (h, w): how far along each of two axes of the body, from an origin in it, the pixels' middles are."""
        x0, y0 = (0.5 - self.turn @ origin - self.shift).astype(np.float32)
        y = np.arange(window[0].start, window[0].stop, dtype=np.float32)[:, None] + y0
        x = np.arange(window[1].start, window[1].stop, dtype=np.float32) + x0
        return [across * x + down * y for across, down in (axes @ self.inverse).tolist()]

    def fill(
        self, window: tuple[slice, slice], inside_hw: np.ndarray, part: int | np.ndarray, u: np.ndarray, v: np.ndarray
    ) -> None:
        """Give pixels of a window a part and coordinates."""
        self.figures.owner[window][inside_hw] = self.number
        self.figures.part[window][inside_hw] = part
        self.figures.uv[0][window][inside_hw] = u
        self.figures.uv[1][window][inside_hw] = v


def _draw_figure(figures: Figures, number: int, rng: Generator) -> None:
    """Draw a person anywhere in the image."""
    height, width = figures.part.shape
    front = bool(rng.random() < 0.5)
    scale = rng.uniform(*HEIGHTS) * min(height, width)
    bones, head = _pose(front, rng)
    lean = rng.uniform(-0.3, 0.3)
    towards_x = 1 if front else -1  # from the front, the body's left is on the image's right
    cosine, sine = scale * math.cos(lean), scale * math.sin(lean)
    turn = np.array([[towards_x * cosine, -sine], [towards_x * sine, cosine]])
    joints = np.concatenate([*((bone.start, bone.end) for bone in bones), head]) @ turn.T
    low, high = joints.min(0), joints.max(0)
    room = np.array([width, height]) - (high - low)
    shifts = np.where(room > 0, rng.uniform(0.1, 0.9, (PLACES, 2)) * room, room / 2) - low
    seen = [figures.owner == other for other in range(1, number)]
    others = [_frame(pixels) for pixels in seen if pixels.any()]
    shift = min(
        shifts, key=lambda shift: max((_overlap(low + shift, high + shift, *other) for other in others), default=0)
    )
    place = _Place(figures, number, turn, np.linalg.inv(turn), shift)
    for bone in bones:
        _draw_bone(place, bone)
    _draw_head(place, head, front)


def _frame(pixels_HW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and last place, x and y, of a figure's pixels."""
    columns, rows = (np.flatnonzero(pixels_HW.any(axis)) for axis in (0, 1))
    return np.array([columns[0], rows[0]]), np.array([columns[-1], rows[-1]])


def _overlap(low: np.ndarray, high: np.ndarray, low_other: np.ndarray, high_other: np.ndarray) -> float:
    """IoU of two boxes given by their corners."""
    shared = (np.minimum(high, high_other) - np.maximum(low, low_other)).clip(min=0).prod()
    return shared / ((high - low).prod() + (high_other - low_other).prod() - shared)


def _pose(front: bool, rng: Generator) -> tuple[list[Bone], np.ndarray]:
    """The bones, from those behind to those before, and the head's middle and top."""
    stout = rng.uniform(0.85, 1.2)
    legs: list[Bone] = []
    arms: list[Bone] = []
    for left in (1, -1):
        thigh, upper = rng.uniform(-0.15, 0.5), rng.uniform(0.1, 2.4)
        shin, lower = thigh + rng.uniform(-0.5, 0.15), upper + rng.uniform(-1.4, 1.4)
        hip, shoulder = np.array([0.055 * left, -0.03]), np.array([0.115 * left, -0.335])
        legs += reversed(_chain(hip, zip(LEG, (thigh, shin, shin + 0.7)), front, left, stout))
        arms += _chain(shoulder, zip(ARM, (upper, lower, lower)), front, left, stout)
    # from the right to the left: the body's left is where its outer side would be
    torso = Bone(2 if front else 1, NECK, np.array([0.0, 0.02]), (0.125 * stout, 0.10 * stout), 1, (1.0, 0.0))
    return [*legs, torso, *arms], NECK + np.array([[0, -0.075], [0, -0.165]])


def _chain(joint: np.ndarray, limbs: Iterable[tuple[Limb, float]], front: bool, left: int, stout: float) -> list[Bone]:
    """The bones of a leg or an arm from a joint on, each at its angle: 0 hangs down, a positive one points outwards.

    `left` is 1 of the left side and -1 of the right.
    """
    bones = []
    for limb, angle in limbs:
        end = joint + limb.length * np.array([left * math.sin(angle), math.cos(angle)])
        part = (limb.front if front else limb.behind)[0 if left > 0 else 1]
        span = (0.0, 1.0) if limb.front != limb.behind else (0.0, 0.5) if front else (1.0, 0.5)
        bones.append(Bone(part, joint, end, (limb.widths[0] * stout, limb.widths[1] * stout), left, span))
        joint = end
    return bones


def _draw_bone(place: _Place, bone: Bone) -> None:
    """Fill the pixels of a bone, a little longer than from joint to joint so that no gaps open between bones."""
    along = bone.end - bone.start
    length = math.hypot(*along)
    direction = along / length
    start = bone.start - direction * bone.widths[0] * 0.4
    length += (bone.widths[0] + bone.widths[1]) * 0.4
    outer = bone.outwards * np.array([direction[1], -direction[0]])
    widest = max(bone.widths)
    corners = np.array([start + t * length * direction + s * widest * outer for t in (0, 1) for s in (-1, 1)])
    window = place.window(corners)
    u_hw, outer_hw = place.coordinates(window, np.array([direction / length, outer]), start)
    inwards_hw = 0.5 - 0.5 * outer_hw / (bone.widths[0] + (bone.widths[1] - bone.widths[0]) * u_hw)
    inside = (u_hw >= 0) & (u_hw <= 1) & (inwards_hw >= 0) & (inwards_hw <= 1)
    outermost, innermost = bone.span
    v = outermost + (innermost - outermost) * inwards_hw[inside]
    place.fill(window, inside, bone.part, u_hw[inside], v)


def _draw_head(place: _Place, head: np.ndarray, front: bool) -> None:
    """Fill an ellipse: its right and left half are parts of their own, on which V runs from the face to the back."""
    middle, top = head
    radii = np.array([0.065, middle[1] - top[1]])
    window = place.window(np.array([middle + radii * (x, y) for x in (-1, 1) for y in (-1, 1)]))
    x_hw, y_hw = place.coordinates(window, np.diag(1 / radii), middle)
    inside = x_hw * x_hw + y_hw * y_hw <= 1
    x, y = x_hw[inside], y_hw[inside]
    v = 0.5 * abs(x) if front else 1 - 0.5 * abs(x)
    place.fill(window, inside, np.where(x < 0, 23, 24), 0.5 + 0.5 * y, v)


def _colours(part_P: np.ndarray, uv_2P: np.ndarray, rng: Generator) -> np.ndarray:
    """(3, P) uint8: the part's colour, the brighter the larger U, and turning to its complement with V."""
    colour_P3 = HUES[part_P - 1] * rng.uniform(0.9, 1.1, 3).astype(np.float32)
    u, v = uv_2P[:, :, None]
    mixed = colour_P3 + (0.6 * v) * (1 - 2 * colour_P3) * np.array([1.0, 0.5, 0.7], np.float32)
    shaded = 255 * (0.5 + 0.55 * u) * mixed + rng.integers(-4, 5, mixed.shape, dtype=np.int8)
    return shaded.clip(0, 255).T.astype(np.uint8)
