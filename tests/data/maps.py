"""A small folder of label maps that tests may break."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cvzoo.data.build import build_datasets
from cvzoo.data.config import Data, LabelMaps, Split
from cvzoo.data.problems import DataError

CLASSES = ("road", "car", "sky")


def save_image(path: Path, size: tuple[int, int] = (40, 30), **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (10, 200, 90)).save(path, **options)


def save_map(path: Path, numbers: Any, mode: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(numbers, np.uint8))
    if mode == "P":
        image.putpalette(np.random.default_rng(0).integers(0, 256, 768, dtype=np.uint8).tobytes())
    image.save(path)


def some_map(*numbers: int, height: int = 30, width: int = 40) -> np.ndarray:
    """Columns of these numbers in turn."""
    return np.tile(np.resize(np.array(numbers, np.uint8), width), (height, 1))


class Maps:
    """A plain data set on disk: 40 x 30 images a, b/c and d of three classes in each split."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for split in ("train", "val"):
            for name, numbers in (("a", (0, 1)), ("b/c", (1, 2, 255)), ("d", (0,))):
                save_image(self.image(name, split))
                save_map(self.map(name, split), some_map(*numbers))
        (root / "classes.txt").write_text("road\n car \n\nsky")

    def image(self, name: str, split: str = "train") -> Path:
        return self.root / split / "images" / f"{name}.jpg"

    def map(self, name: str, split: str = "train") -> Path:
        return self.root / split / "labels" / f"{name}.png"

    def data(self, settings: LabelMaps | None = None, **changes: Any) -> Data:
        return label_maps(changes.pop("root", self.root), settings or LabelMaps(), **changes)

    def problems(self, **settings: Any) -> list[str]:
        with pytest.raises(DataError) as caught:
            build_datasets(self.data(LabelMaps(**settings)))
        assert all(
            problem.file.is_absolute() and problem.reason and problem.remedy for problem in caught.value.problems
        )
        return [str(problem).replace(f"{self.root}/", "") for problem in caught.value.problems]


def label_maps(root: Path, settings: LabelMaps, **changes: Any) -> Data:
    fields: dict[str, Any] = {
        "source": "label_maps",
        "root": root,
        "train": Split(images="train/images", annotations="train/labels"),
        "val": Split(images="val/images", annotations="val/labels"),
        "label_maps": settings,
        "workers": 0,
    }
    return Data(**(fields | changes))
