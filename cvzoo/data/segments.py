"""Reads, checks and holds the segmentations of COCO-format annotations: polygons and run-length codes.

Errors: an object without a segmentation; polygons of an odd length, of anything but finite numbers, or far outside
their image; run-length codes of another size, or that cannot be decoded.
Warnings: polygons of fewer than three points are skipped, and objects of which nothing is left, or not a pixel.
Crowds are not trained on and need no segmentation; in the evaluation their box stands in for one that is not sound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cvzoo.data.problems import Findings, at
from cvzoo.data.ragged import Ragged, edges_of, joined, ragged, ragged_bytes, rearranged
from cvzoo.ops import rle
from cvzoo.structures import RLE, Mask, Polygons, Size

NO_SEGMENTATION = "it has no segmentation"
"""The reason of an object's error."""
FAR = 10
"""Polygons may stick out of their image, but not by more than this many times its longer side."""
DIGITS = 12
"""A number of a compressed code has at most so many characters of 5 bits each."""


@dataclass(frozen=True)
class Segments:
    """The masks of all objects in a few arrays, which workers share."""

    polygons: Ragged
    """float64 x0, y0, x1, y1, ... of every polygon, one after the other."""
    objects: np.ndarray
    """int64: the polygons of object g are objects[g]:objects[g + 1]."""
    codes: Ragged
    """uint8: for each object its run-length code, empty where it has polygons instead."""

    def mask(self, number: int, size: Size) -> Mask:
        """The mask of an object in an image of `size`."""
        code = self.codes[number]
        if len(code):
            return {"size": list(size), "counts": code.tobytes()}
        return [self.polygons[polygon].copy() for polygon in range(self.objects[number], self.objects[number + 1])]

    def take(self, numbers: np.ndarray) -> Segments:
        """The masks of these objects, in this order."""
        chosen = Ragged(np.arange(len(self.polygons)), self.objects).take(numbers)
        return Segments(self.polygons.take(chosen.values), chosen.edges, self.codes.take(numbers))


def outlined(polygons: Ragged, objects: np.ndarray) -> Segments:
    """The masks of objects that all have polygons."""
    return Segments(polygons, objects, Ragged(np.zeros(0, np.uint8), np.zeros(len(objects), np.int64)))


def pack(masks: Sequence[Mask]) -> Segments:
    """The masks of the objects 0, 1, ... together."""
    outlines: list[Polygons] = [[] if isinstance(mask, dict) else mask for mask in masks]
    return Segments(
        polygons=ragged([polygon for outline in outlines for polygon in outline], np.float64),
        objects=edges_of([len(outline) for outline in outlines]),
        codes=ragged_bytes([mask["counts"] if isinstance(mask, dict) else b"" for mask in masks]),
    )


def join(parts: Sequence[Segments]) -> Segments:
    """The masks of all parts, at least one."""
    return Segments(
        polygons=joined([part.polygons for part in parts]),
        objects=edges_of(np.concatenate([np.diff(part.objects) for part in parts])),
        codes=joined([part.codes for part in parts]),
    )


def rearrange(parts: list[Segments], order: np.ndarray) -> Segments:
    """The masks of all parts, at least one, in another order, a permutation; empties `parts`."""
    objects = edges_of(np.concatenate([np.diff(part.objects) for part in parts]))
    chosen = Ragged(np.arange(objects[-1]), objects).take(order)
    polygons, codes = [part.polygons for part in parts], [part.codes for part in parts]
    parts.clear()
    return Segments(rearranged(polygons, chosen.values), chosen.edges, rearranged(codes, order))


def sound_outlines(segments: Segments, sizes_N2: np.ndarray) -> np.ndarray:
    """(N,) bool: which of many objects have polygons of which `read_mask` would have nothing to say.

    Args:
        segments: polygons as they were written, of any length.
        sizes_N2: height and width of each object's image.
    """
    polygons, counts = segments.polygons, np.diff(segments.objects)
    lengths = np.diff(polygons.edges)
    objects = np.repeat(np.arange(len(counts)), counts)
    side = sizes_N2.max(1, initial=0).astype(np.float64)[objects]
    padded = np.append(polygons.values, 0.0)  # never far, and a place for polygons without points at the end
    low, high = (extreme.reduceat(padded, polygons.edges[:-1]) for extreme in (np.minimum, np.maximum))
    far = (low < -FAR * side) | (high > (FAR + 1) * side)
    sound = counts > 0
    sound[objects[(lengths < 6) | (lengths % 2 == 1) | far]] = False
    return sound


def read_mask(annotation: dict[str, Any], size: Size, file: Path, findings: Findings) -> Mask | None:
    """The mask of an annotation of `file`, in an image of `size`; None, with the reason in `findings`, for an object to
    leave out."""
    match annotation.get("segmentation"):
        case None | []:
            remedy = "give it polygons or a run-length code"
            findings.errors.append(at(annotation, file, NO_SEGMENTATION, remedy))
        case list(polygons):
            return _read_polygons(polygons, size, annotation, file, findings)
        case dict(code):
            return _read_code(code, size, annotation, file, findings)
        case other:
            remedy = "give a list of polygons, or a run-length code"
            findings.errors.append(at(annotation, file, f"its segmentation is a {type(other).__name__}", remedy))
    return None


def evaluated_mask(annotation: dict[str, Any], image: dict[str, Any]) -> Mask | None:
    """The mask that predictions are compared with; None for an object that `read_mask` leaves out."""
    mask = read_mask(annotation, (image["height"], image["width"]), Path(), Findings())
    if mask is None and annotation.get("iscrowd", 0):
        x, y, w, h = annotation["bbox"]
        return [np.array([x, y, x + w, y, x + w, y + h, x, y + h], np.float64)]
    return mask


def _read_polygons(
    polygons: list[Any], size: Size, annotation: dict[str, Any], file: Path, findings: Findings
) -> Polygons | None:
    """Those of at least three points; None if there are none, or at the first that is unsound."""
    kept: Polygons = []
    for number, numbers in enumerate(polygons):
        try:
            polygon = _polygon(numbers, size)
        except ValueError as error:
            remedy = "a segmentation is a list of polygons, each x0, y0, x1, y1, ... in pixels"
            findings.errors.append(at(annotation, file, f"its polygon {number} {error}", remedy))
            return None
        if len(polygon) >= 6:
            kept.append(polygon)
        else:
            reason = f"its polygon {number} has fewer than 3 points"
            findings.warnings.append(at(annotation, file, reason, "the polygon is skipped; outline it or remove it"))
    if not kept:
        findings.warnings.append(at(annotation, file, "it has no sound polygon", "it is skipped; outline or remove it"))
    return kept or None


def _polygon(numbers: Any, size: Size) -> np.ndarray:
    """Float64 coordinates; ValueError says what is wrong with them."""
    try:
        polygon = np.array(numbers)
    except ValueError:  # lists of unequal lengths
        polygon = np.array(None)
    if polygon.ndim != 1 or polygon.dtype.kind not in "iuf":
        raise ValueError("is not a list of numbers")
    if len(polygon) % 2:
        raise ValueError(f"has an odd length, {len(polygon)}")
    if not np.isfinite(polygon).all():
        raise ValueError("is not finite")
    reach = FAR * max(size)
    if len(polygon) and (polygon.min() < -reach or polygon.max() > reach + max(size)):
        raise ValueError(f"lies far outside its image of {size[1]} x {size[0]} pixels")
    return polygon.astype(np.float64)


def _read_code(
    code: dict[str, Any], size: Size, annotation: dict[str, Any], file: Path, findings: Findings
) -> RLE | None:
    """pycocotools' compressed form of a compressed or plain code; None if it is unsound or of no pixel."""
    try:
        lengths = run_lengths(code, size)
    except ValueError as error:
        findings.errors.append(at(annotation, file, f"its run-length code {error}", "encode the mask anew"))
        return None
    if not lengths[1::2].any():
        findings.warnings.append(
            at(annotation, file, "its mask has no pixel", "it is skipped; give it some or remove it")
        )
        return None
    return rle.from_counts(lengths.tolist(), size)


def run_lengths(code: dict[str, Any], size: Size) -> np.ndarray:
    """Int64 pixels of each run of a code of an image of `size`; ValueError says what is wrong with it."""
    if code.get("size") != list(size):
        raise ValueError(f"has the size {code.get('size')!r:.40}, its image [height, width] = {list(size)}")
    match code.get("counts"):
        case str() | bytes() as counts:
            lengths = decompress(counts.encode() if isinstance(counts, str) else counts)
        case list(counts) if all(type(count) is int for count in counts):
            lengths = np.array(counts, np.int64)
        case other:
            raise ValueError(f"has counts {other!r:.40}, not whole numbers or text")
    if len(lengths) and lengths.min() < 0:
        raise ValueError("has negative counts")
    if lengths.sum() != size[0] * size[1]:
        raise ValueError(f"covers {lengths.sum()} pixels, its image has {size[1]} x {size[0]}")
    return lengths


def decompress(counts: bytes) -> np.ndarray:
    """Int64 run lengths of a compressed code. ValueError where it is none; pycocotools would read on past its end.

    Characters hold 5 bits each, low bits first, with a sixth set where more follow. From the fourth number on it is the
    difference to the last but one that is coded.
    """
    values = np.frombuffer(counts, np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero((values & 32) == 0)
    if not len(ends) or ends[-1] != len(values) - 1 or values.min() < 0 or values.max() > 63:
        raise ValueError("cannot be decoded")
    starts = np.concatenate([[0], ends[:-1] + 1])
    digits = ends - starts + 1
    if digits.max() > DIGITS:
        raise ValueError("cannot be decoded")
    shifts = 5 * (np.arange(len(values)) - np.repeat(starts, digits))
    numbers = np.add.reduceat((values & 31) << shifts, starts)
    numbers -= (values[ends] >> 4 & 1) << (5 * digits)  # the sign
    for first in (1, 2):
        numbers[first::2] = np.cumsum(numbers[first::2])
    return numbers
