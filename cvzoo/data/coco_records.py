"""The records of a COCO-format file one by one: what may stand in them, and what is wrong with those that hold more."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from cvzoo.data.problems import Findings, Problem, at
from cvzoo.structures import Size

OPTIONAL = ("iscrowd", "area")
"""Keys of annotations that need not be there, but are read where they are."""
KEYS = {
    "categories": ("id", "name"),
    "images": ("id", "file_name", "width", "height"),
    "annotations": ("id", "image_id", "category_id", "bbox"),
}
"""What the records of each part have."""


def value_of(record: Any) -> Any:
    """What a record says, which may not have been read yet."""
    return json.loads(bytes(record)) if isinstance(record, msgspec.Raw) else record


def sound_records(part: str, records: Sequence[Any], file: Path, findings: Findings) -> Iterator[dict[str, Any]]:
    """The records of a part that have its keys, with the right types and an id of their own."""
    ids: set[int] = set()
    for position, record in enumerate(map(value_of, records)):
        if part == "images" and isinstance(record, dict):
            name, url = record.get("file_name", ""), record.get("coco_url")
            if isinstance(name, str) and isinstance(url, str):
                record["file_name"] = file_of(name, url)
        problem = problem_of(part, position, record, file)
        if problem is None and record["id"] in ids:
            problem = repeated(part, position, record, file)
        if problem is None:
            ids.add(record["id"])
            yield record
        else:
            findings.errors.append(problem)


def file_of(name: str, url: str) -> str:
    """The file of an image from its `file_name` and `coco_url`.

    LVIS has the latter: train2017/000000391895.jpg. So has its version 0.5, beside a name of 2014 that no file has.
    """
    of_2014 = name.startswith("COCO_") and not url.endswith(name)
    return "/".join(url.split("/")[-2:]) if url and (of_2014 or not name) else name


def problem_of(part: str, position: int, record: Any, file: Path) -> Problem | None:
    """What is wrong with a record without a look at others."""
    where = f"{part}[{position}]"
    if not isinstance(record, dict):
        return Problem(file, f"{where} is a {type(record).__name__}, not an object", "correct it")
    wrong = _wrong_key(record, KEYS[part])
    return None if wrong is None else _of_part(part, record, file, f"{where} {wrong}", "give it, as COCO's format asks")


def repeated(part: str, position: int, record: dict[str, Any], file: Path) -> Problem:
    """A record has the id of one before it."""
    reason = f"{part}[{position}] repeats the id {record['id']}"
    return _of_part(part, record, file, reason, "give every record its own id")


def misplaced(
    annotation: dict[str, Any], size: Size | None, categories: Mapping[int, str], file: Path
) -> Problem | None:
    """Why an annotation cannot be meant: its image, of this size where it is known, its category, its box."""
    image_id, category_id = annotation["image_id"], annotation["category_id"]
    if size is None:
        return at(annotation, file, f"the image id {image_id} is unknown", "add the image or remove the annotation")
    if category_id not in categories:
        known = f"the {len(categories)} known ids lie in {min(categories, default=0)}..{max(categories, default=0)}"
        return at(annotation, file, f"the category id {category_id} is unknown", f"add the category; {known}")
    x, y, w, h = box = annotation["bbox"]
    height, width = size
    if not all(math.isfinite(v) for v in box):
        return at(annotation, file, f"the box {box} is not finite", "correct it")
    if w < 0 or h < 0:
        return at(annotation, file, f"the box {box} has a negative size", "COCO boxes are x, y, width, height")
    if x >= width or y >= height or x + w < 0 or y + h < 0:
        reason = f"the box {box} lies outside its image of {width} x {height} pixels"
        return at(annotation, file, reason, "correct it; COCO boxes are x, y, width, height in pixels")
    return None


def _wrong_key(record: dict[str, Any], keys: tuple[str, ...]) -> str | None:
    """The first key that is missing or holds what it may not, in words."""
    missing = [key for key in keys if key not in record]
    if missing:
        return f"has no '{missing[0]}'"
    for key in (*keys, *(key for key in OPTIONAL if key in record)):
        sound, expected = _judged(key, record[key])
        if not sound:
            return f"has {key} = {record[key]!r:.60}, not {expected}"
    return None


def _judged(key: str, value: Any) -> tuple[bool, str]:
    """Whether a key may hold a value, and what it should hold."""
    match key:
        case "name" | "file_name":
            return isinstance(value, str) and bool(value), "text"
        case "bbox":
            sound = isinstance(value, list) and len(value) == 4 and all(map(_is_number, value))
            return sound, "four numbers x, y, width, height"
        case "width" | "height":
            return _is_whole(value, 1, 2**31), "a positive whole number"
        case "iscrowd":
            return _is_whole(int(value) if isinstance(value, bool) else value, 0, 2), "0 or 1"
        case "area":
            return _is_number(value) and 0 <= value < math.inf, "a number of pixels"
    return _is_whole(value, -(2**63), 2**63), "a whole number of at most 64 bits"


def _is_whole(value: Any, low: int, end: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value < end


def _is_number(value: Any) -> bool:
    """Whole numbers beyond 53 bits are no float."""
    return isinstance(value, float) or _is_whole(value, -(2**53), 2**53)


def _of_part(part: str, record: dict[str, Any], file: Path, reason: str, remedy: str) -> Problem:
    """A problem with the ids that a record of this part bears, where they can be read."""
    numbers = {key: value for key, value in record.items() if isinstance(value, int)}
    image = numbers.get("id") if part == "images" else numbers.get("image_id")
    return Problem(file, reason, remedy, image, numbers.get("id") if part == "annotations" else None)
