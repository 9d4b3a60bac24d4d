"""Data that can be read, but are hardly meant: what a look at all of them together shows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cvzoo.data.dataset import Dataset
from cvzoo.data.problems import Problem

BEYOND = 0.25
"""A share of the boxes that reach out of their image which no rounding explains."""
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


def other_classes(train: Dataset, val: Dataset, file: Path) -> list[Problem]:
    """Splits whose labels would not mean the same."""
    if (train.category_ids, train.classes) == (val.category_ids, val.classes):
        return []
    here, there = (dict(zip(dataset.category_ids, dataset.classes)) for dataset in (val, train))
    differ = [
        f"{i} {here.get(i, '-')} / {there.get(i, '-')}" for i in sorted({*here, *there}) if here.get(i) != there.get(i)
    ]
    shown = ", ".join(differ[:5]) + (" ..." if len(differ) > 5 else "")
    reason = f"its categories are not those of the training split (here / there: {shown or 'in another order'})"
    return [Problem(file, reason, "give both files the same categories, or labels would change their meaning")]


def same_splits(train: Dataset, val: Dataset, file: Path) -> list[Problem]:
    """A validation that is the training again."""
    if train.digest != val.digest:
        return []
    return [
        Problem(file, "the validation split is the training split", "hold images back, and name them with --data.val")
    ]
