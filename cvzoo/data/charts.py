"""Surfaces moved with their image, and what parts and coordinates become in a mirrored one. P points of a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from cvzoo.data.body_parts import COARSE_MIRRORED, MIRRORED
from cvzoo.data.config import Data
from cvzoo.data.smpl import SYMMETRY_FILES, missing, read_symmetry
from cvzoo.data.surfaces import SIDE
from cvzoo.structures import Surface

STEPS = 255
"""U and V are looked up in tables of so many steps."""


class Charts(Protocol):
    """What the coordinates on each part mean."""

    def mirrored(self, parts_P: Tensor, uv_P2: Tensor) -> Tensor:
        """(P, 2): U and V, on the mirrored part, of the points in a mirrored image."""
        ...


@dataclass(frozen=True)
class FlatCharts:
    """Parts of the right and the left have the same coordinates; on the torso V runs from the right to the left."""

    flip_self_parts: bool = True

    def mirrored(self, parts_P: Tensor, uv_P2: Tensor) -> Tensor:
        turned = _is_own_mirror(parts_P) & self.flip_self_parts
        u_P, v_P = uv_P2.unbind(1)
        return torch.stack([u_P, torch.where(turned, 1 - v_P, v_P)], 1)


@dataclass(frozen=True)
class TableCharts:
    """COCO's body: tables say what U and V become, in steps of 1/255."""

    tables: Tensor
    """(24, 2, 256, 256) float32, at [part - 1, U or V, 255 V, 255 U]."""
    flip_self_parts: bool = True

    def mirrored(self, parts_P: Tensor, uv_P2: Tensor) -> Tensor:
        u_P, v_P = (uv_P2 * STEPS).long().unbind(1)
        moved_P2 = self.tables[parts_P - 1, :, v_P, u_P]
        kept = _is_own_mirror(parts_P) & (not self.flip_self_parts)
        return torch.where(kept[:, None], uv_P2, moved_P2)


def _is_own_mirror(parts_P: Tensor) -> Tensor:
    return torch.tensor(MIRRORED)[parts_P] == parts_P


def charts_of(data: Data) -> Charts | None:
    """The charts of the data's surfaces, read once; None where nothing is flipped.

    Raises: ValueError when a file that they need is missing.
    """
    if not data.surfaces or data.flip == 0:
        return None
    return _charts(None if data.charts == "flat" else data.smpl, data.flip_uv_self_parts)


@lru_cache(maxsize=1)
def _charts(folder: Path | None, flip_self_parts: bool) -> Charts:
    if folder is None:
        return FlatCharts(flip_self_parts)
    return TableCharts(torch.from_numpy(read_symmetry(folder)), flip_self_parts)


def missing_tables(data: Data) -> list[str]:
    """What is missing to flip surfaces in training, in words."""
    if data.charts == "flat" or data.flip == 0:
        return []
    found = missing(data.smpl, SYMMETRY_FILES, "a horizontal flip of surfaces")
    return [f"{problem}, or do not flip (--data.flip 0)" for problem in found]


def scale_surface(surface: Surface, factors: Sequence[float]) -> Surface:
    """In the pixels of the resized image; `factors` of x and y."""
    x1, y1, x2, y2 = surface.frame
    return replace(surface, frame=(x1 * factors[0], y1 * factors[1], x2 * factors[0], y2 * factors[1]))


def shift_surface(surface: Surface, x: float, y: float) -> Surface:
    """Moved right and down."""
    x1, y1, x2, y2 = surface.frame
    return replace(surface, frame=(x1 + x, y1 + y, x2 + x, y2 + y))


def flip_surface(surface: Surface, width: float, charts: Charts) -> Surface:
    """Mirrored left and right in an image of that width: left parts become right ones."""
    x1, y1, x2, y2 = surface.frame
    x_P, y_P = surface.points_P2.unbind(1)
    coarse = surface.coarse
    return Surface(
        frame=(width - x2, y1, width - x1, y2),
        points_P2=torch.stack([SIDE - x_P, y_P], 1),
        parts_P=torch.tensor(MIRRORED)[surface.parts_P],
        uv_P2=charts.mirrored(surface.parts_P, surface.uv_P2),
        coarse=None if coarse is None else torch.tensor(COARSE_MIRRORED, dtype=torch.uint8)[coarse.flip(1).long()],
    )
