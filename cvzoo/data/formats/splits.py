"""The two parts that training needs, of those that a data set has; where one is missing, a split is written down."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

from cvzoo.data.config import UNDIVIDED, Split
from cvzoo.data.formats import boxes_csv, coco_export
from cvzoo.data.formats.image_lists import ImageFile, chosen, images_of
from cvzoo.data.formats.layout import Layout
from cvzoo.data.pairs import find_pairs
from cvzoo.data.problems import DataError, Findings, Problem

HELD_BACK = 0.2
"""The share of the images that is held back for the validation."""
OWN_FILES = {"voc": ".xml", "labelme": ".json", "yolo": ""}
"""Sources of a file for each image: its suffix, where an image without one is not annotated."""


def both_parts(root: Path, layout: Layout, evaluates: bool = False) -> tuple[Split, Split, list[str]]:
    """The training and the validation split, and what else is to be said of them.

    What is called test is never trained on, nor taken for the validation, by which a run is steered.

    Args:
        evaluates: nothing is to be trained on yet; what has no parts, nor lists from an earlier time, is UNDIVIDED.
    """
    parts = dict(layout.parts)
    notes = []
    if evaluates and set(parts) == {"test"}:
        return UNDIVIDED, parts["test"], ["an evaluation takes all of it"]
    if test := parts.pop("test", None):
        ways = {"images": test.images, "annotations": test.annotations, "lists": " ".join(test.lists)}
        val = parts.get("val", test)
        differ = [f"--data.val.{name} {way}" for name, way in ways.items() if way != getattr(val, name) and way]
        notes.append(f"no training sees the test part; `cvzoo eval RUN {' '.join(differ)}` evaluates on it")
    if "train" in parts and "val" in parts:
        return parts["train"], parts["val"], notes
    whole = parts.get("train") or parts.get("all") or parts.get("val")
    if whole is None:
        reason = f"there is a test part ({layout.parts['test'].annotations}), but nothing to train on"
        raise DataError([Problem(root, reason, "name the parts with --data.train and --data.val")])
    train, val, where = _written(root, layout, whole, evaluates)
    return train, val, [*notes, where]


def in_no_list(root: Path, layout: Layout, train: Split, val: Split) -> str:
    """That annotated images are in none of the lists, if there are any: images that came later."""
    lists = tuple(dict.fromkeys(name for split in (*layout.parts.values(), train, val) for name in split.lists))
    if not lists:
        return ""
    findings, whole = Findings(), replace(train, lists=())
    if layout.source == "label_maps":
        every, named = (
            {
                _seen_from(root, pair.image)
                for pair in find_pairs(root, split, layout.label_maps, findings)
                if pair.label_map.is_file()
            }
            for split in (whole, replace(train, lists=lists))
        )
    else:
        images = _annotated(root, layout, whole, findings)
        every = {image.name for image in images}
        named = {image.name for image in chosen(root, lists, images, findings)}
    others = sorted(every - named)
    count = "1 annotated image is" if len(others) == 1 else f"{len(others)} annotated images are"
    return f"{count} in none of the lists ({others[0]}{' ...' if len(others) > 1 else ''})" if others else ""


def _annotated(root: Path, layout: Layout, whole: Split, findings: Findings) -> list[ImageFile]:
    """The images of a part that have annotations, as far as a look tells."""
    match layout.source:
        case "coco" | "coco_export":
            return coco_export.images_of(root, whole, findings)
        case "csv":
            images = (entry.image for entry in boxes_csv.entries_of(root, whole, findings))
            return [image for image in images if image.path.is_file()]
        case source:
            suffix, images = OWN_FILES[source], images_of(root, whole, findings)
            return [image for image in images if not suffix or image.beside(suffix).is_file()]


def _written(root: Path, layout: Layout, whole: Split, evaluates: bool) -> tuple[Split, Split, str]:
    """A part split in two by lists, which are written, or lie there from an earlier time; and where they are."""
    for folder in (root / "splits", Path("splits", root.resolve().name).absolute()):
        lists = {name: folder / f"{name}.txt" for name in ("train", "val")}
        if not all(file.is_file() for file in lists.values()):
            if evaluates:
                continue
            try:
                _write(lists, _names(root, layout, whole))
            except OSError:  # the folder cannot be written
                continue
        train, val = (replace(whole, lists=(_seen_from(root, file),)) for file in lists.values())
        counts = " and ".join(str(len(file.read_text().splitlines())) for file in lists.values())
        return train, val, f"it has no validation part, so {folder} holds lists that split it into {counts} images"
    if evaluates:
        note = "it has no validation part: an evaluation takes all of it, a training holds one image in five back"
        return UNDIVIDED, whole, note
    reason = "has no validation part, and lists that hold one back cannot be written here"
    raise DataError([Problem(root, reason, "repeat the command where files can be written, or name --data.val")])


def _write(lists: dict[str, Path], names: list[str]) -> None:
    """Every image falls to a part by its name alone, so that the same images are split alike anywhere."""
    ranked = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    count = max(round(HELD_BACK * len(names)), 1)
    for file, part in zip(lists.values(), (ranked[count:], ranked[:count])):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{name}\n" for name in sorted(part)))


def _names(root: Path, layout: Layout, whole: Split) -> list[str]:
    """The annotated images of a part, as lists name them."""
    from cvzoo.data.formats.converted import READERS  # decodes images, which takes torch

    findings = Findings()
    if layout.source == "label_maps":
        pairs = find_pairs(root, whole, layout.label_maps, findings)
        names = ["\t".join(_seen_from(root, file) for file in (pair.image, pair.label_map)) for pair in pairs]
    else:
        reader = READERS["coco_export" if layout.source == "coco" else layout.source]
        names = [image["file_name"] for image in reader(root, whole, findings).images]
    if len(names) < 2 and not findings.errors:
        reason = f"there are {len(names)} annotated images, too few to hold one back for the validation"
        findings.errors.append(Problem(root, reason, "annotate more"))
    if findings.errors:
        raise DataError(findings.errors)
    return names


def _seen_from(root: Path, file: Path) -> str:
    return os.path.relpath(file, root) if file.is_relative_to(root) else str(file)
