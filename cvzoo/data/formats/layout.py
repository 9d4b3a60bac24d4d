"""Where the splits of a data set lie, by the names that people give to folders and lists."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from cvzoo.data.config import LabelMaps, Source, Split
from cvzoo.data.formats.image_lists import without_suffix
from cvzoo.data.image_files import SUFFIXES
from cvzoo.data.problems import DataError, Problem

PARTS = {
    "train": ("train", "training", "Train"),
    "val": ("val", "valid", "validation", "dev", "Val"),
    "test": ("test", "testing", "Test"),
    "all": ("trainval", "all", "default", ""),
}
"""What the parts of a data set are called; `all` is yet to be split. An empty name is no folder of its own."""
IMAGES = ("JPEGImages", "images", "Images", "image", "imgs", "img", "")
"""What folders of images are called."""
LISTS = ("ImageSets/Main", "ImageSets", "splits", "")
"""Folders that hold a list of images for each part."""


class Layout(NamedTuple):
    """What a folder was taken for."""

    source: Source
    reason: str
    """By which it was recognised, in words: "XML files in Annotations"."""
    parts: Mapping[str, Split]
    """By the names of PARTS."""
    label_maps: LabelMaps = LabelMaps()

    def below(self, folder: str) -> Layout:
        """The same, seen from the folder that holds this one."""
        parts = {name: _below(folder, split) for name, split in self.parts.items()}
        return self._replace(reason=f"{self.reason}, all in {folder}", parts=parts)


def paired(root: Path, suffix: str, folders: tuple[str, ...]) -> dict[str, Split]:
    """The parts of which every image has an own file of annotations, which ends in `suffix`.

    Args:
        folders: what folders of annotations are called; "" stands for the folder of the images itself.
    """
    found = {}
    names = cache(names_in)
    for part, split in _candidates(folders):
        if part not in found and _are_pairs(names(root / split.annotations), names(root / split.images), suffix):
            found[part] = split
    if "train" not in found and "val" not in found:
        return with_lists(root, found)
    return {part: split for part, split in found.items() if part != "all"}


def with_lists(root: Path, found: dict[str, Split]) -> dict[str, Split]:
    """The parts of which lists tell, where the folders do not."""
    if "all" not in found:
        return found
    whole = found["all"]
    for folder in LISTS:
        lists = {
            part: f"{folder}/{name}.txt".lstrip("/")
            for part, names in PARTS.items()
            for name in reversed(names)
            if name and (root / folder / f"{name}.txt").is_file()
        }
        if lists:
            return found | {part: replace(whole, lists=(list_,)) for part, list_ in lists.items()}
    return found


def _candidates(folders: tuple[str, ...]) -> Iterator[tuple[str, Split]]:
    """Parts and where they may lie: annotations/train, train/annotations, train."""
    for part, names in PARTS.items():
        for name in names:
            for folder in folders:
                for images in IMAGES:
                    for join in (partial(joined, name), partial(joined, last=name)):
                        yield part, Split(images=join(images), annotations=join(folder))


def joined(*names: str, last: str = "") -> str:
    """A path of those names that are not empty."""
    return "/".join(name for name in (*names, last) if name) or "."


def _are_pairs(annotations: list[str], images: list[str], suffix: str) -> bool:
    """Whether at least one image has an own file of annotations, by what lies in two folders."""
    named = {name.removesuffix(suffix) for name in annotations if name.endswith(suffix)}
    return any(without_suffix(name) in named for name in images if Path(name).suffix.lower() in SUFFIXES)


def refuse_several(root: Path, parts: Mapping[str, Sequence[str]], what: str) -> None:
    """Raises: DataError where several files of annotations could be the same part."""
    remedy = "name one with --data.train and --data.val, or move the others away"
    reasons = [
        f"has several {what} for {'all images' if part == 'all' else part}: {', '.join(files)}"
        for part, files in parts.items()
        if len(files) > 1
    ]
    if reasons:
        raise DataError([Problem(root, reason, remedy) for reason in reasons])


def part_of(folder: str, file: str) -> str:
    """The part that a file of annotations is of, by the words of its name, or else by its folder."""
    words = re.split(r"[^a-z]+", PurePosixPath(file).stem.lower())
    for part in ("test", "val", "train"):
        if set(words) & set(PARTS[part]):
            return part
    return next((part for part, names in PARTS.items() if folder in names), "all")


def names_in(folder: Path) -> list[str]:
    """What lies in a folder, hidden files left out; nothing where it is none."""
    return sorted(name for name in os.listdir(folder) if not name.startswith(".")) if folder.is_dir() else []


def _below(folder: str, split: Split) -> Split:
    def moved(names: str) -> str:
        return ",".join(joined(folder, "" if name == "." else name) for name in names.split(","))

    return Split(images=moved(split.images), annotations=moved(split.annotations), lists=tuple(map(moved, split.lists)))
