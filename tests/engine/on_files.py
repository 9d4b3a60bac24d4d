"""A tiny recipe on images in files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from engine.tiny import tiny
from PIL import Image

from cvzoo.data.config import Split
from cvzoo.recipes import Recipe

NAMES = {1: "cat", 2: "dog", 3: "bird"}


def write(root: Path, names: dict[int, str] = NAMES, boxes: int = 0) -> None:
    """Four 64 x 64 images with a box each of the first three names; `boxes` moves them."""
    for split in ("train", "val"):
        (root / split).mkdir(parents=True, exist_ok=True)
        ids = {name: number for number, name in names.items()}
        labels = [sorted(ids)[i % 3] for i in range(4)]
        content: dict[str, Any] = {
            "images": [{"id": i, "file_name": f"{i}.png", "height": 64, "width": 64} for i in range(4)],
            "categories": [{"id": number, "name": name} for number, name in names.items()],
            "annotations": [
                {"id": i + 1, "image_id": i, "category_id": ids[name], "bbox": [8 + boxes, 8, 30, 30 + i], "area": 900}
                for i, name in enumerate(labels)
            ],
        }
        (root / f"{split}.json").write_text(json.dumps(content))
        for i in range(4):
            pixels = np.random.default_rng(i).integers(0, 255, (64, 64, 3), np.uint8)
            Image.fromarray(pixels).save(root / split / f"{i}.png")


def on_files(folder: Path, **changed: Any) -> Recipe[Any]:
    """The recipe for the data in `folder`/data, with fields changed as `tiny` does it."""
    splits = {f"data__{split}": Split(images=split, annotations=f"{split}.json") for split in ("train", "val")}
    own = {"data__source": "coco", "data__root": folder / "data", "data__workers": 0, "schedule__iterations": 2}
    return tiny(folder / "runs", **(own | splits | changed))
