"""Finds COCO-format files in a folder, the images of each, and whether they depart from what COCO's own are like."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from cvzoo.data.config import Split
from cvzoo.data.formats.layout import IMAGES, PARTS, Layout, joined, names_in, part_of, refuse_several, with_lists

OTHERS = ("captions", "panoptic", "stuff", "image_info", "person_keypoints")
"""Files of COCO's that begin so are not of objects, or of some objects only."""
LOOKED_AT = 5
"""Images whose files are looked for, to find their folder."""


class _Content(msgspec.Struct):
    """As much of a COCO-format file as tells what it is like."""

    images: list[msgspec.Raw]
    annotations: list[msgspec.Raw]
    categories: list[dict[str, Any]]


class CocoFile(NamedTuple):
    """A COCO-format file."""

    name: str
    """Relative to the root."""
    images: list[str]
    """What its first images are called."""
    odd: bool
    """Whether it must be corrected before it is COCO's format."""


def coco_layout(root: Path) -> Layout | None:
    """The COCO-format files of a folder.

    Raises: DataError where several could be the same part.
    """
    parts: dict[str, list[CocoFile]] = {}
    for folder in ("", "annotations", "Annotations", *(name for names in PARTS.values() for name in names if name)):
        for name in _json_files(root, folder):
            file = _looked_at(root, joined(folder, name))
            if file is not None:
                parts.setdefault(part_of(folder, name), []).append(file)
    if "train" in parts or "val" in parts:
        parts.pop("all", None)
    refuse_several(root, {part: [file.name for file in files] for part, files in parts.items()}, "COCO-format files")
    found = {part: (file, *_folder(root, part, file)) for part, (file,) in parts.items()}
    if not found:
        return None
    odd = any(file.odd or not exact for file, _, exact in found.values())
    splits = {part: Split(images=folder, annotations=file.name) for part, (file, folder, _) in found.items()}
    listed = with_lists(root, splits)
    reason = "a JSON of COCO's format" if len(found) == 1 else "JSONs of COCO's format"
    return Layout("coco_export" if odd else "coco", reason, listed)


def _json_files(root: Path, folder: str) -> list[str]:
    names = [name for name in names_in(root / folder) if name.endswith(".json") and not name.startswith(OTHERS)]
    own = [name for name in names if name.startswith("instances_")]
    return own or names


def _looked_at(root: Path, name: str) -> CocoFile | None:
    """What a JSON is like; None where it is no COCO-format file of objects."""
    try:
        content = msgspec.json.decode((root / name).read_bytes(), type=_Content)
        images = [msgspec.json.decode(raw) for raw in content.images[:LOOKED_AT]]
        first = msgspec.json.decode(content.annotations[0]) if content.annotations else {}
        names = [str(image["file_name"]) for image in images]
    except (OSError, msgspec.MsgspecError, KeyError, TypeError):
        return None
    if (
        not names
        or not isinstance(first, dict)
        or (content.annotations and not ("bbox" in first or "segmentation" in first))
    ):
        return None
    outline = first.get("segmentation")
    flat = isinstance(outline, list) and bool(outline) and not isinstance(outline[0], list)
    numbered = all(isinstance(one, int) for one in (first.get("id", 1), first.get("image_id", 1), images[0].get("id")))
    odd = (
        flat or not numbered or "bbox" not in first or _has_idle_parent(content) or any("\\" in name for name in names)
    )
    return CocoFile(name, names, bool(content.annotations) and odd)


def idle_parents(categories: list[dict[str, Any]]) -> list[Any]:
    """The ids of classes that are the parent of all others, as the name of the project is in Roboflow's exports."""
    if len(categories) < 2:
        return []
    return [
        one.get("id")
        for one in categories
        if all(other.get("supercategory") == one.get("name") for other in categories if other is not one)
    ]


def _has_idle_parent(content: _Content) -> bool:
    """Whether a class of the project's name, which no object has, is among the others."""

    class Record(msgspec.Struct):
        category_id: Any = None

    try:
        used = [msgspec.json.decode(raw, type=Record).category_id for raw in content.annotations]
    except msgspec.MsgspecError:  # whoever reads the file says so
        return False
    return any(parent not in used for parent in idle_parents(content.categories))


def _folder(root: Path, part: str, file: CocoFile) -> tuple[str, bool]:
    """The folder of a file's images, and whether they are there by the very names that the file has."""
    candidates = list(dict.fromkeys(_candidates(part, Path(file.name))))
    for exact in (True, False):
        for folder in candidates:
            for name in file.images:
                name = name if exact else name.replace("\\", "/").rpartition("/")[2]
                if not Path(name).is_absolute() and (root / folder / name).is_file():
                    return folder, exact
    return candidates[0], True  # the images are missing, which will be said


def _candidates(part: str, file: Path) -> Iterator[str]:
    own = file.parent.as_posix().removeprefix(".")
    subset = file.stem.removeprefix("instances_")
    for folder in dict.fromkeys((own, "")):
        for name in (subset, *PARTS[part], ""):
            for images in IMAGES:
                yield joined(folder, images, name)
                yield joined(folder, name, images)
