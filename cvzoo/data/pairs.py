"""Finds the label map of every image: by their common name in two folders, or as text files list them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cvzoo.data.config import LabelMaps, Split
from cvzoo.data.problems import Findings, Problem


@dataclass(frozen=True)
class Pair:
    """An image and its label map; the files may be missing."""

    name: str
    """What the two have in common, as a relative path: "aachen/aachen_000000_000019"."""
    image: Path
    label_map: Path


def find_pairs(root: Path, split: Split, settings: LabelMaps, findings: Findings) -> list[Pair]:
    """The images of a split in the order of its lists, or of their names without lists.

    Errors are missing, empty or wrong folders and lists, and what is listed twice; label maps that lie in the folder
    without an image are warnings. The files of the pairs are not looked for.
    """
    places = _Places(root, split, settings)
    missing = [folder for folder in (places.images, *places.annotations) if not folder.is_dir()]
    remedy = "put it there, or name another one with --data.train / --data.val"
    findings.errors += [Problem(folder, "the folder is missing", remedy) for folder in missing]
    if split.lists:
        pairs = _in_lists([root / file for file in split.lists], places, findings)
        return [] if missing else pairs
    return [] if missing else _in_folder(places, findings)


class _Places:
    """Where the files of a split lie."""

    def __init__(self, root: Path, split: Split, settings: LabelMaps) -> None:
        self.root = root
        self.images = root / split.images
        self.annotations = [root / folder.strip() for folder in split.annotations.split(",")]
        self.settings = settings

    def named(self, name: str) -> Pair:
        """By the common name; the label map is in the first folder that has it."""
        image = self.images / (name + self.settings.image_suffix)
        label_map = name + self.settings.label_suffix
        return Pair(name, image, _first([folder / label_map for folder in self.annotations]))

    def listed(self, image: str, label_map: str) -> Pair:
        """By two paths, relative to the root or to the folders; many lists begin them with a slash all the same."""
        image, label_map = image.lstrip("/"), label_map.lstrip("/")
        name = PurePosixPath(image).with_suffix("")
        return Pair(
            name="/".join(part for part in name.parts if part != ".."),  # files are written under this name
            image=_first([folder / image for folder in (self.root, self.images)]),
            label_map=_first([folder / label_map for folder in (self.root, *self.annotations)]),
        )


def _first(paths: list[Path]) -> Path:
    """The first that exists, or the first."""
    return next((path for path in paths if path.is_file()), paths[0])


def _in_folder(places: _Places, findings: Findings) -> list[Pair]:
    suffix = places.settings.image_suffix
    files = list(files_below(places.images))
    names = sorted(file.removesuffix(suffix) for file in files if file.endswith(suffix))
    if not names:
        others = Counter(PurePosixPath(file).suffix or file for file in files).most_common(3)
        found = ", ".join(f"{count} in {ending}" for ending, count in others) or "nothing at all"
        reason = f"the folder holds no file that ends in {suffix!r}, but {found}"
        remedy = "correct the folder, or the ending with --data.label-maps.image-suffix"
        findings.errors.append(Problem(places.images, reason, remedy))
        return []
    known = set(names)
    suffix = places.settings.label_suffix
    for folder in places.annotations:
        for file in files_below(folder):
            if file.endswith(suffix) and file.removesuffix(suffix) not in known:
                remedy = f"its image would be {file.removesuffix(suffix)}{places.settings.image_suffix}"
                findings.warnings.append(Problem(folder / file, "is skipped, since it has no image", remedy))
    return [places.named(name) for name in names]


def files_below(folder: Path) -> Iterator[str]:
    """The files of a folder and those below it, hidden ones left out, as relative paths; links are followed."""
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        relative = Path(parent).relative_to(folder)
        yield from ((relative / name).as_posix() for name in files if not name.startswith("."))


def _in_lists(files: list[Path], places: _Places, findings: Findings) -> list[Pair]:
    pairs: dict[str, Pair] = {}
    for file in files:
        for number, pair in _in_list(file, places, findings):
            if pair.name in pairs:
                reason = f"line {number} names {pair.name} once more"
                findings.errors.append(Problem(file, reason, "remove the line"))
            pairs[pair.name] = pair
    return list(pairs.values())


def _in_list(file: Path, places: _Places, findings: Findings) -> Iterator[tuple[int, Pair]]:
    """The pairs that a text file names, each with the number of its line."""
    lines = read_lines(file, findings, "name another one with --data.train.lists / --data.val.lists")
    if lines == {}:
        findings.errors.append(Problem(file, "the list is empty", "name an image in each line, or leave the list out"))
    for number, line in (lines or {}).items():
        words = line.split("\t") if "\t" in line else line.split()
        if len(words) == 1:
            yield number, places.named(words[0].removesuffix(places.settings.image_suffix))
        elif len(words) == 2:
            yield number, places.listed(*words)
        else:
            remedy = "give a name, or image and label map; a tab separates names with spaces"
            findings.errors.append(Problem(file, f"line {number} has {len(words)} columns", remedy))


def read_lines(file: Path, findings: Findings, remedy: str) -> dict[int, str] | None:
    """The lines of a text file that are not blank, by number from 1; None, with the reason in `findings`, if there is
    no such file."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        findings.errors.append(Problem(file, "the file is missing", f"put it there, or {remedy}"))
    except (OSError, UnicodeDecodeError) as error:
        findings.errors.append(Problem(file, f"cannot be read as text ({error})", f"correct it, or {remedy}"))
    else:
        return {number: line.strip() for number, line in enumerate(lines, start=1) if line.strip()}
    return None
