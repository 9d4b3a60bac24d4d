"""Reads and checks COCO-format annotation files, once: what was sound is kept in the cache of annotations.

Errors (the run does not start): what cannot be meant, such as unknown or duplicate ids, boxes with negative or
non-finite numbers or wholly outside their image, missing images, and files of another format.
Warnings (the box is skipped): boxes without area. COCO itself has some: annotations 918 and 2206849 of train2017.
Silent: boxes that stick out of the image are clipped to it, as every reference does.
Segmentations and surfaces are read and checked where they are asked for: see segments.py and surfaces.py.
A data set may lie in several files, each with a folder of images.
"""

from __future__ import annotations

import codecs
import json
import mmap
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from cvzoo.data.annotation_cache import Stored, place_for
from cvzoo.data.coco_objects import Frames, ObjectReader, Objects
from cvzoo.data.coco_records import file_of, sound_records, value_of
from cvzoo.data.doubts import twice_named
from cvzoo.data.formats.origin import of_originals
from cvzoo.data.index import Index, index_of
from cvzoo.data.problems import Findings, Problem
from cvzoo.data.ragged import ragged_text, texts
from cvzoo.data.segments import join
from cvzoo.data.surfaces import pack_surfaces

PARTS = ("images", "annotations", "categories")
SLICE = 1 << 24
"""Bytes that are decoded together."""


class _Content(msgspec.Struct):
    """The parts of a COCO file, each record still as it was written."""

    images: list[Any]
    annotations: list[Any]
    categories: list[Any]
    release: Callable[[], None] = lambda: None
    """Lets what has been read of the file leave the memory until it is read again."""


class _Raw(msgspec.Struct):
    """The same, as msgspec fills it."""

    images: list[msgspec.Raw]
    annotations: list[msgspec.Raw]
    categories: list[msgspec.Raw]


class _Image(msgspec.Struct, gc=False):
    id: int
    width: int
    height: int
    file_name: str = ""
    coco_url: str = ""

    @property
    def name(self) -> str:
        return file_of(self.file_name, self.coco_url)


RAW, IMAGES = msgspec.json.Decoder(_Raw), msgspec.json.Decoder(list[_Image])


@dataclass
class _File:
    """What is sound in one annotation file."""

    categories: dict[int, str]
    frames: Frames
    objects: Objects


def read_index(
    files: Sequence[tuple[Path, Path]], findings: Findings, masks: bool = False, surfaces: bool = False
) -> Index | None:
    """Read annotation files, each of the images in its folder; every problem goes to `findings`.

    Args:
        masks: read the segmentations too.
        surfaces: read the surfaces of people too.

    Returns: the index of all that is sound, or None where nothing can be made of a file.
    """
    sources, folders = [file for file, _ in files], [folder for _, folder in files]
    kind = "-".join(["boxes", *(["masks"] if masks else []), *(["surfaces"] if surfaces else [])])
    own = Findings()
    with place_for(kind, *sources) as place:
        if place.found is not None:
            own.warnings += _noted_warnings(place.found, sources)
            index = index_of(place.found, folders)
        else:
            index = _read(files, own, masks, surfaces)
            if index is not None and not own.errors:
                warnings = [_note(problem, sources) for problem in own.warnings]
                kept = place.keep(index.arrays(), index.notes() | {"warnings": warnings})
                index = index if kept is None else index_of(kept, folders)
    if index is not None:
        _refuse_twice(index, sources, findings)
        for number, folder in enumerate(folders):
            _check_images(index, np.flatnonzero(index.folder_of == number), folder, own)
    findings.errors += of_originals(own.errors, sources)
    findings.warnings += of_originals(own.warnings, sources)
    return index


def _note(problem: Problem, sources: Sequence[Path]) -> list[Any]:
    """A warning as the cache holds it: the same data may lie elsewhere next time."""
    ids = (problem.image_id, problem.annotation_id)
    return [sources.index(problem.file), problem.reason, problem.remedy, *ids]


def _noted_warnings(found: Stored, sources: Sequence[Path]) -> list[Problem]:
    return [Problem(sources[number], *values) for number, *values in found.notes["warnings"]]


def _read(files: Sequence[tuple[Path, Path]], findings: Findings, masks: bool, surfaces: bool) -> Index | None:
    """The index of what is sound, without a look at the images."""
    read = [_read_file(file, findings, masks, surfaces) for file, _ in files]
    every = [own for own in read if own is not None]
    return _index(every, [folder for _, folder in files]) if len(every) == len(files) else None


def _read_file(file: Path, findings: Findings, masks: bool, surfaces: bool) -> _File | None:
    content = _load(file, findings)
    if content is None:
        return None
    sound = list(sound_records("categories", content.categories, file, findings))
    categories = {category["id"]: category["name"] for category in sound}
    if not surfaces and any("keypoints" in category for category in sound):
        reason = "holds key points, too"
        findings.warnings.append(Problem(file, reason, "boxes are read, and masks if asked for; key points are not"))
    frames = _read_images(content.images, file, findings)
    findings.warnings += twice_named(frames.names, frames.ids, file)
    content.images.clear()  # a record that is left keeps the whole file in memory
    content.categories.clear()
    reader = ObjectReader(file, frames, categories, masks, surfaces)
    return _File(categories, frames, reader.read(content.annotations, content.release, findings))


def _read_images(records: list[Any], file: Path, findings: Findings) -> Frames:
    """The sound images; one by one where msgspec and NumPy cannot judge all of them together."""
    try:
        images = IMAGES.decode(b"[" + b",".join(records) + b"]")
        ids = np.array([image.id for image in images], np.int64)
        sizes = np.array([(image.height, image.width) for image in images], np.int32).reshape(-1, 2)
    except (msgspec.MsgspecError, TypeError, OverflowError):
        pass
    else:
        if len(np.unique(ids)) == len(ids) and (sizes > 0).all() and all(image.name for image in images):
            return Frames(ids, [image.name for image in images], sizes)
    sound = list(sound_records("images", records, file, findings))
    ids = np.array([image["id"] for image in sound], np.int64)
    sizes = np.array([(image["height"], image["width"]) for image in sound], np.int32).reshape(-1, 2)
    return Frames(ids, [image["file_name"] for image in sound], sizes)


def _index(files: list[_File], folders: list[Path]) -> Index:
    """All files together, the objects sorted by image and otherwise in the order of the file."""
    categories, objects = _all_categories(files), [file.objects for file in files]
    numbers_of = [_numbers_of(file.categories, categories) for file in files]
    shifts = _shifts([file.frames.ids for file in files])
    counts = [len(file.frames.ids) for file in files]
    firsts = np.cumsum([0, *counts])
    rows = _together([one.rows + first for one, first in zip(objects, firsts)])
    segments = [one.segments for one in objects if one.segments is not None]
    surfaces = [surface for one in objects for surface in one.surfaces or ()]
    return Index(
        classes=[categories[i] for i in sorted(categories)],
        category_ids=sorted(categories),
        folders=folders,
        image_ids=_together([file.frames.ids + shift for file, shift in zip(files, shifts)]),
        sizes=_together([file.frames.sizes for file in files]),
        names=ragged_text([name for file in files for name in file.frames.names]),
        folder_of=np.repeat(np.arange(len(files), dtype=np.uint8), counts),
        boxes=_together([one.boxes for one in objects]),
        numbers=_together([_translated(one.numbers, own) for one, own in zip(objects, numbers_of)]),
        offsets=np.searchsorted(rows, np.arange(firsts[-1] + 1)),
        segments=join(segments) if segments else None,
        surfaces=pack_surfaces(surfaces) if objects[0].surfaces is not None else None,
        numbers_of=numbers_of,
        shifts=shifts,
    )


def _all_categories(files: list[_File]) -> dict[int, str]:
    """Those of the first file, and of the others what no file before has by that name."""
    found = dict(files[0].categories)
    for file in files[1:]:
        for own, name in sorted(file.categories.items()):
            if name not in found.values():
                found[own if own not in found else max(found) + 1] = name
    return found


def _numbers_of(own: dict[int, str], every: dict[int, str]) -> dict[int, int]:
    """A file's ids, and where the category of the same name stands among all, by ascending id; of several that with
    the same id."""
    ids = sorted(every)
    by_name = {every[i]: i for i in reversed(ids)}
    return {i: ids.index(i if every.get(i) == name else by_name[name]) for i, name in sorted(own.items())}


def _translated(numbers: np.ndarray, numbers_of: dict[int, int]) -> np.ndarray:
    """The numbers of categories in a file as those among all."""
    return np.array(list(numbers_of.values()), np.int64)[numbers]


def _shifts(ids: Sequence[np.ndarray]) -> list[int]:
    """What to add to the image ids of each file so that no two files have one: exports count from 1."""
    shifts = [0]
    taken = ids[0]
    for own in ids[1:]:
        clash = len(np.intersect1d(taken, own)) > 0
        shifts.append(int(taken.max()) + 1 - int(own.min()) if clash else 0)
        taken = np.concatenate([taken, own + shifts[-1]])
    return shifts


def _refuse_twice(index: Index, files: Sequence[Path], findings: Findings) -> None:
    """No image may be in two files: in each the objects of the other would be background."""
    if len(set(index.folders)) == len(files):
        return
    first_of: dict[Path, int] = {}
    for row, name in enumerate(texts(index.names)):
        number = int(index.folder_of[row])
        path = index.folders[number] / name
        if (first := first_of.setdefault(path, number)) != number:
            reason = f"the image {path} is of {files[first]}, too"
            findings.errors.append(Problem(files[number], reason, "put all its annotations into one file"))


def _together(parts: list[np.ndarray]) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _load(file: Path, findings: Findings) -> _Content | None:
    """The parts of a COCO file, or None with the reason in `findings`."""
    try:
        content = _mapped(file)
    except (OSError, ValueError, RecursionError):  # Python's parser takes more for JSON, and words the rest
        values = _load_json(file, findings)
        content = None if values is None else _Content(*(values[part] for part in PARTS))
    first = value_of(content.annotations[0]) if content is not None and content.annotations else None
    if isinstance(first, dict) and "segments_info" in first:
        findings.errors.append(Problem(file, "is a COCO panoptic file", "give the instances file"))
        return None
    return content


def _mapped(file: Path) -> _Content:
    """The parts, whose records point into the mapped file. OSError or ValueError where that is not how it is read."""
    with file.open("rb") as opened:
        mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    text = memoryview(mapped)
    if np.frombuffer(text, np.uint8).max() > 127:
        decoder = codecs.getincrementaldecoder("utf-8")()
        for start in range(0, len(text), SLICE):  # msgspec does not look into texts that nobody reads
            decoder.decode(text[start : start + SLICE])
        decoder.decode(b"", final=True)
    found = RAW.decode(text)
    release = partial(mapped.madvise, mmap.MADV_DONTNEED)
    return _Content(found.images, found.annotations, found.categories, release)


def _load_json(file: Path, findings: Findings) -> dict[str, Any] | None:
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
    missing = [key for key in PARTS if key not in content]
    if missing:
        return fail(f"is not COCO: {_resembles(content)}, without {_list(missing)}", "give a COCO instances file")
    wrong = [key for key in PARTS if not isinstance(content[key], list)]
    if wrong:
        return fail(f"is not COCO: {_list(wrong)} must be lists", "give a COCO instances file")
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


def _check_images(index: Index, rows: np.ndarray, folder: Path, findings: Findings) -> None:
    """Every image of these rows exists; a folder is listed once, which on a network drive beats asking for each."""
    if not folder.is_dir():
        findings.errors.append(Problem(folder, "the folder of the images is missing", "put the images there"))
        return
    listed: dict[str, set[str]] = {}
    names = texts(index.names)
    for row in rows.tolist():
        name = names[row]
        parent, _, own = name.rpartition("/")
        if parent not in listed:
            path = folder / parent
            listed[parent] = set(os.listdir(path)) if path.is_dir() else set()
        if own not in listed[parent]:
            remedy = "put it there or remove it from the annotations"
            findings.errors.append(Problem(folder / name, "the image is missing", remedy, int(index.image_ids[row])))
