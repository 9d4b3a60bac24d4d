"""The commands of docs/quick-start.md, executed as they stand there."""

from __future__ import annotations

from pathlib import Path

from guides import BLOCK, ROOT, execute
from PIL import Image

from cvzoo.data.shapes import draw


def test_every_command_of_the_guide(tmp_path: Path) -> None:
    pixels = draw(96, 128, objects=3, seed=0).image.permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(tmp_path / "street.jpg")
    blocks = BLOCK.findall((ROOT / "docs/quick-start.md").read_text())
    looked, trained, predicted, said = (execute(language, text, tmp_path) for _, language, text in blocks)
    assert "retinanet_r18_fpn_shapes" in looked
    assert "box AP" in trained
    assert (tmp_path / "runs/retinanet_r18_fpn_shapes/report.html").exists()
    assert predicted.split() == ["drawn/street.png", "drawn/predictions.json"]
    assert "in 128 x 96, street.jpg>" in said
    assert (tmp_path / "drawn/all.png").exists()
