"""Data that can be read, but are hardly meant: what a look at all of them together shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

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


def doubts(
    annotations: Sequence[dict[str, Any]], sizes: Sequence[tuple[int, int]], names: Collection[str], file: Path
) -> list[Problem]:
    """Of a COCO-format file with sound annotations, each in an image of (height, width) `sizes`."""
    found = []
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        reason = f"several categories are called {', '.join(twice)}"
        found.append(Problem(file, reason, "give each its own name, or merge them"))
    if not annotations:
        return found
    boxes = np.array([annotation["bbox"] for annotation in annotations], np.float64)
    ends, limits = boxes[:, :2] + boxes[:, 2:], np.array(sizes, np.float64)[:, ::-1]
    beyond = (ends > limits + SLACK).any(1)
    if (boxes[:, 2:] > boxes[:, :2]).all() and beyond.mean() > BEYOND:
        reason = f"{beyond.sum()} of {len(boxes)} boxes reach out of their image, as two corners x1, y1, x2, y2 would"
        found.append(Problem(file, reason, "COCO boxes are x, y, width, height; convert them"))
    if boxes.max() <= 1:
        reason = f"all {len(boxes)} boxes lie within 0..1, as shares of the image would"
        found.append(Problem(file, reason, "COCO boxes are in pixels; multiply them by the images' sizes"))
    crowds = sum(bool(annotation.get("iscrowd", 0)) for annotation in annotations)
    if len(boxes) >= ENOUGH and crowds >= MANY_CROWDS * len(boxes):
        reason = f"{crowds} of {len(boxes)} objects are crowds, which nobody learns or must find"
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
