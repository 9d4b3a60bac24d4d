"""Finds folders of images and label maps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from cvzoo.data.config import LabelMaps, Split
from cvzoo.data.formats.image_lists import without_suffix
from cvzoo.data.formats.layout import PARTS, Layout, names_in, paired

FOLDERS = ("annotations", "masks", "labels", "annot", "mask", "label", "SegmentationClass", "gt", "labels_png")
"""What folders of label maps are called; none are beside the images."""
SUFFIXES = (".png", "_mask.png", "_label.png", "_labels.png", "_labelIds.png", "_seg.png", "_L.png")
NUMBERS = ("1", "L", "P", "I", "I;16")
"""Modes of images that hold a number for each pixel."""


def label_map_layout(root: Path) -> Layout | None:
    """The label maps of a folder: 8-bit PNGs that are called like the images of another folder."""
    for suffix, parts, image, _ in _pictures(root, in_colours=False):
        settings = LabelMaps(image_suffix=image.suffix, label_suffix=suffix)
        return Layout("label_maps", "a PNG of class numbers for each image", parts, settings)
    return None


def coloured_map(root: Path) -> Path | None:
    """A PNG that would be a label map, did its pixels hold numbers and not colours."""
    return next((picture for *_, picture in _pictures(root, in_colours=True)), None)


def _pictures(root: Path, in_colours: bool) -> Iterator[tuple[str, dict[str, Split], Path, Path]]:
    """Suffixes of label maps and parts that have them, with the first image and its label map."""
    for suffix in SUFFIXES:
        parts = _camvid(root, suffix) or paired(root, suffix, FOLDERS)
        if parts and (first := _first(root, next(iter(parts.values())), suffix)):
            with Image.open(first[1]) as opened:
                if (opened.mode not in NUMBERS) == in_colours:
                    yield suffix, parts, *first


def _camvid(root: Path, suffix: str) -> dict[str, Split]:
    """Parts whose label maps lie in a folder like that of the images with `annot` behind its name."""
    splits = {
        part: Split(images=name, annotations=f"{name}annot")
        for part, names in PARTS.items()
        for name in names
        if name and (root / f"{name}annot").is_dir()
    }
    return {part: split for part, split in splits.items() if _first(root, split, suffix)}


def _first(root: Path, split: Split, suffix: str) -> tuple[Path, Path] | None:
    """An image and its label map."""
    for name in names_in(root / split.images):
        label_map = root / split.annotations / (without_suffix(name) + suffix)
        if label_map.is_file() and without_suffix(name) != name:
            return root / split.images / name, label_map
    return None
