"""Instance segmentation from the first iteration to the report: masks are evaluated, recorded, read back and drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from engine.tiny import tiny
from PIL import Image

from cvzoo.cli import main
from cvzoo.data.shapes import ShapesDataset
from cvzoo.engine.finish import Result, read_run
from cvzoo.engine.train import train
from cvzoo.metrics.coco import evaluate_coco
from cvzoo.ops.masks import to_bitmap
from cvzoo.predict import predict_files
from cvzoo.predictor import Predictor
from cvzoo.recipes import Recipe
from cvzoo.recipes.codec import to_json
from cvzoo.structures import Prediction
from cvzoo.tasks.boxes import BoxEvaluation

pytestmark = pytest.mark.usefixtures("inside")
ROW = "mask_rcnn_r18_fpn_shapes"


def masked(out: Path, **changed: Any) -> Recipe[Any]:
    """Barely trained, with so low a threshold that it always finds something."""
    low = {"model__box_head__detect__score_threshold": 0.001, "model__box_head__detect__detections": 10}
    return tiny(out, ROW, **{"schedule__iterations": 2, "data__masks": True} | low | changed)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Result:
    folder = tmp_path_factory.mktemp("masks")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return train(masked(folder / "runs"))


def test_boxes_and_masks_are_evaluated_and_recorded(run: Result) -> None:
    assert run.row_file
    figures = json.loads(run.row_file.read_text())["results"]["val"]
    metrics = json.loads((run.folder / "metrics.json").read_text())["val"]
    assert figures == metrics["stats"]
    assert len(figures) == 24
    assert {"box_AP", "mask_AP", "mask_AR100"} <= set(figures)
    assert set(metrics["per_class"]) == set(metrics["precision_recall"]) == {"box", "mask"}
    detections = json.loads((run.folder / "predictions_val.json").read_text())
    assert detections
    dataset = run.datasets["val"]
    assert isinstance(dataset, ShapesDataset)
    assert evaluate_coco(dataset.ground_truth, detections, "mask").stats.items() <= figures.items()


def test_a_run_is_read_back_with_its_masks(run: Result) -> None:
    again, ours = (result.evaluations["val"] for result in (read_run(run.folder, run.recipe), run))
    assert isinstance(again, BoxEvaluation)
    assert isinstance(ours, BoxEvaluation)
    assert again.figures == ours.figures
    assert list(again.predictions) == list(ours.predictions)
    for one, other in zip(again.predictions.values(), ours.predictions.values()):
        assert one.masks == other.masks
        torch.testing.assert_close(one.boxes, other.boxes)


def test_the_command_line_shows_mask_ap(run: Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(run.folder.parents[1])
        wanted = tmp_path / "wanted.json"
        wanted.write_text(json.dumps(to_json(run.recipe)))
        assert main(["eval", str(wanted)]) == 0
        line, _, report = capsys.readouterr().out.splitlines()
        figures = run.evaluations["val"].figures.stats
        assert f"  box AP75 {figures['box_AP75']:.3f}  mask AP {figures['mask_AP']:.3f}  " in line
        assert "Precision and recall of masks, val" in Path(report).read_text()


def test_predictions_have_masks_of_the_whole_image(run: Result, tmp_path: Path) -> None:
    size = (48, 80)
    pixels = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(run.folder.parents[1])
        predictor = Predictor(run.recipe)
        found = predictor(pixels)
        drawn, listed = list(predict_files(run.recipe, [tmp_path / "image.png"], tmp_path / "out", min_score=0.0))
    assert isinstance(found, Prediction)
    assert found.masks is not None
    assert len(found.masks) == len(found) > 0
    for code in found.masks:
        assert to_bitmap(code, size).shape == size
    records = json.loads(listed.read_text())["annotations"]
    assert [record["segmentation"]["size"] for record in records] == [list(size)] * len(found)
    assert Image.open(drawn).size == (80, 48)


def test_asking_a_detector_for_masks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = tiny(tmp_path / "runs", data__masks=True, schedule__iterations=1)
    with pytest.raises(ValueError, match=r"retinanet_r18_fpn_shapes predicts no masks, which --data\.masks asks for"):
        train(recipe)
