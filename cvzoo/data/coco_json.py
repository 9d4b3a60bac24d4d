"""Reads and checks a COCO-format annotation file.

Errors (the run does not start): what cannot be meant, such as unknown or duplicate ids, boxes with negative or
non-finite numbers or wholly outside their image, missing images, and files of another format.
Warnings (the box is skipped): boxes without area. COCO itself has some: annotations 918 and 2206849 of train2017.
Silent: boxes that stick out of the image are clipped to it, as every reference does.
Segmentations and surfaces are read and checked where they are asked for: see segments.py and surfaces.py.
A data set may lie in several files, each with a folder of images.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cvzoo.data.dataset import digest_of
from cvzoo.data.doubts import doubts
from cvzoo.data.problems import Findings, Problem, at
from cvzoo.data.segments import Segments, pack, read_mask
from cvzoo.data.surfaces import Annotated, Surfaces, pack_surfaces, read_surface
from cvzoo.structures import Mask

OPTIONAL = ("iscrowd", "area")
"""Keys of annotations that need not be there, but are read where they are."""
MIN_SIDE = 1e-5
"""Boxes with a shorter side, in pixels, have no area (detectron2's threshold)."""


@dataclass
class Index:
    """The annotations of one file in a few arrays: 860 000 boxes of COCO take 20 MB and workers share them."""

    classes: list[str]
    category_ids: list[int]
    image_ids: np.ndarray
    """(N,) int64."""
    sizes: np.ndarray
    """(N, 2) int32 height and width."""
    file_names: np.ndarray
    """(N,) str, relative to the folder of the images."""
    folders: list[Path]
    """Of the images of each annotation file."""
    folder_of: np.ndarray
    """(N,) uint8: the folder of each image."""
    boxes: np.ndarray
    """(G, 4) float32 xyxy, clipped to the image, sorted by image; crowds left out."""
    labels: np.ndarray
    """(G,) int64."""
    offsets: np.ndarray
    """(N + 1,) int64: the boxes of image n are offsets[n]:offsets[n + 1]."""
    segments: Segments | None
    """G masks, where they were asked for."""
    surfaces: Surfaces | None
    """G surfaces, where they were asked for."""

    @cached_property
    def digest(self) -> str:
        """See `Dataset`; hashed once, however many data sets show parts of the index."""
        names = [self.classes, self.category_ids, self.file_names.tolist()]
        return digest_of(names, self.image_ids, self.sizes, self.boxes, self.labels, self.offsets)


@dataclass
class _Records:
    """What is sound in one annotation file, or in several."""

    categories: dict[int, str] = field(default_factory=dict)
    images: list[dict[str, Any]] = field(default_factory=list)
    folder_of: list[int] = field(default_factory=list)
    """Of each image."""
    objects: list[_Object] = field(default_factory=list)


class _Object(NamedTuple):
    row: int
    """Of its image."""
    label: int
    box: list[float]
    mask: Mask
    surface: Annotated | None


def read_index(
    files: Sequence[tuple[Path, Path]], findings: Findings, masks: bool = False, surfaces: bool = False
) -> Index | None:
    """Read annotation files, each of the images in its folder; every problem goes to `findings`.

    Args:
        masks: read the segmentations too.
        surfaces: read the surfaces of people too.

    Returns: the index of all that is sound, or None where nothing can be made of a file.
    """
    every = _Records()
    read = [_read_file(file, folder, findings, masks, surfaces) for file, folder in files]
    for number, ((file, _), own) in enumerate(zip(files, read)):
        if own is None:
            return None
        _check_alike(every, own, file, findings)
        before = len(every.images)
        every.categories = own.categories
        every.images += own.images
        every.folder_of += [number] * len(own.images)
        every.objects += [item._replace(row=before + item.row) for item in own.objects]
    return _index(every, [folder for _, folder in files], masks, surfaces)


def _read_file(file: Path, folder: Path, findings: Findings, masks: bool, surfaces: bool) -> _Records | None:
    content = load_json(file, findings)
    if content is None:
        return None
    categories = {c["id"]: c["name"] for c in _checked(content, "categories", ("id", "name"), file, findings)}
    images = list(_checked(content, "images", ("id", "file_name", "width", "height"), file, findings))
    _check_files(images, folder, findings)
    objects = _read_objects(content, images, categories, file, findings, masks, surfaces)
    return _Records(categories, images, objects=objects)


def _check_alike(before: _Records, own: _Records, file: Path, findings: Findings) -> None:
    """What is wrong with a file beside those read before it."""
    if not before.images:
        return
    if own.categories != before.categories:
        reason = "its categories are not those of the split's other files"
        findings.errors.append(Problem(file, reason, "give all the same categories"))
    twice = {image["id"] for image in before.images} & {image["id"] for image in own.images}
    if twice:
        reason = f"{len(twice)} of its image ids are another file's of the split too, {min(twice)} for one"
        findings.errors.append(Problem(file, reason, "give every image its own id"))


def _read_objects(
    content: dict[str, Any],
    images: list[dict[str, Any]],
    categories: dict[int, str],
    file: Path,
    findings: Findings,
    masks: bool,
    surfaces: bool,
) -> list[_Object]:
    """The sound objects in the order of the file, crowds left out."""
    rows = {image["id"]: row for row, image in enumerate(images)}
    labels = {category: label for label, category in enumerate(sorted(categories))}
    objects: list[_Object] = []
    sound: list[dict[str, Any]] = []
    keys = ("id", "image_id", "category_id", "bbox")
    own_ids = not surfaces  # DensePose's own files repeat some, which nobody asks for
    for annotation in _checked(content, "annotations", keys, file, findings, own_ids):
        problem = _check_annotation(annotation, rows, categories, file) or _check_box(annotation, rows, images, file)
        if problem is not None:
            findings.errors.append(problem)
            continue
        row = rows[annotation["image_id"]]
        box = _clipped(annotation["bbox"], images[row])
        sound.append(annotation)
        if min(box[2] - box[0], box[3] - box[1]) <= MIN_SIDE:
            reason = f"the box {annotation['bbox']} has no area"
            findings.warnings.append(at(annotation, file, reason, "it is skipped; give it an area or remove it"))
        elif not annotation.get("iscrowd", 0):
            mask = read_mask(annotation, images[row], file, findings) if masks else []
            surface = read_surface(annotation, file, findings) if surfaces else None
            if mask is not None:
                objects.append(_Object(row, labels[annotation["category_id"]], box, mask, surface))
    if sound and not findings.errors:
        sizes = [(images[row]["height"], images[row]["width"]) for row in (rows[a["image_id"]] for a in sound)]
        findings.warnings += doubts(sound, sizes, categories.values(), file)
    if not sound and not findings.errors:
        findings.errors.append(Problem(file, "there is not a single box in it", "annotate some images"))
    return objects


def load_json(file: Path, findings: Findings) -> dict[str, Any] | None:
    """The top-level object of a COCO file, or None with the reason in `findings`."""

    def fail(reason: str, remedy: str) -> None:
        findings.errors.append(Problem(file, reason, remedy))

    try:
        content = json.loads(file.read_bytes())
    except FileNotFoundError:
        return fail("the annotation file is missing", "put it there, or name it with --data.train / --data.val")
    except OSError as error:
        return fail(f"cannot be read ({error.strerror})", "check the path and its permissions")
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        return fail(f"is not valid JSON ({error})", "export or download it again")
    if not isinstance(content, dict):
        return fail(f"is not COCO: {_resembles(content)}", "give a COCO instances file")
    missing = [key for key in ("images", "annotations", "categories") if key not in content]
    if missing:
        return fail(f"is not COCO: {_resembles(content)}, without {_list(missing)}", "give a COCO instances file")
    wrong = [key for key in ("images", "annotations", "categories") if not isinstance(content[key], list)]
    if wrong:
        return fail(f"is not COCO: {_list(wrong)} must be lists", "give a COCO instances file")
    if any("segments_info" in record for record in content["annotations"][:1] if isinstance(record, dict)):
        return fail("is a COCO panoptic file", "give the instances file")
    return content


def _resembles(content: Any) -> str:
    """What a JSON that is not COCO looks like."""
    if isinstance(content, list):
        results = bool(content) and isinstance(content[0], dict) and {"image_id", "bbox", "score"} <= content[0].keys()
        return "it looks like COCO results (predictions)" if results else f"a list of {len(content)} entries"
    if not isinstance(content, dict):
        return f"a single {type(content).__name__}"
    if {"shapes", "imagePath"} <= content.keys():
        return "it looks like a LabelMe file"
    if content.get("type") == "FeatureCollection":
        return "it looks like GeoJSON"
    if "images" in content and "categories" in content:
        return "it looks like COCO's image_info of a test set"
    return f"an object with the keys {_list(list(content)[:8]) or '(none)'}"


def _list(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _checked(
    content: dict[str, Any], part: str, keys: tuple[str, ...], file: Path, findings: Findings, own_ids: bool = True
) -> Iterator[dict[str, Any]]:
    """The records of a part that have the keys, with the right types and, with `own_ids`, an id of their own."""
    ids: set[int] = set()
    for position, record in enumerate(content[part]):
        where = f"{part}[{position}]"
        if not isinstance(record, dict):
            findings.errors.append(Problem(file, f"{where} is a {type(record).__name__}, not an object", "correct it"))
            continue
        wrong = _wrong_key(record, keys)
        if wrong is not None:
            problem = _of_part(part, record, file, f"{where} {wrong}", "give it, as COCO's format asks")
            findings.errors.append(problem)
        elif own_ids and record["id"] in ids:
            reason = f"{where} repeats the id {record['id']}"
            findings.errors.append(_of_part(part, record, file, reason, "give every record its own id"))
        else:
            ids.add(record["id"])
            yield record


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


def _check_files(images: list[dict[str, Any]], folder: Path, findings: Findings) -> None:
    """Every image exists; a folder is listed once, which on a network drive beats asking for each file."""
    if not folder.is_dir():
        findings.errors.append(Problem(folder, "the folder of the images is missing", "put the images there"))
        return
    listed: dict[Path, set[str]] = {}
    for image in images:
        path = folder / image["file_name"]
        if path.parent not in listed:
            listed[path.parent] = set(os.listdir(path.parent)) if path.parent.is_dir() else set()
        if path.name not in listed[path.parent]:
            remedy = "put it there or remove it from the annotations"
            findings.errors.append(Problem(path, "the image is missing", remedy, image["id"]))


def _check_annotation(
    annotation: dict[str, Any], rows: dict[int, int], categories: dict[int, str], file: Path
) -> Problem | None:
    """The annotation's image and category are known."""
    image_id, category_id = annotation["image_id"], annotation["category_id"]
    if image_id not in rows:
        return at(annotation, file, f"the image id {image_id} is unknown", "add the image or remove the annotation")
    if category_id not in categories:
        known = f"the {len(categories)} known ids lie in {min(categories, default=0)}..{max(categories, default=0)}"
        return at(annotation, file, f"the category id {category_id} is unknown", f"add the category; {known}")
    return None


def _check_box(
    annotation: dict[str, Any], rows: dict[int, int], images: list[dict[str, Any]], file: Path
) -> Problem | None:
    """The box can be meant: finite, not negative in size, and at least partly in the image."""
    x, y, w, h = box = annotation["bbox"]
    image = images[rows[annotation["image_id"]]]
    if not all(math.isfinite(v) for v in box):
        return at(annotation, file, f"the box {box} is not finite", "correct it")
    if w < 0 or h < 0:
        return at(annotation, file, f"the box {box} has a negative size", "COCO boxes are x, y, width, height")
    if x >= image["width"] or y >= image["height"] or x + w < 0 or y + h < 0:
        reason = f"the box {box} lies outside its image of {image['width']} x {image['height']} pixels"
        return at(annotation, file, reason, "correct it; COCO boxes are x, y, width, height in pixels")
    return None


def _clipped(box: list[float], image: dict[str, Any]) -> list[float]:
    """xywh to xyxy inside the image."""
    x, y, w, h = box
    return [max(x, 0.0), max(y, 0.0), min(x + w, image["width"]), min(y + h, image["height"])]


def _index(records: _Records, folders: list[Path], masks: bool, surfaces: bool) -> Index:
    """Pack the records into arrays, the boxes sorted by image and otherwise in the order of the file."""
    categories, images = records.categories, records.images
    objects = sorted(records.objects, key=lambda item: item.row)
    rows = np.array([item.row for item in objects], np.int64)
    return Index(
        classes=[categories[i] for i in sorted(categories)],
        category_ids=sorted(categories),
        image_ids=np.array([image["id"] for image in images], np.int64),
        sizes=np.array([(image["height"], image["width"]) for image in images], np.int32).reshape(-1, 2),
        file_names=np.array([image["file_name"] for image in images], np.str_),
        folders=folders,
        folder_of=np.array(records.folder_of, np.uint8),
        boxes=np.array([item.box for item in objects], np.float32).reshape(-1, 4),
        labels=np.array([item.label for item in objects], np.int64),
        offsets=np.searchsorted(rows, np.arange(len(images) + 1)),
        segments=pack([item.mask for item in objects]) if masks else None,
        surfaces=pack_surfaces([item.surface for item in objects]) if surfaces else None,
    )
