"""Finds folders of images and label maps."""

from __future__ import annotations

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
    for suffix in SUFFIXES:
        parts = _camvid(root, suffix) or paired(root, suffix, FOLDERS)
        if parts and (first := _first(root, next(iter(parts.values())), suffix)):
            image, label_map = first
            with Image.open(label_map) as opened:
                if opened.mode in NUMBERS:
                    settings = LabelMaps(image_suffix=image.suffix, label_suffix=suffix)
                    return Layout("label_maps", "a PNG of class numbers for each image", parts, settings)
    return None


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
