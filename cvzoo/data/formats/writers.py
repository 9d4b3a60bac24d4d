"""Writes data sets of objects as COCO, YOLO or Pascal VOC, as other tools read them.

Images are hard links to the originals, which take no room, or copies where the file system has no links. They lie flat,
under their own names; of those that only folders told apart later ones get a number.
"""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple
from xml.etree import ElementTree

import numpy as np
import yaml

from cvzoo.data.build import build_dataset, build_datasets
from cvzoo.data.coco import CocoDataset
from cvzoo.data.config import Data, Split
from cvzoo.data.dataset import Dataset
from cvzoo.data.doubts import other_classes
from cvzoo.data.formats.converted import UNLISTED
from cvzoo.data.outlines import single_outline
from cvzoo.data.problems import DataError
from cvzoo.files import write_json

Format = Literal["coco", "yolo", "voc"]


class Part(NamedTuple):
    """A split that is written."""

    name: str
    dataset: CocoDataset
    files: list[str]
    """A name for each image, unlike all others of all splits, with its suffix."""

    def stem(self, index: int) -> str:
        """The name of an image without suffix."""
        return os.path.splitext(self.files[index])[0]


def convert(data: Data, test: Split | None, out: Path, to: Format) -> list[str]:
    """Write both splits of a data set, and its test part if it has one, into a new folder.

    Returns: what was written, and what the format has no place for.
    Raises: DataError where the data are not sound; ValueError where there is something in the folder.
    """
    if data.semantic:
        raise ValueError("label maps have no objects to convert; they are PNG files that other tools read as they are")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"there is something in {out} already; name a new folder")
    parts = _parts(data, test)
    unfinished = out.with_name(out.name + ".unfinished")
    if unfinished.exists():
        raise ValueError(f"{unfinished} is left over from a conversion that was broken off; remove it")
    unfinished.mkdir(parents=True)
    WRITERS[to](unfinished, parts)
    unfinished.rename(out)
    return [*(f"{part.name}: {_counted(part)}" for part in parts), *_losses(data, parts, to)]


def _parts(data: Data, test: Split | None) -> list[Part]:
    taken: set[str] = set()
    parts = []
    datasets = [*build_datasets(data), *([] if test is None else [build_dataset(replace(data, val=test), "val")])]
    for name, dataset in zip(("train", "val", "test"), _with_classes_of_all(datasets, data, test)):
        parts.append(Part(name, dataset, [_free_name(dataset.path(i), taken) for i in range(len(dataset))]))
    return parts


def _with_classes_of_all(datasets: Sequence[Dataset], data: Data, test: Split | None) -> list[CocoDataset]:
    """Labels are those of the training; where no part lists its classes, the test may show some that no other does."""
    parts = [dataset for dataset in datasets if isinstance(dataset, CocoDataset)]
    assert len(parts) == len(datasets), "objects"
    train, last = parts[0], parts[-1]
    if data.source in UNLISTED and set(train.classes) != set(last.classes):
        names = sorted({*train.classes, *last.classes})
        return [part.among(names) for part in parts]
    if test is not None and (other := other_classes(train, last, data.root / test.annotations)):
        raise DataError(other)
    return [part if part.classes == train.classes else part.in_order(train.classes) for part in parts]


def _free_name(image: Path, taken: set[str]) -> str:
    """The image's name, with a number where another image has it, whatever its suffix and capitals."""
    stem, number = image.stem, 1
    while stem.lower() in taken:
        number += 1
        stem = f"{image.stem}_{number}"
    taken.add(stem.lower())
    return stem + image.suffix


def _counted(part: Part) -> str:
    return f"{len(part.dataset)} images, {int(part.dataset.counts.sum())} objects"


def _losses(data: Data, parts: Sequence[Part], to: Format) -> list[str]:
    """What of the data the written files do not hold."""
    losses = []
    crowds = sum(bool(a["iscrowd"]) for part in parts for a in part.dataset.ground_truth["annotations"])
    if to == "yolo" and crowds:
        losses.append(f"left out: {crowds} crowds, which YOLO does not know")
    if to == "voc" and crowds:
        losses.append(f"{crowds} crowds are marked as difficult")
    if to == "voc" and data.masks:
        losses.append("left out: all masks, which VOC's XML does not hold")
    if to != "coco" and data.surfaces:
        losses.append("left out: all surfaces, which only COCO's format holds")
    return losses


def _put_images(folder: Path, part: Part) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(part.files):
        source = part.dataset.path(index).resolve()
        try:
            os.link(source, folder / name)
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, folder / name)


def write_coco(out: Path, parts: Sequence[Part]) -> None:
    """train/, val/ and annotations/instances_<split>.json."""
    for part in parts:
        _put_images(out / part.name, part)
        truth = part.dataset.ground_truth
        names = dict(zip(part.dataset.image_ids.tolist(), part.files))
        images = [image | {"file_name": names[image["id"]]} for image in truth["images"]]
        write_json(out / "annotations" / f"instances_{part.name}.json", truth | {"images": images})


def write_yolo(out: Path, parts: Sequence[Part]) -> None:
    """data.yaml, images/<split>/ and labels/<split>/: a line for each object, with its box, or its outline if it has a
    mask. An image without objects has an empty file."""
    for part in parts:
        _put_images(out / "images" / part.name, part)
        folder = out / "labels" / part.name
        folder.mkdir(parents=True)
        for index in range(len(part.dataset)):
            lines = "".join(f"{line}\n" for line in _yolo_lines(part.dataset, index))
            (folder / f"{part.stem(index)}.txt").write_text(lines)
    content: dict[str, Any] = {part.name: f"images/{part.name}" for part in parts}
    content |= {"names": dict(enumerate(parts[0].dataset.classes))}
    (out / "data.yaml").write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")


def _yolo_lines(dataset: CocoDataset, index: int) -> list[str]:
    """Class, then numbers in shares of the image's width and height."""
    target = dataset.target(index)
    height, width = dataset.sizes[index].tolist()
    if target.masks is None:
        corners_G22 = target.boxes.numpy().reshape(-1, 2, 2).astype(np.float64)
        shapes = [np.stack([corners.mean(0), corners[1] - corners[0]]) for corners in corners_G22]
    else:
        shapes = [single_outline(mask, (height, width)) for mask in target.masks]
    return [
        " ".join([str(label), *(f"{number:.6f}" for number in (shape / (width, height)).flatten())])
        for label, shape in zip(target.labels.tolist(), shapes)
    ]


def write_voc(out: Path, parts: Sequence[Part]) -> None:
    """JPEGImages/, Annotations/ and ImageSets/Main/<split>.txt."""
    (out / "Annotations").mkdir()
    lists = out / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for part in parts:
        _put_images(out / "JPEGImages", part)
        for index, objects in enumerate(_voc_objects(part.dataset)):
            tree = _voc_tree(part.files[index], part.dataset.sizes[index].tolist(), objects)
            tree.write(out / "Annotations" / f"{part.stem(index)}.xml", encoding="utf-8")
        lines = "".join(f"{part.stem(index)}\n" for index in range(len(part.files)))
        (lists / f"{part.name}.txt").write_text(lines, encoding="utf-8")


def _voc_objects(dataset: CocoDataset) -> Iterator[list[dict[str, Any]]]:
    """Of each image; crowds are difficult ones, which nobody learns or must find."""
    names = dict(zip(dataset.category_ids, dataset.classes))
    crowds: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for one in dataset.ground_truth["annotations"]:
        if one["iscrowd"]:
            x, y, w, h = one["bbox"]
            crowds[one["image_id"]].append(_voc_object(names[one["category_id"]], (x, y, x + w, y + h), 1))
    for index, image_id in enumerate(dataset.image_ids.tolist()):
        target = dataset.target(index)
        found = zip(target.labels.tolist(), target.boxes.tolist())
        yield [*(_voc_object(dataset.classes[label], box, 0) for label, box in found), *crowds[image_id]]


def _voc_object(name: str, box: Sequence[float], difficult: int) -> dict[str, Any]:
    """Corners are pixels, counted from 1, that belong to the box."""
    x1, y1 = (round(corner) + 1 for corner in box[:2])
    x2, y2 = (max(round(corner), first) for corner, first in zip(box[2:], (x1, y1)))
    bounds = {"xmin": x1, "ymin": y1, "xmax": x2, "ymax": y2}
    return {"name": name, "pose": "Unspecified", "truncated": 0, "difficult": difficult, "bndbox": bounds}


def _voc_tree(file: str, size: Sequence[int], objects: Sequence[dict[str, Any]]) -> ElementTree.ElementTree:
    height, width = size
    root = ElementTree.Element("annotation")
    _add(root, {"folder": "JPEGImages", "filename": file, "size": {"width": width, "height": height, "depth": 3}})
    for one in objects:
        _add(root, {"object": one})
    ElementTree.indent(root)
    return ElementTree.ElementTree(root)


def _add(parent: ElementTree.Element, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        element = ElementTree.SubElement(parent, name)
        if isinstance(value, Mapping):
            _add(element, value)
        else:
            element.text = str(value)


WRITERS: dict[Format, Callable[[Path, Sequence[Part]], None]] = {
    "coco": write_coco,
    "yolo": write_yolo,
    "voc": write_voc,
}
