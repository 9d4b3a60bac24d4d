"""From the `data` part of a recipe to its data sets."""

from __future__ import annotations

import logging

import numpy as np

from cvzoo.data.coco import CocoDataset
from cvzoo.data.config import Data
from cvzoo.data.dataset import Dataset
from cvzoo.data.doubts import no_objects, other_classes, same_splits
from cvzoo.data.formats.converted import UNLISTED, coco_split, split_of
from cvzoo.data.label_maps import LabelMapDataset
from cvzoo.data.problems import DataError, Findings, Problem, listing
from cvzoo.data.shapes import ShapesDataset, SplitName

log = logging.getLogger(__name__)


def build_datasets(data: Data) -> tuple[Dataset, Dataset]:
    """The training and the validation split, which must agree on the classes' names; labels are those of the training.

    Raises: DataError with the problems of both at once.
    """
    problems: list[Problem] = []
    built: list[Dataset] = []
    splits: tuple[SplitName, ...] = ("train", "val")
    for split in splits:
        try:
            built.append(build_dataset(data, split))
        except DataError as error:
            problems = list(dict.fromkeys([*problems, *error.problems]))
    if problems:
        raise DataError(problems)
    train, val = built
    if data.source != "shapes" and data.limit is None and (same := same_splits(train, val, data.root)):
        log.warning("%s", listing(same))
    if other := other_classes(train, val, data.root / data.val.annotations):
        raise DataError(other)
    return train, val if val.classes == train.classes else val.in_order(train.classes)


def build_dataset(data: Data, split: SplitName) -> Dataset:
    """One split, restricted as the recipe says.

    `data.limit` takes the first training images, of objects those with 2 to 12, for both splits. Otherwise training
    leaves images without objects out, unless `data.keep_empty`, and with `data.surfaces` those without a surface; the
    evaluation uses every image.

    Raises: DataError listing every problem of the split.
    """
    if data.semantic:
        return _semantic(data, "train" if data.limit else split)
    if data.source == "shapes":
        name = "train" if data.limit else split
        masks = data.masks if split == "val" else data.reads_masks
        dataset = ShapesDataset(data.shapes, name, masks=masks, surfaces=data.surfaces)
        return dataset if data.limit is None else _limited(dataset, data.limit, data)
    if split == "val" and data.limit is None:
        dataset = _objects(data, "val", data.masks)
        if empty := no_objects(dataset.counts, "find", data.root / data.val.annotations):
            log.warning("%s", listing(empty))
        return dataset
    dataset = _objects(data, "train", data.reads_masks)
    if data.surfaces:
        dataset = _with_surfaces(dataset, data)
    if data.limit is not None:
        return _limited(dataset, data.limit, data)
    if data.keep_empty:
        return dataset
    if empty := no_objects(dataset.counts, "learn", data.root / data.train.annotations):
        raise DataError(empty)
    return dataset.select(np.flatnonzero(dataset.counts))


def with_absent(dataset: Dataset, data: Data, classes: list[str]) -> Dataset:
    """The split with all of these `classes`, where its format lists none, and it has objects of no others.

    Alone, such a split does not tell of classes that none of its objects is of.
    """
    absent = [name for name in classes if name not in dataset.classes]
    if data.source not in UNLISTED or not absent or not set(dataset.classes) <= set(classes):
        return dataset
    assert isinstance(dataset, CocoDataset)
    log.warning("%s: no object is of %s", data.root / data.val.annotations, ", ".join(absent))
    return dataset.among(classes)


def _objects(data: Data, split: SplitName, masks: bool) -> CocoDataset:
    """A split as it is written, whatever the format, of the chosen classes."""
    findings = Findings()
    part = coco_split(data, split, findings)
    if part is None:
        raise DataError(findings.errors)
    if findings.warnings:
        log.warning("%d warnings about the data:\n%s", len(findings.warnings), listing(findings.warnings))
    return CocoDataset.open(data.root, part, masks, data.surfaces).chosen(data.classes, data.rename)


def _with_surfaces(dataset: CocoDataset, data: Data) -> CocoDataset:
    """The images from which surfaces are learnt, as DensePose's recipes have it."""
    dataset = dataset.with_surfaces()
    if not len(dataset):
        reason = "no person has an annotated surface (dp_x, dp_y, dp_I, dp_U and dp_V)"
        remedy = "name DensePose's annotation files, or leave surfaces out (--data.no-surfaces)"
        raise DataError([Problem(data.root / data.train.annotations, reason, remedy)])
    return dataset


def _semantic(data: Data, split: SplitName) -> LabelMapDataset | ShapesDataset:
    """One split of label maps, or its first `data.limit` images."""
    if data.source == "shapes":
        dataset = ShapesDataset(data.shapes, split)
    else:
        part = split_of(data, split)
        dataset = LabelMapDataset.open(data.root, part, data.label_maps, data.limit)
        dataset = dataset.chosen(data.classes, data.rename, data.root)
    if data.limit is None:
        return dataset
    if len(dataset) < data.limit:
        source = data.root / data.train.images
        raise DataError([Problem(source, f"there are only {len(dataset)} images", "lower --data.limit")])
    return dataset.select(np.arange(data.limit))


def _limited(dataset: CocoDataset | ShapesDataset, limit: int, data: Data) -> Dataset:
    """The first `limit` images with 2 to 12 objects."""
    kept: list[int] = []
    for index in range(len(dataset)):
        if 2 <= len(dataset.labels(index)) <= 12:
            kept.append(index)
        if len(kept) == limit:
            return dataset.select(np.array(kept))
    source = data.root / data.train.annotations
    raise DataError([Problem(source, f"only {len(kept)} images have 2 to 12 objects", "lower --data.limit")])
