"""Reads, checks and holds the surfaces of people, as COCO DensePose annotates them.

Annotated are points, `dp_x` and `dp_y` (0..256 in the person's box), each with its part `dp_I` and coordinates `dp_U`
and `dp_V` on it; and `dp_masks`, up to 14 run-length codes of 256 x 256 pixels that fill the box, of the coarse parts.
Errors: points without one of the five lists, or lists of unequal lengths, of anything but finite numbers, or of numbers
that cannot be; masks of another size or that cannot be decoded. People without points stay boxes. The shape suffix
of a person's points is P.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from cvzoo.data.body_parts import COARSE_PARTS, PARTS
from cvzoo.data.problems import Findings, at
from cvzoo.data.segments import run_lengths
from cvzoo.ops import rle
from cvzoo.structures import Surface

SIDE = 256
"""Points and masks are given on a square of this side, stretched over the box."""
BOUNDS = {"dp_x": (0, SIDE), "dp_y": (0, SIDE), "dp_I": (1, len(PARTS)), "dp_U": (0, 1), "dp_V": (0, 1)}
"""The lists of the points, and between which numbers theirs lie ..."""
SLACK = {"dp_x": 16, "dp_y": 16, "dp_I": 0, "dp_U": 1 / 256, "dp_V": 1 / 256}
"""... and how far beyond is taken for rounding."""
REMEDY = "correct it as docs/dense_pose.md says, or leave surfaces out (--data.no-surfaces)"


class Annotated(NamedTuple):
    """A person's surface as it was read."""

    frame: tuple[float, float, float, float]
    points_P5: np.ndarray
    """float32 x, y, part, U, V."""
    codes: list[tuple[int, bytes]] | None
    """The number of each coarse part that has a mask, and its compressed code; None where there are no masks."""


@dataclass(frozen=True)
class Surfaces:
    """The surfaces of all objects in a few arrays, which workers share."""

    annotated: np.ndarray
    """(G,) bool: whether an object has one."""
    outlined: np.ndarray
    """(G,) bool: whether it has masks of coarse parts."""
    frames: np.ndarray
    """(G, 4) float64 xyxy."""
    points: np.ndarray
    """(points, 5) float32 x, y, part, U, V of all points."""
    starts: np.ndarray
    """(G + 1,) int64: the points of object g are starts[g]:starts[g + 1]."""
    parts: np.ndarray
    """(masks,) uint8: the coarse part of each mask."""
    masks: np.ndarray
    """(G + 1,) int64: the masks of object g are masks[g]:masks[g + 1]."""
    codes: np.ndarray
    """uint8: the run-length codes of all masks, one after the other."""
    edges: np.ndarray
    """(masks + 1,) int64: the code of mask m is codes[edges[m]:edges[m + 1]]."""

    def __getitem__(self, number: int) -> Surface | None:
        """The surface of an object."""
        if not self.annotated[number]:
            return None
        points = torch.from_numpy(self.points[self.starts[number] : self.starts[number + 1]].copy())
        x1, y1, x2, y2 = self.frames[number].tolist()
        return Surface(
            frame=(x1, y1, x2, y2),
            points_P2=points[:, :2],
            parts_P=points[:, 2].long(),
            uv_P2=points[:, 3:],
            coarse=torch.from_numpy(self._coarse(number)) if self.outlined[number] else None,
        )

    def _coarse(self, number: int) -> np.ndarray:
        """(256, 256) uint8; later parts lie over earlier ones."""
        coarse = np.zeros((SIDE, SIDE), np.uint8)
        for mask in range(self.masks[number], self.masks[number + 1]):
            counts = self.codes[self.edges[mask] : self.edges[mask + 1]].tobytes()
            coarse[rle.decode({"size": [SIDE, SIDE], "counts": counts}) > 0] = self.parts[mask]
        return coarse


def pack_surfaces(surfaces: Sequence[Annotated | None]) -> Surfaces:
    """The surfaces of the objects 0, 1, ... together."""
    nobody = Annotated((0, 0, 0, 0), np.zeros((0, 5), np.float32), None)
    found = [surface or nobody for surface in surfaces]
    codes = [code for surface in found for code in surface.codes or ()]
    return Surfaces(
        annotated=np.array([surface is not None for surface in surfaces], bool),
        outlined=np.array([surface.codes is not None for surface in found], bool),
        frames=np.array([surface.frame for surface in found], np.float64).reshape(-1, 4),
        points=np.concatenate([nobody.points_P5, *(surface.points_P5 for surface in found)]),
        starts=np.cumsum([0, *(len(surface.points_P5) for surface in found)]),
        parts=np.array([part for part, _ in codes], np.uint8),
        masks=np.cumsum([0, *(len(surface.codes or ()) for surface in found)]),
        codes=np.frombuffer(b"".join(code for _, code in codes), np.uint8),
        edges=np.cumsum([0, *(len(code) for _, code in codes)]),
    )


def read_surface(annotation: dict[str, Any], file: Path, findings: Findings) -> Annotated | None:
    """The surface of an annotation of `file`; None where it has none, or with the reasons in `findings`."""
    if not any(field in annotation for field in BOUNDS):
        return None
    try:
        points = _points(annotation)
        codes = None if "dp_masks" not in annotation else list(_codes(annotation["dp_masks"]))
    except ValueError as error:
        findings.errors.append(at(annotation, file, str(error), REMEDY))
        return None
    x, y, w, h = annotation["bbox"]
    return Annotated((x, y, x + w, y + h), points, codes)


def surface_json(surface: Surface) -> dict[str, Any]:
    """The surface in the fields of COCO's format."""
    columns = [*surface.points_P2.T, surface.parts_P, *surface.uv_P2.T]
    fields: dict[str, Any] = {name: column.tolist() for name, column in zip(BOUNDS, columns)}
    if surface.coarse is not None:
        coarse = surface.coarse.numpy()
        fields["dp_masks"] = [_mask_json(coarse == part) for part in range(1, len(COARSE_PARTS) + 1)]
    return fields


def _mask_json(bitmap: np.ndarray) -> dict[str, Any] | list[Any]:
    """Its code, or what COCO has for a part without a pixel."""
    return {"size": [SIDE, SIDE], "counts": rle.encode(bitmap)["counts"].decode()} if bitmap.any() else []


def _points(annotation: dict[str, Any]) -> np.ndarray:
    """(P, 5) float32; ValueError says what is wrong."""
    missing = [field for field in BOUNDS if field not in annotation]
    if missing:
        raise ValueError(f"its surface has no {', '.join(missing)}")
    columns = {field: _numbers(field, annotation[field]) for field in BOUNDS}
    lengths = {field: len(column) for field, column in columns.items()}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{field} {length}" for field, length in lengths.items())
        raise ValueError(f"its points are not equally many: {counts}")
    for field, column in columns.items():
        low, high = BOUNDS[field]
        if len(column) and not low - SLACK[field] <= column.min() <= column.max() <= high + SLACK[field]:
            raise ValueError(f"its {field} has numbers outside {low}..{high}, {column.min():g} to {column.max():g}")
    if (columns["dp_I"] % 1).any():
        raise ValueError("its dp_I has parts that are not whole numbers")
    for field in ("dp_U", "dp_V"):
        columns[field] = columns[field].clip(0, 1)
    return np.stack(list(columns.values()), 1).astype(np.float32)


def _numbers(field: str, values: Any) -> np.ndarray:
    """float64, all finite; ValueError says what is wrong."""
    sound = isinstance(values, list) and all(type(value) in (int, float) for value in values)
    if not sound or not np.isfinite(column := np.array(values, np.float64)).all():
        raise ValueError(f"its {field} is not a list of finite numbers")
    return column


def _codes(masks: Any) -> Iterator[tuple[int, bytes]]:
    """The coarse part and code of each mask that has a pixel; ValueError says what is wrong."""
    if not isinstance(masks, list) or len(masks) > len(COARSE_PARTS):
        raise ValueError(f"its dp_masks are not a list of up to {len(COARSE_PARTS)} masks")
    for part, mask in enumerate(masks, start=1):
        if not mask:
            continue
        if not isinstance(mask, dict):
            raise ValueError(f"its dp_masks[{part - 1}] is no run-length code")
        try:
            lengths = run_lengths(mask, (SIDE, SIDE))
        except ValueError as error:
            raise ValueError(f"its dp_masks[{part - 1}] {error}") from error
        if lengths[1::2].any():
            yield part, rle.from_counts(lengths.tolist(), (SIDE, SIDE))["counts"]
