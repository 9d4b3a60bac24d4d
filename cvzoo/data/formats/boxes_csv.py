"""Tables of boxes: a CSV file with a line for each object.

With a header, as TensorFlow's examples and Roboflow have it: columns filename, class, xmin, ymin, xmax, ymax in any
order, among others. Without one, as RetinaNet for Keras has it: path, x1, y1, x2, y2, class; a line of a path and
nothing else is an image without objects. Commas separate columns, or tabs, or semicolons, with which numbers may have
decimal commas, as spreadsheets of many countries write them. Corners are in pixels from the image's corner. Images that
the table does not name are left out.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from cvzoo.data.config import Split
from cvzoo.data.formats.document import Document, measured
from cvzoo.data.formats.image_lists import ImageFile, chosen
from cvzoo.data.formats.layout import IMAGES, PARTS, Layout, joined, names_in, part_of, refuse_several, with_lists
from cvzoo.data.image_files import SUFFIXES
from cvzoo.data.problems import Findings, Problem
from cvzoo.structures import Size

COLUMNS = {
    "filename": ("filename", "file_name", "image", "image_name", "image_path", "path", "file"),
    "class": ("class", "label", "class_name", "name"),
    "xmin": ("xmin", "x_min", "x1"),
    "ymin": ("ymin", "y_min", "y1"),
    "xmax": ("xmax", "x_max", "x2"),
    "ymax": ("ymax", "y_max", "y2"),
}
"""What a header may call the columns."""
SIZE = ("width", "height")
"""Of the image, where a header has them."""
HEADERLESS = ("filename", "xmin", "ymin", "xmax", "ymax", "class")
SEPARATORS = (",", ";", "\t")


class Columns(NamedTuple):
    """How a table is laid out."""

    places: dict[str, int]
    """Where each of COLUMNS and SIZE is."""
    has_header: bool
    separator: str


class Row(NamedTuple):
    """A line of a table."""

    line: int
    image: str
    name: str
    """Of the class, or empty, as the corners then are."""
    corners: list[str]
    size: tuple[str, str] = ("", "")
    """Width and height of the image, or empty."""


class Entry(NamedTuple):
    """An image and its lines."""

    image: ImageFile
    table: Path
    rows: list[Row]


def read(root: Path, split: Split, findings: Findings) -> Document:
    """The images that a split's tables name, or those among them that its lists choose."""
    entries = entries_of(root, split, findings)
    document = Document(names={row.name for entry in entries for row in entry.rows if row.name})
    images = [entry.image for entry in entries]
    wanted = {image.name for image in (chosen(root, split.lists, images, findings) if split.lists else images)}
    for entry in entries:
        if entry.image.name in wanted:
            _read_image(entry, document, findings)
    return document


def entries_of(root: Path, split: Split, findings: Findings) -> list[Entry]:
    """The images that a split's tables name, whatever its lists say; the files of some may be missing."""
    entries = []
    for name, folder in zip(split.annotations.split(","), split.images.split(",")):
        table, rows = root / name, dict[str, list[Row]]()
        for row in _rows(table, findings):
            rows.setdefault(row.image, []).append(row)
        entries += [Entry(_found(image, root, root / folder, table), table, own) for image, own in rows.items()]
    return entries


def _read_image(entry: Entry, document: Document, findings: Findings) -> None:
    image, table, rows = entry
    if not image.path.is_file():
        reason = f"line {rows[0].line} names {rows[0].image}, of which there is no image"
        findings.errors.append(Problem(table, reason, "put the image beside the table, or remove the line"))
        return
    size = measured(image.path, findings)
    if size is None:
        return
    document.add_image(image.name, size, table)
    if (stated := _stated(rows)) is not None and not document.fits(stated, table, findings):
        return
    for row in rows:
        if row.name or any(row.corners):  # else an image without objects
            _read_row(row, document, findings)


def _read_row(row: Row, document: Document, findings: Findings) -> None:
    where = f"line {row.line} ({row.name})"
    try:
        corners = list(map(float, row.corners))
    except ValueError:
        shown = ", ".join(row.corners)
        document.report(findings.errors, f"{where} has the corners {shown}, which are no numbers", "correct them")
        return
    if row.name:
        document.add_box(row.name, corners, where, findings)
    else:
        document.report(findings.errors, f"line {row.line} names no class", "give it one or remove it")


def _stated(rows: list[Row]) -> Size | None:
    """Height and width of an image, as the first of its lines that has them says."""
    sizes = ((int(row.size[1]), int(row.size[0])) for row in rows if all(side.isdecimal() for side in row.size))
    return next((size for size in sizes if min(size) > 0), None)


def _found(image: str, root: Path, folder: Path, table: Path) -> ImageFile:
    """The file of an image, beside which its table is meant to lie; tables come with other folders."""
    plain = image.replace("\\", "/")
    inside, base = plain.lstrip("/"), PurePosixPath(plain).name
    places = [folder / inside, table.parent / inside, root / inside, folder / base, table.parent / base]
    path = next((place for place in places if place.is_file()), folder / inside)
    name = PurePosixPath(os.path.relpath(path, root)).as_posix()
    return ImageFile(path, name, name, table)


def _rows(table: Path, findings: Findings) -> Iterator[Row]:
    try:
        lines = table.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        findings.errors.append(Problem(table, f"cannot be read as text ({error})", "correct it or name another one"))
        return
    columns = _columns(lines)
    if columns is None:
        reason = f"its first line is {lines[0][:80] if lines else ''!r}"
        remedy = "begin it with filename,width,height,class,xmin,ymin,xmax,ymax, or with path,x1,y1,x2,y2,class"
        findings.errors.append(Problem(table, f"is no table of boxes: {reason}", remedy))
        return
    places, has_header, separator = columns
    for number, values in enumerate(csv.reader(lines, delimiter=separator), start=1):
        if not values or (has_header and number == 1):
            continue
        if len(values) <= max(places.values()):
            reason = f"line {number} has {len(values)} columns, fewer than {max(places.values()) + 1}"
            findings.errors.append(Problem(table, reason, "correct or remove it"))
            continue
        found = {name: values[place].strip() for name, place in places.items()}
        corners = [found[key] for key in ("xmin", "ymin", "xmax", "ymax")]
        if separator == ";":
            corners = [corner.replace(",", ".") for corner in corners]
        yield Row(number, found["filename"], found["class"], corners, (found.get("width", ""), found.get("height", "")))


def _columns(lines: list[str]) -> Columns | None:
    """How a table is laid out, as its first line shows; None where it is no table of boxes."""
    for separator in SEPARATORS:
        for values in csv.reader(lines[:1], delimiter=separator):
            words = [value.strip().lower() for value in values]
            named = {key: next((words.index(n) for n in names if n in words), -1) for key, names in COLUMNS.items()}
            if min(named.values()) >= 0:
                return Columns(named | {key: words.index(key) for key in SIZE if key in words}, True, separator)
            if len(values) == len(HEADERLESS) and PurePosixPath(words[0]).suffix in SUFFIXES:
                return Columns({key: place for place, key in enumerate(HEADERLESS)}, False, separator)
    return None


def csv_layout(root: Path) -> Layout | None:
    """CSV files whose first line is that of a table of boxes.

    Raises: DataError where several could be the same part.
    """
    parts: dict[str, list[str]] = {}
    for folder in ("", "annotations", *(name for names in PARTS.values() for name in names if name)):
        for name in names_in(root / folder):
            table = root / folder / name
            if name.endswith((".csv", ".tsv")) and _columns(_first_lines(table)):
                parts.setdefault(part_of(folder, name), []).append(joined(folder, name))
    if "train" in parts or "val" in parts:
        parts.pop("all", None)
    refuse_several(root, parts, "tables of boxes")
    splits = {part: Split(images=_images(root, table), annotations=table) for part, (table,) in parts.items()}
    return Layout("csv", "a table of boxes", with_lists(root, splits)) if splits else None


def _first_lines(file: Path) -> list[str]:
    with file.open(encoding="utf-8-sig", errors="replace") as opened:
        return [opened.readline().rstrip("\r\n")]


def _images(root: Path, table: str) -> str:
    """The folder of a table's images: one that is called so, else the table's own."""
    own = Path(table).parent.as_posix()
    image = next((row.image for row in _rows(root / table, Findings())), "")
    for folder in IMAGES:
        place = joined("" if own == "." else own, folder)
        if (root / place / image.lstrip("/")).is_file():
            return place
    return own
