"""What lies in a folder: which format, and where its splits are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cvzoo.data.config import LabelMaps, Source, Split
from cvzoo.data.formats.boxes_csv import csv_layout
from cvzoo.data.formats.coco_files import coco_layout
from cvzoo.data.formats.label_map_folders import coloured_map, label_map_layout
from cvzoo.data.formats.labelme import labelme_layout
from cvzoo.data.formats.layout import Layout, names_in
from cvzoo.data.formats.splits import both_parts, in_no_list
from cvzoo.data.formats.voc import voc_layout
from cvzoo.data.formats.yolo import yolo_layout
from cvzoo.data.image_files import SUFFIXES
from cvzoo.data.problems import DataError, Problem

TITLES: dict[Source, str] = {
    "coco": "COCO",
    "coco_export": "a COCO export of another tool",
    "voc": "Pascal VOC",
    "yolo": "YOLO",
    "labelme": "LabelMe",
    "csv": "a CSV of boxes",
    "label_maps": "label maps",
}


@dataclass(frozen=True)
class Found:
    """A recognised data set."""

    root: Path
    source: Source
    train: Split
    val: Split
    test: Split | None
    """What is left alone, if there is such a part."""
    label_maps: LabelMaps
    """What the files of label maps are called; their classes are in classes.txt."""
    reason: str
    notes: list[str]
    """What else there is to know: where a split was written down, which part is left alone."""

    def __str__(self) -> str:
        """One line."""
        parts = f"train {_words(self.train)}, val {_words(self.val)}"
        return "; ".join([f"{self.root} is taken for {TITLES[self.source]} ({self.reason}): {parts}", *self.notes])


def recognise(root: Path, source: Source | None = None, semantic: bool | None = None, evaluates: bool = False) -> Found:
    """What a folder holds, of any format or of one that is named.

    Args:
        semantic: where it holds both objects and label maps, which of them is meant, if that is known.
        evaluates: it is to be evaluated, or not trained on yet: nothing is written.

    A part that is called test is left alone. Where there is no validation, one image in five is held back for it, and
    the two lists are written into the folder, or, where that cannot be, into the one in which the program runs. To be
    evaluated a folder without these lists is taken whole, its training split UNDIVIDED.

    Raises: DataError where it is none of the formats, or several, or cannot be split.
    """
    if not root.is_dir():
        raise DataError([Problem(root, "the folder of the data set is missing", "name another one")])
    layouts = _layouts(root, source)
    if len(layouts) > 1 and semantic is not None:
        layouts = [layout for layout in layouts if (layout.source == "label_maps") == semantic]
    folders = [name for name in names_in(root) if (root / name).is_dir() and not name.startswith("__")]
    if not layouts and len(folders) == 1:
        layouts = [layout.below(folders[0]) for layout in _layouts(root / folders[0], source)]
    if len(layouts) != 1:
        raise DataError([_undecided(root, layouts, source)])
    (layout,) = layouts
    train, val, notes = both_parts(root, layout, evaluates)
    if note := in_no_list(root, layout, train, val):
        notes.append(note)
    by_lists = layout.source == "coco" and bool(train.lists or val.lists)
    source = "coco_export" if by_lists else layout.source
    return Found(root, source, train, val, layout.parts.get("test"), layout.label_maps, layout.reason, notes)


def _undecided(root: Path, layouts: list[Layout], source: Source | None) -> Problem:
    if layouts:
        several = " and ".join(f"{TITLES[layout.source]} ({layout.reason})" for layout in layouts)
        return Problem(root, f"could be {several}", "name one with --data.source (or --source of `cvzoo data check`)")
    if source in (None, "label_maps") and (picture := coloured_map(root)) is not None:
        remedy = "give each pixel its class's number (an 8-bit grey or palette PNG) and list the names in classes.txt"
        return Problem(picture, "is no label map: its pixels are colours, not numbers of classes", remedy)
    sought = ", ".join(TITLES[name] for name in LOOKS if source in (None, name))
    telling = sorted(names_in(root), key=lambda name: Path(name).suffix.lower() in SUFFIXES)  # images tell least
    held = ", ".join(telling[:8]) or "nothing"
    remedy = "docs/own-data.md shows what a folder may look like; or name its parts with --data.train and --data.val"
    return Problem(root, f"is not recognised: it was searched for {sought}, but it holds {held}", remedy)


def _words(split: Split) -> str:
    """Where a part is, in a word or two."""
    return " ".join(split.lists) or split.annotations or "none"


def _layouts(root: Path, source: Source | None) -> list[Layout]:
    source = "coco" if source == "coco_export" else source
    found = (look(root) for name, look in LOOKS.items() if source in (None, name))
    return [layout for layout in found if layout is not None]


LOOKS: dict[Source, Callable[[Path], Layout | None]] = {
    "coco": coco_layout,
    "voc": voc_layout,
    "yolo": yolo_layout,
    "labelme": labelme_layout,
    "csv": csv_layout,
    "label_maps": label_map_layout,
}
"""In the order in which the formats are looked for."""
