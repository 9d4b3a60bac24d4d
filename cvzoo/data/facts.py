"""What the images of a split show, in numbers. Shape suffixes: N images, G objects, K classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvzoo.data.coco import CocoDataset
from cvzoo.data.label_maps import LabelMapDataset

CELLS = 32
"""Cells of a heat map along each side."""
Viewed = CocoDataset | LabelMapDataset
"""Data sets that are looked at."""


@dataclass(frozen=True)
class Facts:
    """Of one split; label maps have no objects."""

    sizes_N2: np.ndarray
    """Height and width of each image."""
    rows_G: np.ndarray
    """Int64: the image of each object."""
    labels_G: np.ndarray
    boxes_G4: np.ndarray
    """float64 xyxy."""
    amounts_K: np.ndarray
    """Int64: objects, or pixels, of each class."""
    images_K: np.ndarray
    """Int64: images that show each class."""
    empty: int
    """Images that show nothing."""

    @property
    def sides_G2(self) -> np.ndarray:
        """Width and height of each object."""
        return self.boxes_G4[:, 2:] - self.boxes_G4[:, :2]

    def coverage(self) -> np.ndarray:
        """(CELLS, CELLS): the share of the objects whose box covers each cell of the image, stretched to a square."""
        scale_G2 = CELLS / self.sizes_N2[self.rows_G][:, ::-1]
        first_G2 = np.floor(self.boxes_G4[:, :2] * scale_G2).astype(int).clip(0, CELLS - 1)
        end_G2 = np.ceil(self.boxes_G4[:, 2:] * scale_G2).astype(int).clip(first_G2 + 1, CELLS)
        steps = np.zeros((CELLS + 1, CELLS + 1))
        for columns_G, sign in ((first_G2[:, 0], 1), (end_G2[:, 0], -1)):
            np.add.at(steps, (first_G2[:, 1], columns_G), sign)
            np.add.at(steps, (end_G2[:, 1], columns_G), -sign)
        return steps.cumsum(0).cumsum(1)[:CELLS, :CELLS] / max(len(self.rows_G), 1)


def facts_of(dataset: Viewed) -> Facts:
    """Count what a data set holds, without decoding an image."""
    if isinstance(dataset, LabelMapDataset):
        nothing = np.zeros(0, np.int64)
        shown = dataset.pixels > 0
        amounts, images, empty = dataset.pixels.sum(0), shown.sum(0), int((~shown.any(1)).sum())
        return Facts(dataset.sizes, nothing, nothing, np.zeros((0, 4)), amounts, images, empty)
    rows = np.repeat(np.arange(len(dataset)), dataset.counts)
    labels = np.concatenate([np.zeros(0, np.int64), *(dataset.labels(i) for i in range(len(dataset)))])
    boxes = np.concatenate([np.zeros((0, 4)), *(dataset.boxes(i) for i in range(len(dataset)))])
    classes = len(dataset.classes)
    seen = np.unique(np.stack([rows, labels]), axis=1)[1]
    amounts, images = (np.bincount(found, minlength=classes) for found in (labels, seen))
    return Facts(dataset.sizes, rows, labels, boxes, amounts, images, int((dataset.counts == 0).sum()))
