"""COCO's format as other tools export it, and COCO's format of which lists choose the images.

What is put right: file names with another folder or with backslashes (Label Studio), ids that are texts and outlines
that are no lists of lists (VIA), ids of objects from 0, missing boxes of outlined objects, and a class without objects
that is the parent of all others (Roboflow's exports have the project's name so). Whatever else is wrong, the reader of
COCO's format tells.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any, TypeGuard

from cvzoo.data.config import Split
from cvzoo.data.formats.coco_files import idle_parents
from cvzoo.data.formats.document import CLASS, Document
from cvzoo.data.formats.image_lists import ImageFile, chosen
from cvzoo.data.formats.origin import MADE_FROM
from cvzoo.data.pairs import files_below
from cvzoo.data.problems import Findings, Problem

PARTS = ("images", "annotations", "categories")


def read(root: Path, split: Split, findings: Findings) -> Document:
    """The images of a split's JSON files with their objects."""
    document = Document()
    categories: list[dict[str, Any]] = []
    for name, folder in zip(split.annotations.split(","), split.images.split(",")):
        content = _content(root / name, findings)
        document.images += _images(content["images"], root, root / folder, root / name)
        document.annotations += content["annotations"]
        _refuse_other_names(categories, content["categories"], root / name, findings)
        categories += content["categories"]
    if split.lists:
        names = {image.name for image in chosen(root, split.lists, _files(root, document.images), findings)}
        document.images = [image for image in document.images if image["file_name"] in names]
        kept = _numbers(image["id"] for image in document.images)
        document.annotations = [one for one in document.annotations if kept & _numbers([one.get("image_id")])]
    used = _numbers(one.get("category_id") for one in document.annotations)
    idle = _numbers(idle_parents(categories)) - used
    names = {_number(one["id"]): one["name"] for one in categories}
    document.numbers = classes = {number: name for number, name in names.items() if number not in idle}
    for one in document.annotations:
        _correct(one, classes)
    ids = [one.get("id") for one in document.annotations]
    if not all(isinstance(number, int) and number > 0 for number in ids) or len(set(ids)) < len(ids):
        for number, one in enumerate(document.annotations, start=1):
            one["id"] = number
    return document


def images_of(root: Path, split: Split, findings: Findings) -> list[ImageFile]:
    """The images of a split's JSON files, whatever its lists say."""
    names = zip(split.annotations.split(","), split.images.split(","))
    contents = ((_content(root / name, findings), root / folder, root / name) for name, folder in names)
    return [file for content, *place in contents for file in _files(root, _images(content["images"], root, *place))]


def _files(root: Path, images: Iterable[dict[str, Any]]) -> list[ImageFile]:
    return [ImageFile(root / one["file_name"], one["file_name"], one["file_name"], root) for one in images]


def _refuse_other_names(
    known: list[dict[str, Any]], more: list[dict[str, Any]], file: Path, findings: Findings
) -> None:
    """An error for each number that a file gives to another class than the files before it."""
    names = {_number(one.get("id")): one.get("name") for one in known}
    for one in more:
        number, name = _number(one.get("id")), one.get("name")
        if names.get(number, name) != name:
            reason = f"calls category {number} {name}, which the files before it call {names[number]}"
            findings.errors.append(Problem(file, reason, "number the classes of all files alike"))


def _content(file: Path, findings: Findings) -> dict[str, list[dict[str, Any]]]:
    """The records of a file; none, with the reason in `findings`, where it cannot be read."""
    try:
        content = json.loads(file.read_bytes())
        found = {part: content[part] for part in PARTS}
        if all(isinstance(record, dict) for part in PARTS for record in found[part]):
            if all(_is_category(record) for record in found["categories"]):
                return found
            reason = "has a category without a number or a name"
        else:
            reason = "its records are no objects"
    except FileNotFoundError:
        reason = "the annotation file is missing"
    except (OSError, ValueError, RecursionError) as error:
        reason = f"cannot be read as JSON ({error})"
    except (KeyError, TypeError):
        reason = "is not COCO: it has no images, annotations and categories"
    findings.errors.append(Problem(file, reason, "export it again, or name another one with --data.train / --data.val"))
    return {part: [] for part in PARTS}


def _is_category(record: dict[str, Any]) -> bool:
    return isinstance(_number(record.get("id")), int) and isinstance(record.get("name"), str)


def _images(records: Iterable[dict[str, Any]], root: Path, folder: Path, file: Path) -> list[dict[str, Any]]:
    """The records of images, their names relative to the root; where one is not there, by its own name alone."""
    by_name: dict[str, str] = {}
    images = []
    for record in records:
        name = str(record.get("file_name", "")).replace("\\", "/").lstrip("/")
        if name and not (folder / name).is_file():
            by_name = by_name or {PurePosixPath(found).name: found for found in files_below(folder)}
            name = by_name.get(PurePosixPath(name).name, name)
        place = PurePosixPath(os.path.relpath(folder / name, root)).as_posix() if name else ""
        images.append(record | {"id": _number(record.get("id")), "file_name": place, MADE_FROM: str(file)})
    return images


def _number(value: Any) -> Any:
    """An id, which some tools write as a text."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _numbers(values: Iterable[Any]) -> set[int]:
    """The ids among these; others are left for the reader of COCO's format to tell."""
    return {number for number in map(_number, values) if isinstance(number, int)}


def _is_outline(value: Any) -> TypeGuard[list[list[float]]]:
    """Whether it is a list of polygons, each a list of numbers."""
    if not isinstance(value, list) or not value:
        return False
    return all(
        isinstance(polygon, list) and len(polygon) > 1 and all(isinstance(number, int | float) for number in polygon)
        for polygon in value
    )


def _correct(annotation: dict[str, Any], classes: dict[int, str]) -> None:
    annotation["image_id"] = _number(annotation.get("image_id"))
    number = _number(annotation.get("category_id"))
    is_known = isinstance(number, int) and number in classes
    annotation |= {CLASS: classes[number]} if is_known else {"category_id": number}
    outline = annotation.get("segmentation")
    if isinstance(outline, list) and outline and all(isinstance(value, int | float) for value in outline):
        annotation["segmentation"] = outline = [outline]
    if not annotation.get("bbox") and _is_outline(outline):
        x, y = ([number for polygon in outline for number in polygon[axis::2]] for axis in (0, 1))
        annotation["bbox"] = [min(x), min(y), max(x) - min(x), max(y) - min(y)]
