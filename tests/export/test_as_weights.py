"""Exported files as weights of commands: evaluation, measurement of speed, and the server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from export.pairs import CLASSES, RETINANET, Pair
from serve.serving import DEFAULTS, encoded, pixels, running
from zoo.systems import same_detections

import cvzoo
from cvzoo.data.build import build_dataset
from cvzoo.engine.bench import bench
from cvzoo.engine.evaluate import evaluate
from cvzoo.engine.finish import evaluate_row
from cvzoo.recipes import Recipe
from cvzoo.serve.models import Served
from cvzoo.tasks.boxes import BoxEvaluation
from cvzoo.tasks.detections import Detections

pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.usefixtures("inside")


def recipe(pair: Pair, folder: Path) -> Recipe[Any]:
    """Images as large as the file's smallest canvas, on which the model sees the same."""
    sizes = {"data.short_sides": (192,), "data.test_short_side": 192, "data.max_long_side": 192, "data.canvas": None}
    fields = {"data.shapes.val_images": 3, "run.device": "cpu", "run.out": folder, "weights": str(pair.file.path)}
    return cvzoo.recipe(RETINANET, sizes | fields)


def test_evaluation_gives_the_figures_of_the_model(retinanet: Pair, tmp_path: Path) -> None:
    wanted = recipe(retinanet, tmp_path)
    found = evaluate_row(wanted)
    assert found.row_file is None
    assert (found.folder / "predictions_val.json").exists()
    data = build_dataset(wanted.data, "val")
    eager = evaluate(retinanet.model, data, wanted, torch.device("cpu"), tmp_path)
    ours = found.evaluations["val"]
    assert isinstance(ours, BoxEvaluation)
    assert isinstance(eager, BoxEvaluation)
    assert ours.figures.stats == pytest.approx(eager.figures.stats, abs=1e-3)
    for image_id, expected in eager.predictions.items():
        same_detections(ours.predictions[image_id], expected)


def test_its_speed_is_measured_and_kept_out_of_the_rows(retinanet: Pair, tmp_path: Path) -> None:
    cost, row_file, _ = bench(recipe(retinanet, tmp_path), iterations=1)
    assert row_file is None
    assert cost.keys() == {"inf_s_per_im", "throughput", "throughput_batch"}
    assert float(cost["throughput"] or 0) >= 1 / float(cost["inf_s_per_im"] or 0)
    assert not list(tmp_path.rglob(f"{RETINANET}@*.json"))


def test_a_server_answers_with_it(retinanet: Pair) -> None:
    predictor = cvzoo.load(RETINANET, weights=retinanet.file.path, device="cpu")
    image = pixels(seed=1)
    found = predictor(image, conf=0.01)
    assert isinstance(found, Detections)
    assert len(found) > 0
    with running([Served("exported", predictor)], replace(DEFAULTS, workers=2)) as client:
        assert client.get("/models").json["models"][0]["classes"] == CLASSES
        reply = client.predict(encoded(image), min_score=0.01)
        assert [one["score"] for one in reply.json["detections"]] == pytest.approx(found.scores.tolist(), abs=1e-4)
        assert client.predict(encoded(image), min_score=0.0001).status == 422  # below the graph's own threshold
