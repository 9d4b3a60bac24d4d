"""docs/report.md: its commands as they stand there, and the same folder without its data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from guides import BLOCK, ROOT, execute

from cvzoo.cli import main
from cvzoo.metrics.error_kinds import KINDS
from cvzoo.tasks.box_study import KIND_NOTES

GUIDE = (ROOT / "docs/report.md").read_text()


def test_the_guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    ((_, language, text),) = BLOCK.findall(GUIDE)
    assert execute(language, text, tmp_path).splitlines()[-1] == "runs/retinanet_r18_fpn_shapes/report.html"
    folder = tmp_path / "runs/retinanet_r18_fpn_shapes"
    page = (folder / "report.html").read_text()
    for heading in ("Evaluations during training", "Training images as", "What each kind of error costs"):
        assert heading in page
    assert "schedule.iterations</td><td>20" in page  # of what differs from the row's own recipe
    recipe = json.loads((folder / "recipe.json").read_text())
    recipe["data"] |= {"source": "coco", "root": str(tmp_path / "gone")}
    (folder / "recipe.json").write_text(json.dumps(recipe))
    monkeypatch.chdir(tmp_path)
    assert main(["report", str(folder)]) == 0
    page = (folder / "report.html").read_text()
    assert "gone: the folder of the data set is missing" in page
    assert "Precision and recall of boxes, val" in page
    assert "Ground truth beside" not in page
    assert "Training images are left out" not in page  # once is enough


def test_the_guide_names_every_kind() -> None:
    for kind in KINDS:
        assert f"| {kind} |" in GUIDE
        assert kind in KIND_NOTES
