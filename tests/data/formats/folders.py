"""A small drawn data set, and how it is written in each format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

BCCD = Path(__file__).parents[4] / "shared" / "data" / "bccd"
CLASSES = ("cat", "dog", "red car")


@dataclass(frozen=True)
class Drawing:
    """An image with its objects, whose corners are whole pixels."""

    name: str
    """Without suffix."""
    size: tuple[int, int]
    """Height and width."""
    labels: Sequence[str]
    boxes: Sequence[tuple[int, int, int, int]]
    """x1, y1, x2, y2 in pixels from the image's corner."""


def drawings(count: int = 5, seed: int = 0) -> list[Drawing]:
    """Images of 1 to 3 objects, the first of all three classes."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        height, width = rng.integers(40, 80, 2).tolist()
        objects = 3 if number == 0 else int(rng.integers(1, 4))
        first = rng.integers(0, 20, (objects, 2))
        last = first + rng.integers(2, 20, (objects, 2))
        labels = CLASSES if number == 0 else rng.choice(CLASSES, objects).tolist()
        boxes = [tuple(box) for box in np.concatenate([first, last], 1).tolist()]
        found.append(Drawing(f"image {number}.v1", (height, width), labels, boxes))
    return found


def write_image(path: Path, size: tuple[int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (size[1], size[0]), (90, 120, 60)).save(path)


def voc_xml(drawing: Drawing, difficult: int = 0) -> str:
    """As the devkit has it: corners are pixels, counted from 1."""
    objects = "".join(
        f"<object><name>{label}</name><difficult>{difficult}</difficult><bndbox><xmin>{x1 + 1}</xmin>"
        f"<ymin>{y1 + 1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for label, (x1, y1, x2, y2) in zip(drawing.labels, drawing.boxes)
    )
    height, width = drawing.size
    size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    return f"<annotation><filename>else.jpg</filename>{size}{objects}</annotation>"


def write_voc(
    root: Path, wanted: Sequence[Drawing], images: str = "JPEGImages", annotations: str = "Annotations"
) -> None:
    (root / annotations).mkdir(parents=True, exist_ok=True)
    for drawing in wanted:
        write_image(root / images / f"{drawing.name}.jpg", drawing.size)
        (root / annotations / f"{drawing.name}.xml").write_text(voc_xml(drawing))


def write_list(file: Path, names: Sequence[str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{name}\n" for name in names))
