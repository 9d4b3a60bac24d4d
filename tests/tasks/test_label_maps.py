"""Label maps from training to the row file: figures, files, windows and views."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from engine import processes
from engine.tiny import logged, losses, tiny
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cvzoo.data.build import build_dataset
from cvzoo.data.config import Data
from cvzoo.data.shapes import draw
from cvzoo.engine.evaluate import evaluate
from cvzoo.engine.finish import Result, read_run
from cvzoo.engine.train import train
from cvzoo.predict import predict_files
from cvzoo.predictor import Predictor
from cvzoo.structures import IGNORE, Batch, Segmentation, View
from cvzoo.tasks import label_maps
from cvzoo.tasks.label_maps import STEP, at_scale, predict_views, window_logits, window_starts
from cvzoo.tasks.labelled_pixels import LabelledPixels

pytestmark = pytest.mark.usefixtures("inside")
CPU = torch.device("cpu")
ROW = "fcn_r18_shapes"
RECIPE = tiny(Path("."), ROW)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """12 iterations."""
    folder = tmp_path_factory.mktemp("pixels")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return train(tiny(folder / "runs", ROW, run__eval_every=6))


def test_figures_are_those_of_the_files(run: Result) -> None:
    """IoU by hand from the PNG files of the run folder."""
    dataset: Any = run.datasets["val"]
    union, inter = np.zeros(4), np.zeros(4)
    for number, name in enumerate(dataset.names):
        found = np.array(Image.open(run.folder / "predictions_val" / f"{name}.png"))
        truth = dataset[number].target.label_map.numpy()
        for k in range(4):
            union[k] += ((found == k) | (truth == k))[truth != IGNORE].sum()
            inter[k] += ((found == k) & (truth == k)).sum()
    metrics = json.loads((run.folder / "metrics.json").read_text())["val"]
    assert metrics["stats"]["mIoU"] == pytest.approx(float(np.mean(inter[union > 0] / union[union > 0])))
    assert set(metrics["stats"]) == {"mIoU", "mAcc", "aAcc"}
    (row_file,) = (run.folder.parent / "rows").glob("*.json")
    assert json.loads(row_file.read_text())["results"]["val"] == metrics["stats"]


def test_training_learns_and_logs_evaluations(run: Result) -> None:
    lines = logged(run.folder)
    seen = [line for line in lines if "val/mIoU" in line]
    assert [line["iteration"] for line in seen] == [6, 12]
    trained = [line["loss"] for line in lines]
    assert np.mean(trained[-3:]) < trained[0]


def test_a_run_is_read_back(run: Result) -> None:
    again = read_run(run.folder, run.recipe)
    assert again.evaluations["val"].figures == run.evaluations["val"].figures
    assert again.evaluations["val"].ious == run.evaluations["val"].ious
    for image_id, size in zip(run.datasets["val"].image_ids.tolist(), run.datasets["val"].sizes.tolist(), strict=True):
        found, ours = (result.evaluations["val"].prediction(image_id) for result in (again, run))
        assert isinstance(found, Segmentation)
        assert isinstance(ours, Segmentation)
        assert found.labels.equal(ours.labels)
        assert list(found.labels.shape) == size


def test_two_processes_count_what_one_counts(run: Result, tmp_path: Path) -> None:
    """Batch norm over both processes, and confusion matrices added up: the same curve, the same figures."""
    batch_norms = replace(run.recipe.model, backbone=replace(run.recipe.model.backbone, norm="batch"), dropout=0.0)
    model = replace(batch_norms, aux=replace(run.recipe.model.aux, dropout=0.0))
    recipe, alone = (
        replace(run.recipe, model=model, run=replace(run.recipe.run, out=tmp_path / name)) for name in ("two", "one")
    )
    started = processes.train(recipe, tmp_path, world=2)
    train(alone)
    assert started.wait() == [0, 0], started.said()
    curves = [[line["loss"] for line in losses(r.run.out / ROW)] for r in (recipe, alone)]
    np.testing.assert_allclose(*curves, rtol=1e-3)
    counts = [
        np.array(json.loads((r.run.out / ROW / "metrics.json").read_text())["val"]["confusion"])
        for r in (recipe, alone)
    ]
    assert counts[0].sum() == counts[1].sum()
    assert abs(counts[0] - counts[1]).sum() < 0.02 * counts[0].sum()


def model_of() -> Any:
    torch.manual_seed(0)
    model = RECIPE.model.build().eval()
    with torch.no_grad():
        model.head.classifier.conv.weight.mul_(30)
    return model


def view(size: tuple[int, int], original: tuple[int, int] | None = None) -> View:
    sample = draw(*size, objects=3, seed=1, label_maps=True)
    batch = Batch.collate([sample])
    return View(replace(batch, original_sizes=[original or size]), flipped=False)


@given(length=st.integers(1, 3000), window=st.integers(1, 1024))
def test_windows_cover_the_image(length: int, window: int) -> None:
    window = min(window, length)
    begins = window_starts(length, window)
    assert begins[0] == 0
    assert begins[-1] == length - window
    assert all(0 < later - earlier <= -(-STEP * window // 1) for earlier, later in pairwise(begins))


def test_one_whole_view_is_the_models_own_prediction() -> None:
    model, whole = model_of(), view((65, 97), (90, 130))
    (expected,) = model.predict(whole.batch)
    found = predict_views(model, [whole], RECIPE)
    assert found.labels.shape == (90, 130)
    assert (found.labels != expected.labels).float().mean() < 1e-3
    large = replace(RECIPE, data=replace(RECIPE.data, test_window=(1000, 1000)))
    assert predict_views(model, [whole], large).labels.equal(found.labels)


def test_a_mirrored_image_gives_a_mirrored_map() -> None:
    model, whole = model_of(), view((64, 96))
    both = predict_views(model, [whole, whole.mirrored()], RECIPE)
    mirrored = View(whole.mirrored().batch, flipped=False)
    other = predict_views(model, [mirrored, mirrored.mirrored()], RECIPE)
    assert (both.labels != other.labels.flip(-1)).float().mean() < 1e-3


def test_windows_are_averaged_where_they_overlap() -> None:
    model, (batch, _) = model_of(), view((64, 96))
    with torch.no_grad():
        found = window_logits(model, batch, (64, 48))
        parts = [window_logits(model, _cut(batch, left), None) for left in window_starts(96, 48)]
    assert window_starts(96, 48) == [0, 32, 48]
    sums, seen = torch.zeros_like(found), torch.zeros(96)
    for left, part in zip(window_starts(96, 48), parts):
        sums[..., left : left + 48] += part
        seen[left : left + 48] += 1
    torch.testing.assert_close(found, sums / seen, rtol=1e-4, atol=1e-4)


def _cut(batch: Batch, left: int) -> Batch:
    images = batch.images[..., left : left + 48]
    return replace(batch, images=images, sizes=[(64, 48)], original_sizes=[(64, 48)])


def test_a_bound_grows_with_the_scale() -> None:
    data = Data(source="label_maps", short_sides=(1024,), test_short_side=1024, max_long_side=2048)
    assert at_scale(data, 1536).max_long_side == 3072
    assert at_scale(data, 512).max_long_side == 1024
    assert at_scale(replace(data, test_scales=(512, 1024, 1792)), 512).test_short_side == 512


@pytest.mark.parametrize(
    "options", [{"data__test_window": (48, 48)}, {"data__test_scales": (48, 64), "data__test_flip": True}]
)
def test_evaluation_through_windows_and_views(tmp_path: Path, options: dict[str, Any]) -> None:
    recipe = tiny(tmp_path, ROW, **options)
    evaluation = evaluate(recipe.model.build(), build_dataset(recipe.data, "val"), recipe, CPU, tmp_path)
    assert evaluation
    assert 0 <= evaluation.figures.stats["mIoU"] <= 1
    assert [evaluation.prediction(number).labels.shape for number in range(4)] == [(64, 64)] * 4


def test_images_are_drawn_and_their_maps_written(run: Result, tmp_path: Path) -> None:
    Image.fromarray(draw(50, 70, 3, seed=0).image.permute(1, 2, 0).numpy()).save(tmp_path / "a.png")
    recipe = replace(run.recipe, weights=str(run.folder / "model.safetensors"))
    written = list(predict_files(recipe, [tmp_path / "a.png"], tmp_path / "out", min_score=0.5))
    assert [path.name for path in written] == ["a.png", "a.png", "classes.txt"]
    labels = np.array(Image.open(written[1]))
    assert labels.shape == (50, 70)
    predictor = Predictor(recipe)
    found = predictor(tmp_path / "a.png")
    assert isinstance(found, Segmentation)
    assert (labels == found.labels.numpy()).all()
    assert written[2].read_text().split() == ["background", "rectangle", "ellipse", "triangle"] == predictor.classes


def test_a_predictors_label_map_knows_its_image(run: Result) -> None:
    predictor = Predictor(replace(run.recipe, weights=str(run.folder / "model.safetensors")))
    pixels = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    seen = predictor(pixels)
    assert isinstance(seen, LabelledPixels)
    assert seen.size == tuple(seen.labels.shape) == (64, 96)
    assert sum(seen.counts.values()) == 64 * 96
    assert torch.equal(predictor(pixels, tile=(64, 96)).labels, seen.labels)
    tiled = predictor(pixels, tile=(64, 64), overlap=0.5)
    left, right = predictor([pixels[:, :64], pixels[:, 32:]])
    assert torch.equal(tiled.labels, torch.cat([left.labels[:, :48], right.labels[:, 16:]], dim=1))
    with pytest.raises(ValueError, match="gives every pixel a class; conf, classes would choose among detections"):
        predictor(pixels, conf=0.5, classes=[0])


@pytest.mark.parametrize("name", ["/absolute/images/a", "../../a", "below/a", "a"])
def test_label_maps_are_written_below_their_folder_alone(tmp_path: Path, name: str) -> None:
    path = label_maps._path(tmp_path / "run", "val", name)
    assert (tmp_path / "run/predictions_val") in path.resolve().parents
    assert path.name == "a.png"
