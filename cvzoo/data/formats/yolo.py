"""YOLO: a text file for each image, a line for each object; data.yaml names the classes, and may name the parts.

A line is the number of a class, then the box's middle x and y, its width and height, or else the points x y x y ... of
an outline, all as shares of the image's width and height. An image without a text file shows nothing, as one with an
empty file does. Where images lie in a folder called `images`, text files lie in one called `labels` at its place, else
beside them. Of a set of poses (data.yaml has `kpt_shape`) the boxes are read, not the key points behind them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from cvzoo.data.config import Split
from cvzoo.data.formats.document import Document, measured
from cvzoo.data.formats.image_lists import images_of
from cvzoo.data.formats.layout import PARTS, Layout, names_in, paired
from cvzoo.data.pairs import read_lines
from cvzoo.data.problems import Findings, Problem
from cvzoo.structures import Size

SLACK = 0.01
"""Shares of the image by which a point may lie outside of it: rounding, and boxes that were not clipped."""
LOOKED_AT = 20
"""Text files that are opened to see what they hold."""
NAMES = ("classes.txt", "obj.names", "labels/classes.txt", "train/labels/classes.txt")
"""Files that name the classes, one a line, where there is no data.yaml."""


def read(root: Path, split: Split, findings: Findings) -> Document:
    """The images of a split with the objects of their text files."""
    document = Document(numbers=class_names(root, findings))
    points = _key_points(root, findings)
    for image in images_of(root, split, findings):
        size = measured(image.path, findings)
        file = image.beside(".txt")
        if size is not None:
            document.add_image(image.name, size, file)
            lines = read_lines(file, findings, "remove it") if file.is_file() else None
            for number, line in (lines or {}).items():
                _read_line(line, f"line {number}", size, document, findings, points)
    return document


def _key_points(root: Path, findings: Findings) -> int:
    """How many numbers of key points follow each box: none, but of a set of poses, which a warning says."""
    for file in yaml_files(root):
        shape = _content(file).get("kpt_shape")
        if isinstance(shape, list) and len(shape) == 2 and all(isinstance(one, int) for one in shape):
            reason = f"describes poses: {shape[0]} key points of each object (kpt_shape)"
            findings.warnings.append(Problem(file, reason, "the boxes are read, the key points are not"))
            return shape[0] * shape[1]
    return 0


def class_names(root: Path, findings: Findings) -> dict[int, str]:
    """The classes by number; none, with the reason in `findings`, where nothing names them."""
    for file in yaml_files(root):
        names = _content(file).get("names")
        if isinstance(names, list):
            names = dict(enumerate(names))
        if isinstance(names, dict) and names and all(str(number).isdecimal() for number in names):
            return {int(number): str(name) for number, name in names.items()}
    for file in (root / name for name in NAMES):
        if file.is_file():
            return dict(enumerate((read_lines(file, findings, "name the classes") or {}).values()))
    reason = "nothing names the classes"
    findings.errors.append(
        Problem(root / "classes.txt", reason, "name one in each line, in the order of their numbers")
    )
    return {}


def yaml_files(root: Path) -> list[Path]:
    """The files that may describe the data set, data.yaml first."""
    files = [root / name for name in names_in(root) if name.endswith((".yaml", ".yml"))]
    return sorted(files, key=lambda file: file.stem != "data")


def _content(file: Path) -> dict[str, Any]:
    """What a YAML file holds; nothing of one that cannot be read, or is something else."""
    try:
        content = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def _read_line(line: str, where: str, size: Size, document: Document, findings: Findings, points: int = 0) -> None:
    """An object, of whose numbers the last `points` are of key points."""
    classes = document.numbers or {}
    try:
        number, *shares = map(float, line.split())
        shares = shares[:4] if points and len(shares) == 4 + points else shares
        problem = _problem(number, shares, classes)
    except ValueError:
        number, shares, problem = 0, [], f"holds {line[:40]!r}, which are no numbers"
    if problem is not None:
        document.report(findings.errors, f"{where} {problem}", "correct or remove the line")
        return
    height, width = size
    name = classes[int(number)]
    if len(shares) == 4:
        x, y, w, h = shares[0] * width, shares[1] * height, shares[2] * width, shares[3] * height
        document.add_box(name, (x - w / 2, y - h / 2, x + w / 2, y + h / 2), f"{where} ({name})", findings)
    else:
        polygon = [share * (height if place % 2 else width) for place, share in enumerate(shares)]
        document.add_outline(name, [polygon], f"{where} ({name})", findings)


def _problem(number: float, shares: list[float], classes: dict[int, str]) -> str | None:
    """What is wrong with the class and the numbers behind it."""
    if number not in classes:
        return f"has the class {number:g}, but there are {len(classes)}, from 0 on"
    if len(shares) == 5:
        return "has six numbers, the last perhaps the score of a prediction; leave it out"
    if len(shares) < 4 or len(shares) % 2:
        return f"has {len(shares)} numbers after the class, not a box (x y width height) or outline (x y x y x y ...)"
    if not all(-SLACK <= share <= 1 + SLACK for share in shares):
        return "has numbers outside of 0..1, but boxes and outlines are shares of the image's width and height"
    return None


# Recognising


def yolo_layout(root: Path) -> Layout | None:
    """Parts that a YAML file names, or text files of numbers that are called like images."""
    for file in yaml_files(root):
        parts = dict(_parts(root, _content(file)))
        if parts:
            return Layout("yolo", f"parts and classes in {file.name}", parts)
    parts = paired(root, ".txt", ("labels", "annotations", "obj_train_data", ""))
    if any(_holds_objects(root / split.annotations) for split in parts.values()):
        return Layout("yolo", "a text file for each image", parts)
    return None


def _holds_objects(folder: Path) -> bool:
    """Whether one of the first text files begins with the numbers of an object."""
    for name in [name for name in names_in(folder) if name.endswith(".txt")][:LOOKED_AT]:
        try:
            if len(list(map(float, (folder / name).read_text().partition("\n")[0].split()))) >= 5:
                return True
        except ValueError:
            continue
    return False


def _parts(root: Path, content: dict[str, Any]) -> Iterator[tuple[str, Split]]:
    """The parts that a YAML file names and that are there."""
    for part in ("train", "val", "test"):
        values = next((content[name] for name in PARTS[part] if content.get(name)), [])
        values = [values] if isinstance(values, str) else values
        if not isinstance(values, list):
            continue
        found = [_place(root, str(content.get("path") or ""), str(value)) for value in values]
        places = [place for place in found if place is not None]
        if places and len(places) == len(found):
            folders = [place for place in places if not place.endswith(".txt")]
            lists = tuple(place for place in places if place.endswith(".txt"))
            images = folders or _folders_of(root, lists)
            yield part, Split(images=",".join(images), annotations=",".join(map(labels_of, images)), lists=lists)


def _place(root: Path, base: str, value: str) -> str | None:
    """Where a path of a YAML file leads, relative to the root; many were written on another machine."""
    parts = PurePosixPath(value.replace("\\", "/")).parts
    inside = "/".join(part for part in parts if part not in ("..", "/"))
    shorter = ["/".join(parts[start:]) for start in range(1, len(parts))] if value.startswith("/") else []
    for place in (f"{base}/{value}" if base else value, value, inside, *shorter):
        if (root / place).exists():
            return PurePosixPath(os.path.relpath(root / place, root)).as_posix()
    return None


def _folders_of(root: Path, lists: Sequence[str]) -> list[str]:
    """The folders of the images that lists name, else that called images."""
    lines = [(root / name).read_text().partition("\n")[0] for name in lists]
    folders = sorted({PurePosixPath(line.removeprefix("./").lstrip("/")).parent.as_posix() for line in lines})
    if all((root / folder).is_dir() for folder in folders):
        return folders
    return ["images" if (root / "images").is_dir() else "."]


def labels_of(images: str) -> str:
    """The folder of the text files for a folder of images."""
    parts = images.split("/")
    if "images" in parts:
        last = len(parts) - 1 - parts[::-1].index("images")
        return "/".join([*parts[:last], "labels", *parts[last + 1 :]])
    return images
