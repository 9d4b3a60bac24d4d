"""COCO-format data sets: a JSON of annotations and a folder of images."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cvzoo.data.class_choice import choose
from cvzoo.data.coco_json import read_index
from cvzoo.data.config import Split
from cvzoo.data.doubts import lacking_classes
from cvzoo.data.formats.origin import of_originals
from cvzoo.data.images import read_image
from cvzoo.data.index import Index
from cvzoo.data.problems import DataError, Findings, Problem, listing
from cvzoo.data.segments import evaluated_mask
from cvzoo.ops.masks import mask_json, to_bitmap
from cvzoo.structures import Sample, Size, Target

log = logging.getLogger(__name__)

FEDERATED = {"neg_category_ids", "not_exhaustive_category_ids"}
"""Of an image of LVIS: the ids of the classes that it lacks, and of those of which more may be in it."""


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

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process maps the annotations by itself, and is sent a bit for each image."""
        shown = np.zeros(len(self._index.image_ids), bool)
        shown[self._rows] = True
        if not np.array_equal(np.flatnonzero(shown), self._rows):  # another order, or one twice
            return CocoDataset, (self._index, self._annotations, self._rows)
        return _unpacked, (self._index, self._annotations, np.packbits(shown))

    @cached_property
    def _columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        index, rows = self._index, self._rows
        return index.image_ids[rows], index.sizes[rows], np.diff(index.ends)[rows]

    @property
    def image_ids(self) -> np.ndarray:
        return self._columns[0]

    @property
    def sizes(self) -> np.ndarray:
        return self._columns[1]

    @property
    def counts(self) -> np.ndarray:
        """(N,) int64 number of objects of each image, crowds and classes that are not chosen left out."""
        return self._columns[2]

    def select(self, rows: np.ndarray) -> CocoDataset:
        """The data set of these positions only."""
        return CocoDataset(self._index, self._annotations, self._rows[rows])

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Sample:
        """The decoded image with its objects.

        Raises: DataError if the image cannot be decoded or is not of the size its annotations are for.
        """
        row = self._rows[index]
        image, image_id = read_image(self.path(index)), int(self._index.image_ids[row])
        height, width = self._index.sizes[row].tolist()
        size = (image.shape[1], image.shape[2])
        if size != (height, width):
            reason = f"is {size[1]} x {size[0]} pixels once upright, its annotations are for {width} x {height}"
            remedy = "correct width and height, and the boxes, to the upright image"
            raise DataError([Problem(self.path(index), reason, remedy, image_id)])
        return Sample(image, self.target(index), image_id, size)

    @property
    def digest(self) -> str:
        return self._index.digest

    def in_order(self, classes: list[str]) -> CocoDataset:
        return CocoDataset(self._index.in_order(classes), self._annotations, self._rows)

    def among(self, classes: list[str]) -> CocoDataset:
        """The same data with all of these classes, of which some have no object here; their ids count from 1."""
        return CocoDataset(self._index.among(classes), self._annotations, self._rows)

    def chosen(self, classes: Sequence[str], rename: Sequence[str]) -> CocoDataset:
        """The same images with these classes under these names only; see `choose`.

        Raises: DataError, also where the annotation files differ in their classes, and nobody has chosen among them.
        """
        index, file = self._index, self._annotations[0]
        try:
            names, labels = choose(index.classes, classes, rename, file)
            of_files = [labels[list(numbers.values())] for numbers in index.numbers_of]
            if not classes and (problems := lacking_classes(names, of_files, self._annotations)):
                raise DataError(problems)
        except DataError as error:
            raise DataError(of_originals(error.problems, self._annotations)) from None
        return CocoDataset(index.with_classes(names, labels), self._annotations, self._rows)

    def path(self, index: int) -> Path:
        """The image's file."""
        row = self._rows[index]
        return self._index.folders[self._index.folder_of[row]] / self._index.file_name(row)

    def target(self, index: int) -> Target:
        """The objects of an image, without decoding it."""
        objects = self._index.objects(self._rows[index])
        segments, surfaces = self._index.segments, self._index.surfaces
        size: Size = tuple(self._index.sizes[self._rows[index]].tolist())
        numbers = objects.tolist()
        return Target(
            boxes=torch.from_numpy(self._index.boxes[objects]),
            labels=torch.from_numpy(self._index.labels(objects)),
            masks=None if segments is None else [segments.mask(number, size) for number in numbers],
            surfaces=None if surfaces is None else [surfaces[number] for number in numbers],
        )

    def labels(self, index: int) -> np.ndarray:
        """(G,) int64 labels of the objects of an image."""
        return self._index.labels(self._index.objects(self._rows[index]))

    def boxes(self, index: int) -> np.ndarray:
        """(G, 4) float32 xyxy of the objects of an image."""
        return self._index.boxes[self._index.objects(self._rows[index])]

    def with_surfaces(self) -> CocoDataset:
        """The images on which at least one person has a surface, of a data set that was opened with them."""
        assert self._index.surfaces is not None
        annotated = self._index.surfaces.annotated
        return self.select(
            np.array([i for i in range(len(self)) if annotated[self._index.objects(self._rows[i])].any()], np.int64)
        )

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
        index, ids = self._index, set(self.image_ids.tolist())
        images: dict[int, dict[str, Any]] = {}
        annotations: list[dict[str, Any]] = []
        frequencies: dict[int | None, str] = {}
        for number, file in enumerate(self._annotations):
            content, shift, id_of = json.loads(file.read_bytes()), index.shifts[number], index.ids_of(number)
            for image in content["images"]:
                image["id"] += shift
                for name in FEDERATED & image.keys():
                    image[name] = [id_of[category] for category in image[name] if category in id_of]
            frequencies |= {id_of.get(c["id"]): c["frequency"] for c in content["categories"] if "frequency" in c}
            images |= {image["id"]: image for image in content["images"] if image["id"] in ids}
            for annotation in content["annotations"]:
                annotation["image_id"] += shift
                annotation["category_id"] = id_of.get(annotation["category_id"])
            annotations += [a for a in content["annotations"] if a["image_id"] in ids and a["category_id"] is not None]
        if len(self._annotations) > 1:
            for number, annotation in enumerate(annotations, start=1):
                annotation["id"] = number
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
        categories = [{"id": i, "name": name} for i, name in sorted(zip(index.category_ids, index.classes))]
        for category in categories:
            category |= {"frequency": frequencies[category["id"]]} if category["id"] in frequencies else {}
        return {"images": list(images.values()), "annotations": annotations, "categories": categories}


def _unpacked(index: Index, annotations: Sequence[Path], shown: np.ndarray) -> CocoDataset:
    rows = np.flatnonzero(np.unpackbits(shown, count=len(index.image_ids)))
    return CocoDataset(index, annotations, rows)


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
