"""Data that can be read, but are hardly meant: what a look at all of them together shows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from cvzoo.data.dataset import Dataset
from cvzoo.data.problems import Problem
from cvzoo.data.segments import Segments

BEYOND = 0.25
"""A share of the boxes that reach out of their image, or of outlines out of their box, which no rounding explains."""
SLACK = 1.0
"""Pixels that a box may reach out of its image by rounding."""
MANY_CROWDS = 0.5
ENOUGH = 10
"""Objects, before a share of them says anything."""


@dataclass
class Totals:
    """What all sound annotations of a COCO-format file show together."""

    boxes: int = 0
    beyond: int = 0
    """Boxes that reach out of their image."""
    corners: bool = True
    """All could be two corners."""
    largest: float = -math.inf
    """Number of a box."""
    crowds: int = 0

    def add(self, xywh: np.ndarray, sizes: np.ndarray, crowds: int) -> None:
        """Count (G, 4) boxes, each in an image of (height, width) `sizes`, of which so many are crowds."""
        if not len(xywh):
            return
        ends, limits = xywh[:, :2] + xywh[:, 2:], sizes[:, ::-1].astype(np.float64)
        self.boxes += len(xywh)
        self.beyond += int((ends > limits + SLACK).any(1).sum())
        self.corners &= bool((xywh[:, 2:] > xywh[:, :2]).all())
        self.largest = max(self.largest, float(xywh.max()))
        self.crowds += crowds


def doubts(totals: Totals, names: Collection[str], file: Path) -> list[Problem]:
    """Of a COCO-format file with these categories."""
    found = []
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        reason = f"several categories are called {', '.join(twice)}"
        found.append(Problem(file, reason, "give each its own name, or merge them"))
    boxes = totals.boxes
    if totals.corners and totals.beyond > BEYOND * boxes:
        reason = f"{totals.beyond} of {boxes} boxes reach out of their image, as two corners x1, y1, x2, y2 would"
        found.append(Problem(file, reason, "COCO boxes are x, y, width, height; convert them"))
    if totals.largest <= 1:
        reason = f"all {boxes} boxes lie within 0..1, as shares of the image would"
        found.append(Problem(file, reason, "COCO boxes are in pixels; multiply them by the images' sizes"))
    if boxes >= ENOUGH and totals.crowds >= MANY_CROWDS * boxes:
        reason = f"{totals.crowds} of {boxes} objects are crowds, which nobody learns or must find"
        found.append(Problem(file, reason, "set iscrowd to 0 for single objects"))
    return found


def outlines_apart(boxes_G4: np.ndarray, segments: Segments, file: Path) -> list[Problem]:
    """Of objects with xyxy boxes: outlines that lie for the most part elsewhere, as those with y before x do."""
    outlined = np.flatnonzero(np.diff(segments.objects))
    if not len(outlined):
        return []
    firsts, edges = segments.objects[outlined], segments.polygons.edges[:-1] // 2
    low, high = (
        np.stack([of.reduceat(of.reduceat(segments.polygons.values[axis::2], edges), firsts) for axis in (0, 1)], 1)
        for of in (np.minimum, np.maximum)
    )
    boxes = boxes_G4[outlined]
    shared = (np.minimum(high, boxes[:, 2:]) - np.maximum(low, boxes[:, :2])).clip(min=0).prod(1)
    apart = int((shared < (high - low).prod(1) / 2).sum())
    if apart <= BEYOND * len(outlined):
        return []
    reason = f"{apart} of {len(outlined)} outlines lie for the most part outside of their box"
    return [
        Problem(file, reason, "a polygon is x0, y0, x1, y1, ... in pixels of the image, as its box is; convert them")
    ]


def twice_named(names: Sequence[str], ids: np.ndarray, file: Path) -> list[Problem]:
    """Images of one file: in each the objects of the other are background."""
    if len(set(names)) == len(names):
        return []
    first_of: dict[str, int] = {}
    pairs = [(first, row) for row, name in enumerate(names) if (first := first_of.setdefault(name, row)) != row]
    first, row = pairs[0]
    reason = f"{len(pairs)} images have the file of another, as {ids[row]} that of {ids[first]} ({names[row]})"
    return [Problem(file, reason, "put all annotations of a file under one image: in each the others are background")]


def lacking_classes(names: Sequence[str], labels: Sequence[np.ndarray], files: Sequence[Path]) -> list[Problem]:
    """Annotation files of a split that do not know all of its classes: their images might show them all the same.

    Args:
        labels: of each file the labels of its classes, positions in `names`.
    """
    found = []
    for file, known in zip(files, labels):
        lacking = [name for label, name in enumerate(names) if label not in known]
        if lacking:
            reason = f"its categories lack {_some(lacking)}, which the split's other files have"
            remedy = "rename those that mean the same (--data.rename old=new), or choose classes with --data.classes"
            found.append(Problem(file, reason, remedy))
    return found


def no_objects(counts_N: np.ndarray, to: Literal["learn", "find"], file: Path) -> list[Problem]:
    """A split of crowds alone, or of none of the chosen classes.

    Args:
        counts_N: objects of each image, crowds left out.
    """
    if counts_N.any():
        return []
    remedy = "train on background alone with --data.keep-empty" if to == "learn" else "every AP will be -1"
    return [Problem(file, f"no image has an object to {to} (crowds do not count)", f"annotate some, or {remedy}")]


def no_pixels(absent: Sequence[str], place: Path) -> list[Problem]:
    """Classes that no label map of a split shows, as where 255 marks the foreground."""
    if not absent:
        return []
    reason = f"no pixel of the classes {', '.join(absent)}, which cannot be learnt or scored"
    return [Problem(place, reason, "see that their numbers are not among --data.label-maps.ignored, or leave them out")]


def other_classes(train: Dataset, val: Dataset, file: Path) -> list[Problem]:
    """Splits whose classes do not have the same names; their ids and order may differ."""
    alike = sorted(train.classes) == sorted(val.classes)
    if train.classes == val.classes or (alike and len(set(val.classes)) == len(val.classes)):
        return []
    here, there = set(val.classes), set(train.classes)
    differ = [f"{name} / -" for name in val.classes if name not in there]
    differ += [f"- / {name}" for name in train.classes if name not in here]
    shown = _some(differ) or "one is there several times"
    reason = f"its categories are not those of the training split (here / there: {shown})"
    remedy = "give both the same (--data.rename old=new), or choose those that both have with --data.classes"
    return [Problem(file, reason, remedy)]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")


def same_splits(train: Dataset, val: Dataset, file: Path) -> list[Problem]:
    """A validation that is the training again."""
    if train.digest != val.digest:
        return []
    return [
        Problem(file, "the validation split is the training split", "hold images back, and name them with --data.val")
    ]
