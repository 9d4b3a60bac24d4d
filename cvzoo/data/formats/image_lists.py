"""The images of a split: those of its folders, or those among them that its lists name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cvzoo.data.config import Split
from cvzoo.data.image_files import SUFFIXES
from cvzoo.data.pairs import files_below, read_lines
from cvzoo.data.problems import Findings, Problem


@dataclass(frozen=True)
class ImageFile:
    """An image and where its annotations would lie."""

    path: Path
    name: str
    """Its path relative to the root, with slashes."""
    inside: str
    """Its path relative to the folder of the images."""
    annotations: Path
    """The file of the same name, without suffix, in the folder of the annotations."""

    def beside(self, suffix: str) -> Path:
        """Its file of annotations."""
        return self.annotations.with_name(self.annotations.name + suffix)


def images_of(root: Path, split: Split, findings: Findings) -> list[ImageFile]:
    """The images of a split by name, or in the order of its lists.

    Errors are missing and empty folders and lists, and lines of a list that name no image.
    """
    folders, annotations = _folders(root, split.images), _folders(root, split.annotations)
    if len(folders) != len(annotations):
        reason = f"{len(annotations)} folders of annotations have {len(folders)} folders of images"
        findings.errors.append(Problem(root, reason, "name one for each, separated by commas"))
        return []
    missing = [folder for folder in dict.fromkeys([*folders, *annotations]) if not folder.is_dir()]
    remedy = "put it there, or name another one with --data.train / --data.val"
    findings.errors += [Problem(folder, "the folder is missing", remedy) for folder in missing]
    if missing:
        return []
    images = [image for pair in zip(folders, annotations) for image in _in_folder(root, *pair)]
    if not images:
        findings.errors += [Problem(folder, "the folder holds no image", "put some there") for folder in folders]
    return chosen(root, split.lists, images, findings) if split.lists and images else images


def annotated(root: Path, split: Split, suffix: str, findings: Findings) -> tuple[list[ImageFile], list[Path]]:
    """The images of a split that have a file of annotations with this suffix, and all other such files.

    Images without one, and where no lists choose files without an image, are warnings.
    """
    images = images_of(root, split, findings)
    if not images:
        return [], []
    found = [image for image in images if image.beside(suffix).is_file()]
    remedy = f"give each an annotation file of its name, ending in {suffix}, without objects where there is nothing"
    if len(found) < len(images):
        bare = next(image for image in images if not image.beside(suffix).is_file())
        reason = f"has no {bare.beside(suffix)}, as {len(images) - len(found)} of {len(images)} images have none"
        problems, end = (findings.warnings, "; they are left out") if found else (findings.errors, "")
        problems.append(Problem(bare.path, reason + end, remedy))
    own = {image.beside(suffix) for image in found}
    every = (folder / name for folder in _folders(root, split.annotations) for name in sorted(files_below(folder)))
    others = [file for file in every if file.suffix.lower() == suffix and file not in own]
    if others and not split.lists:
        reason = f"has no image, as {len(others)} annotation files have none; they are left out"
        findings.warnings.append(Problem(others[0], reason, "put the image into the split's folder, by the same name"))
    return found, others


def _folders(root: Path, names: str) -> list[Path]:
    return [root / name.strip() for name in names.split(",")]


def without_suffix(name: str) -> str:
    """The name of an image file, or that name without its suffix, to the latter."""
    path = PurePosixPath(name)
    return name[: -len(path.suffix)] if path.suffix.lower() in SUFFIXES else name


def _in_folder(root: Path, folder: Path, annotations: Path) -> list[ImageFile]:
    found = []
    for inside in sorted(files_below(folder)):
        if PurePosixPath(inside).suffix.lower() in SUFFIXES:
            name = PurePosixPath(os.path.relpath(folder / inside, root)).as_posix()
            found.append(ImageFile(folder / inside, name, inside, annotations / without_suffix(inside)))
    return found


def chosen(root: Path, lists: Sequence[str], images: Sequence[ImageFile], findings: Findings) -> list[ImageFile]:
    """The images that lists name, by their paths relative to the root or to their folder, or else by their names."""
    known: dict[str, ImageFile] = {}
    for name_of in (lambda i: i.name, lambda i: i.inside, lambda i: PurePosixPath(i.inside).name):
        for image in images:
            known.setdefault(name_of(image), image)
            known.setdefault(without_suffix(name_of(image)), image)
    found: dict[str, ImageFile] = {}
    for file in (root / name for name in lists):
        lines = read_lines(file, findings, "name another one with --data.train.lists / --data.val.lists")
        if lines == {}:
            findings.errors.append(Problem(file, "the list is empty", "name an image in each line"))
        for number, line in (lines or {}).items():
            image = _named(line, known)
            if image is None:
                reason = f"line {number} names {line}, of which there is no image"
                findings.errors.append(Problem(file, reason, "put it there or remove the line"))
            else:
                found[image.name] = image
    return list(found.values())


def _named(line: str, known: dict[str, ImageFile]) -> ImageFile | None:
    """The image that a line means: lists come with other roots, and with further columns."""
    for name in (line, line.split()[0]):
        path = name.removeprefix("./").lstrip("/")
        if image := known.get(path) or known.get(PurePosixPath(path).name):
            return image
    return None
