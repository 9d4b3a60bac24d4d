"""Data sets of other formats as COCO-format files in the cache, which are read like any other.

Both splits are converted together, so that their classes have the same numbers: those that the format gives them, or
1, 2, ... in the order of their names. A file is named after all that lies in the folders of the data set: names, sizes
and times. Its images lie relative to the root.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from cvzoo.data.annotation_cache import cache_folder, is_settled, makers, note_use, state_of
from cvzoo.data.config import UNDIVIDED, Data, Split
from cvzoo.data.formats import boxes_csv, coco_export, labelme, voc, yolo
from cvzoo.data.formats.document import CLASS, Document
from cvzoo.data.formats.origin import MADE_FROM, notes_of
from cvzoo.data.pairs import files_below
from cvzoo.data.problems import Findings, Problem
from cvzoo.data.shapes import SplitName
from cvzoo.files import atomic, locked

READERS: dict[str, Callable[[Path, Split, Findings], Document]] = {
    "coco_export": coco_export.read,
    "voc": voc.read,
    "yolo": yolo.read,
    "labelme": labelme.read,
    "csv": boxes_csv.read,
}
UNLISTED = ("voc", "labelme", "csv")
"""Sources that list no classes: they are those that occur, in either split."""
CLASS_FILES = ("*.yaml", "*.yml", "*.names", "classes.txt")
"""Files in the root that may name the classes."""


def coco_split(data: Data, name: SplitName, findings: Findings) -> Split | None:
    """The split as COCO-format data; None, with the reasons in `findings`, where it cannot be read."""
    split = split_of(data, name)
    if data.source not in READERS or not data.root.is_dir():
        return split
    key, settled = _key(data)
    file = _place() / f"{data.source}-{key}-{name}.json"
    with locked(file.with_suffix(".lock")):
        if settled and file.exists():
            note_use(file)
            note_use(notes_of(file))
            own = Findings(
                warnings=[Problem(Path(path), *rest) for path, *rest in json.loads(notes_of(file).read_bytes())]
            )
        else:
            own = _convert(data, name, file)
    findings.errors += own.errors
    findings.warnings += own.warnings
    if own.errors:
        return None
    return replace(split, images=".", annotations=str(file), lists=())


def split_of(data: Data, name: SplitName) -> Split:
    """The split as it is named in the recipe."""
    return data.val if name == "val" or data.train == UNDIVIDED else data.train


def _convert(data: Data, name: SplitName, file: Path) -> Findings:
    """Write a split as COCO-format data, unless there are errors."""
    reader = READERS[data.source]
    split, findings = split_of(data, name), Findings()
    document = reader(data.root, split, findings)
    other = reader(data.root, split_of(data, "val" if name == "train" else "train"), Findings())
    numbers = _numbers(document, other)
    if not findings.errors and not document.images:
        findings.errors.append(Problem(data.root, "there is not a single annotated image", "annotate some"))
    if findings.errors:
        return findings
    for annotation in document.annotations:
        if CLASS in annotation:  # else the number of no class, which the reader of COCO's format will refuse
            annotation["category_id"] = numbers[annotation.pop(CLASS)]
    categories = [{"id": number, "name": name} for name, number in numbers.items()]
    info = {MADE_FROM: str(data.root / split.annotations.split(",")[0])}
    content = {"info": info, "images": document.images, "annotations": document.annotations, "categories": categories}
    warnings = [[str(problem.file), problem.reason, problem.remedy] for problem in findings.warnings]
    for path, values in ((notes_of(file), warnings), (file, content)):
        with atomic(path) as temporary:
            temporary.write_text(json.dumps(values))
    return findings


def _numbers(document: Document, other: Document) -> dict[str, int]:
    """The number of each class."""
    if document.numbers is not None:
        return _with_others(document.numbers, other.numbers or {})
    used = {annotation[CLASS] for one in (document, other) for annotation in one.annotations}
    names = sorted({*used, *document.names, *other.names})
    return {name: number for number, name in enumerate(names, start=1)}


def _with_others(own: dict[int, str], others: dict[int, str]) -> dict[str, int]:
    """The numbers of a split's classes, and of those that only the other split has: a free one where it is taken."""
    found = {name: number for number, name in own.items()}
    for number, name in sorted(others.items()):
        found.setdefault(name, number if number not in found.values() else max(found.values()) + 1)
    return dict(sorted(found.items(), key=lambda entry: entry[1]))


def _key(data: Data) -> tuple[str, bool]:
    """A hash of the data set's place and of the state of all that lies there, and whether another would show."""
    states = {os.path.relpath(file, data.root): state_of(file) for file in sorted(_inputs(data)) if file.exists()}
    place = [makers(), str(data.root.resolve()), *map(repr, (data.train, data.val))]
    key = hashlib.sha256(json.dumps([place, states]).encode()).hexdigest()[:32]
    return key, all(map(is_settled, states.values()))


def _inputs(data: Data) -> Iterator[Path]:
    """Every file that is read, or measured."""
    for pattern in CLASS_FILES:
        yield from data.root.glob(pattern)
    for split in {split_of(data, "train"), data.val}:
        for name in {*split.images.split(","), *split.annotations.split(","), *split.lists}:
            path = data.root / name.strip()
            yield from (path / below for below in files_below(path)) if path.is_dir() else [path]


def _place() -> Path:
    """Where converted data lie: the cache, or a temporary folder where it cannot be written."""
    for folder in (cache_folder(), Path(tempfile.gettempdir(), f"cvzoo-{os.getuid()}")):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    raise OSError(f"neither {cache_folder()} nor {tempfile.gettempdir()} can be written; set CVZOO_CACHE")
