"""COCO-format data sets: a JSON of annotations and a folder of pictures."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cvzoo.data.coco_json import Findings, Index, read_index
from cvzoo.data.config import Split
from cvzoo.data.images import read_image
from cvzoo.data.problems import DataError, Problem, listing
from cvzoo.structures import Sample, Target

log = logging.getLogger(__name__)


class CocoDataset:
    """The pictures of one split; see `Dataset` for the attributes.

    Boxes are clipped to the picture, labels count the categories by ascending id, crowds are left out.
    """

    def __init__(self, index: Index, annotations: Path, folder: Path, rows: np.ndarray | None = None) -> None:
        self._index = index
        self._annotations = annotations
        self._folder = folder
        self.classes = index.classes
        self.category_ids = index.category_ids
        self._rows = np.arange(len(index.image_ids)) if rows is None else rows
        """Rows of the index that this data set shows."""
        self.image_ids = index.image_ids[self._rows]
        self.sizes = index.sizes[self._rows]
        self.counts = np.diff(index.offsets)[self._rows]
        """(N,) int64 number of objects of each picture, crowds left out."""
        self._ground_truth: dict[str, Any] | None = None

    @staticmethod
    def open(root: Path, split: Split) -> CocoDataset:
        """Read and check a split.

        Raises: DataError listing every problem of the annotation file and every missing picture.
        """
        if not root.is_dir():
            remedy = "name the data set's folder with --data.root"
            raise DataError([Problem(root, "the folder of the data set is missing", remedy)])
        annotations, folder = root / split.annotations, root / split.images
        findings = Findings()
        index = read_index(annotations, folder, findings)
        if findings.errors or index is None:
            raise DataError(findings.errors)
        if findings.warnings:
            log.warning("%d boxes are skipped:\n%s", len(findings.warnings), listing(findings.warnings))
        return CocoDataset(index, annotations, folder)

    def select(self, rows: np.ndarray) -> CocoDataset:
        """The data set of these positions only."""
        return CocoDataset(self._index, self._annotations, self._folder, self._rows[rows])

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Sample:
        """The decoded picture with its objects.

        Raises: DataError if the picture cannot be decoded or is not of the size its annotations are for.
        """
        image = read_image(self.path(index))
        height, width = (int(side) for side in self.sizes[index])
        size = (image.shape[1], image.shape[2])
        if size != (height, width):
            reason = f"is {size[1]} x {size[0]} pixels once upright, its annotations are for {width} x {height}"
            remedy = "correct width and height, and the boxes, to the upright picture"
            raise DataError([Problem(self.path(index), reason, remedy, int(self.image_ids[index]))])
        return Sample(image, self.target(index), int(self.image_ids[index]), size)

    def path(self, index: int) -> Path:
        """The picture's file."""
        return self._folder / str(self._index.file_names[self._rows[index]])

    def target(self, index: int) -> Target:
        """The objects of a picture, without decoding it."""
        span = self._span(index)
        return Target(torch.from_numpy(self._index.boxes[span].copy()), torch.from_numpy(self.labels(index).copy()))

    def labels(self, index: int) -> np.ndarray:
        """(G,) int64 labels of the objects of a picture."""
        return self._index.labels[self._span(index)]

    def _span(self, index: int) -> slice:
        row = self._rows[index]
        return slice(self._index.offsets[row], self._index.offsets[row + 1])

    @property
    def ground_truth(self) -> dict[str, Any]:
        """The annotation file restricted to these pictures, crowds and polygons included; read when first asked for."""
        if self._ground_truth is None:
            self._ground_truth = self._read_ground_truth()
        return self._ground_truth

    def _read_ground_truth(self) -> dict[str, Any]:
        content = json.loads(self._annotations.read_bytes())
        ids = set(self.image_ids.tolist())
        annotations = [a for a in content["annotations"] if a["image_id"] in ids]
        for annotation in annotations:  # COCO's own files have both, other people's often do not
            annotation.setdefault("iscrowd", 0)
            annotation.setdefault("area", annotation["bbox"][2] * annotation["bbox"][3])
        return {
            "images": [image for image in content["images"] if image["id"] in ids],
            "annotations": annotations,
            "categories": content["categories"],
        }
