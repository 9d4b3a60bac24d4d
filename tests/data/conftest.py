"""Small data sets on disk that tests may break, and the real COCO."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data.maps import Maps
from PIL import Image

from cvzoo.data.config import Data, Split

REPOSITORY = Path(__file__).parents[2]


class Folder:
    """A data set on disk: four 40 x 30 images in each split, two boxes each, categories 7 and 3."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for split in ("train", "val"):
            (root / split).mkdir(parents=True)
            for i in range(1, 5):
                rng = np.random.default_rng(i)
                Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)).save(root / split / f"{i}.jpg")
            self.write(self.content(), split)

    @staticmethod
    def content() -> dict[str, Any]:
        return {
            "images": [{"id": i, "file_name": f"{i}.jpg", "height": 30, "width": 40} for i in range(1, 5)],
            "categories": [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}],
            "annotations": [
                {"id": 10 * i + k, "image_id": i, "category_id": (3, 7)[k], "bbox": [5 * k, 2, 10, 8 + i]}
                for i in range(1, 5)
                for k in range(2)
            ],
        }

    def write(self, content: Any, split: str = "train") -> None:
        (self.root / f"{split}.json").write_text(json.dumps(content))

    def data(self, **changes: Any) -> Data:
        settings: dict[str, Any] = {
            "root": self.root,
            "train": Split(images="train", annotations="train.json"),
            "val": Split(images="val", annotations="val.json"),
            "short_sides": (32,),
            "test_short_side": 32,
            "max_long_side": 64,
            "workers": 0,
        }
        return Data(**(settings | changes))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "set")


@pytest.fixture
def maps(tmp_path: Path) -> Maps:
    return Maps(tmp_path / "set")


@pytest.fixture(scope="session")
def real_coco() -> Data:
    """The mini COCO of real images."""
    root = Path(os.environ.get("CVZOO_DATA", REPOSITORY.parent / "shared" / "data")) / "coco"
    if not root.is_dir():
        pytest.skip(f"{root} is absent; set CVZOO_DATA to the folder of the real data sets")
    return Data(
        root=root,
        train=Split(images="train", annotations="annotations/instances_train.json"),
        val=Split(images="val", annotations="annotations/instances_val.json"),
        workers=0,
    )
