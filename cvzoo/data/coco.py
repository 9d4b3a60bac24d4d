"""COCO-format data sets: a JSON of annotations and a folder of images."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cvzoo.data.coco_json import Index, read_index
from cvzoo.data.config import Split
from cvzoo.data.images import read_image
from cvzoo.data.problems import DataError, Findings, Problem, listing
from cvzoo.data.segments import evaluated_mask
from cvzoo.ops.masks import mask_json, to_bitmap
from cvzoo.structures import Sample, Target

log = logging.getLogger(__name__)


class CocoDataset:
    """The images of one split; see `Dataset` for the attributes.

    Boxes are clipped to the image, labels count the categories by ascending id, crowds are left out.
    """

    def __init__(self, index: Index, annotations: Sequence[Path], rows: np.ndarray | None = None) -> None:
        self._index = index
        self._annotations = annotations
        self.classes = index.classes
        self.category_ids = index.category_ids
        self._rows = np.arange(len(index.image_ids)) if rows is None else rows
        """Rows of the index that this data set shows."""
        self.image_ids = index.image_ids[self._rows]
        self.sizes = index.sizes[self._rows]
        self.counts = np.diff(index.offsets)[self._rows]
        """(N,) int64 number of objects of each image, crowds left out."""
        self._ground_truth: dict[str, Any] | None = None

    @staticmethod
    def open(root: Path, split: Split, masks: bool = False, surfaces: bool = False) -> CocoDataset:
        """Read and check a split, with or without the objects' masks and surfaces.

        Raises: DataError listing every problem of the annotation file and every missing image.
        """
        if not root.is_dir():
            remedy = "name the data set's folder with --data.root"
            raise DataError([Problem(root, "the folder of the data set is missing", remedy)])
        files = coco_files(root, split)
        findings = Findings()
        index = read_index(files, findings, masks, surfaces)
        if findings.errors or index is None:
            raise DataError(findings.errors)
        if findings.warnings:
            log.warning("%d warnings about the data:\n%s", len(findings.warnings), listing(findings.warnings))
        return CocoDataset(index, [annotations for annotations, _ in files])

    def select(self, rows: np.ndarray) -> CocoDataset:
        """The data set of these positions only."""
        return CocoDataset(self._index, self._annotations, self._rows[rows])

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Sample:
        """The decoded image with its objects.

        Raises: DataError if the image cannot be decoded or is not of the size its annotations are for.
        """
        image = read_image(self.path(index))
        height, width = (int(side) for side in self.sizes[index])
        size = (image.shape[1], image.shape[2])
        if size != (height, width):
            reason = f"is {size[1]} x {size[0]} pixels once upright, its annotations are for {width} x {height}"
            remedy = "correct width and height, and the boxes, to the upright image"
            raise DataError([Problem(self.path(index), reason, remedy, int(self.image_ids[index]))])
        return Sample(image, self.target(index), int(self.image_ids[index]), size)

    @property
    def digest(self) -> str:
        return self._index.digest

    def in_order(self, classes: list[str]) -> CocoDataset:
        before = [self.classes.index(name) for name in classes]
        index = replace(
            self._index,
            classes=classes,
            category_ids=[self.category_ids[label] for label in before],
            labels=np.argsort(before)[self._index.labels],
        )
        return CocoDataset(index, self._annotations, self._rows)

    def path(self, index: int) -> Path:
        """The image's file."""
        row = self._rows[index]
        return self._index.folders[self._index.folder_of[row]] / str(self._index.file_names[row])

    def target(self, index: int) -> Target:
        """The objects of an image, without decoding it."""
        span = self._span(index)
        segments, surfaces = self._index.segments, self._index.surfaces
        return Target(
            boxes=torch.from_numpy(self._index.boxes[span].copy()),
            labels=torch.from_numpy(self.labels(index).copy()),
            masks=None if segments is None else [segments[number] for number in range(span.start, span.stop)],
            surfaces=None if surfaces is None else [surfaces[number] for number in range(span.start, span.stop)],
        )

    def labels(self, index: int) -> np.ndarray:
        """(G,) int64 labels of the objects of an image."""
        return self._index.labels[self._span(index)]

    def with_surfaces(self) -> CocoDataset:
        """The images on which at least one person has a surface, of a data set that was opened with them."""
        assert self._index.surfaces is not None
        annotated = self._index.surfaces.annotated
        return self.select(np.array([i for i in range(len(self)) if annotated[self._span(i)].any()], np.int64))

    def _span(self, index: int) -> slice:
        row = self._rows[index]
        return slice(int(self._index.offsets[row]), int(self._index.offsets[row + 1]))

    @property
    def ground_truth(self) -> dict[str, Any]:
        """The annotation files restricted to these images, with crowds; read when first asked for.

        With masks it has the segmentations of `target`, and those masks' areas where the file has none; without, none.
        Likewise with the fields of surfaces.
        """
        if self._ground_truth is None:
            self._ground_truth = self._read_ground_truth()
        return self._ground_truth

    def _read_ground_truth(self) -> dict[str, Any]:
        contents = [json.loads(file.read_bytes()) for file in self._annotations]
        ids = set(self.image_ids.tolist())
        images = {image["id"]: image for content in contents for image in content["images"] if image["id"] in ids}
        annotations = [a for content in contents for a in content["annotations"] if a["image_id"] in ids]
        if self._index.segments is None:
            for annotation in annotations:
                annotation.pop("segmentation", None)  # unchecked, and nobody asked for it
        else:
            annotations = [a for a in annotations if _complete(a, images[a["image_id"]])]
        if self._index.surfaces is None:
            for annotation in annotations:
                for name in [name for name in annotation if name.startswith("dp_")]:
                    del annotation[name]
        for annotation in annotations:  # COCO's own files have both, other people's often do not
            annotation.setdefault("iscrowd", 0)
            annotation.setdefault("area", annotation["bbox"][2] * annotation["bbox"][3])
        return {"images": list(images.values()), "annotations": annotations, "categories": contents[0]["categories"]}


def coco_files(root: Path, split: Split) -> list[tuple[Path, Path]]:
    """The annotation files of a split, each with the folder of its images.

    Raises: DataError if there are not as many folders as files.
    """
    files, folders = split.annotations.split(","), split.images.split(",")
    if len(files) != len(folders):
        reason = f"{len(files)} annotation files have {len(folders)} folders of images"
        raise DataError([Problem(root, reason, "name a folder for each file, separated by commas")])
    return [(root / file, root / folder) for file, folder in zip(files, folders)]


def _complete(annotation: dict[str, Any], image: dict[str, Any]) -> bool:
    """Put the mask to evaluate into an annotation; whether there is one."""
    mask = evaluated_mask(annotation, image)
    if mask is None:
        return False
    annotation["segmentation"] = mask_json(mask)
    if "area" not in annotation:
        annotation["area"] = int(to_bitmap(mask, (image["height"], image["width"])).sum())
    return True
