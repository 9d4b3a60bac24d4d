"""The data are part of a run: their classes travel with the weights, and other data are refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data.formats.folders import Drawing, write_voc
from engine.on_files import NAMES, on_files, write
from engine.tiny import tiny

import cvzoo
from cvzoo.data.build import build_dataset
from cvzoo.data.coco import CocoDataset
from cvzoo.data.config import Split
from cvzoo.data.label_maps import LabelMapDataset
from cvzoo.engine.finish import evaluate_row
from cvzoo.engine.train import train
from cvzoo.files import alone_in
from cvzoo.recipes.codec import to_json

pytestmark = pytest.mark.usefixtures("inside")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data and a run on them."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("run")
    write(folder / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train(on_files(folder))
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of it, which a test may change."""
    shutil.copytree(trained, tmp_path / "copy")
    return tmp_path / "copy"


def test_a_run_continues_on_its_own_data_alone(run: Path) -> None:
    before = (run / "runs/retinanet_r18_fpn_shapes/model.safetensors").read_bytes()
    write(run / "data", boxes=1)
    with pytest.raises(ValueError, match=r"another data set than there is in .*annotations are not those"):
        train(on_files(run))
    write(run / "data", {1: "cat", 2: "horse", 3: "bird"})
    with pytest.raises(ValueError, match=r"its classes were cat, dog, bird, now they are cat, horse, bird"):
        train(on_files(run))
    assert (run / "runs/retinanet_r18_fpn_shapes/model.safetensors").read_bytes() == before
    write(run / "data")
    assert train(on_files(run)).evaluations["val"].figures.stats


def test_classes_are_matched_by_name(run: Path, trained: Path) -> None:
    own = evaluate_row(on_files(trained)).evaluations["val"]
    write(run / "data", {20: "cat", 3: "dog", 7: "bird"})
    found = evaluate_row(on_files(run)).evaluations["val"]
    assert found.figures.stats == own.figures.stats
    labels = {c["name"]: c["id"] for c in json.loads((run / "data/val.json").read_text())["categories"]}
    predicted = json.loads((run / "runs/retinanet_r18_fpn_shapes-eval/predictions_val.json").read_text())
    theirs = json.loads((trained / "runs/retinanet_r18_fpn_shapes-eval/predictions_val.json").read_text())
    assert [p["category_id"] for p in predicted] == [labels[NAMES[p["category_id"]]] for p in theirs]

    write(run / "data", {1: "cat", 2: "dog", 3: "fish"})
    with pytest.raises(ValueError, match=r"\(cat, dog, bird\) are not those of the data set \(cat, dog, fish\)"):
        evaluate_row(on_files(run))


def test_only_a_training_divides_a_folder(run: Path) -> None:
    """A recipe from Python does not know yet what it is for; what a training has learnt is not evaluated after it."""
    write(run / "parts")
    (run / "own").mkdir()
    (run / "parts/train").rename(run / "own/images")
    (run / "parts/train.json").rename(run / "own/result.json")
    recipe = cvzoo.recipe(str(run / "runs/retinanet_r18_fpn_shapes"), {"data.root": str(run / "own")})
    assert len(evaluate_row(recipe).datasets["val"]) == 4
    assert not (run / "own/splits").exists()
    again = train(replace(recipe, run=replace(recipe.run, name="again")))
    assert {split: len(found) for split, found in again.datasets.items()} == {"train": 3, "val": 1}
    assert cvzoo.recipe(str(again.folder)).data.val.lists == ("splits/val.txt",)
    assert len(evaluate_row(recipe).datasets["val"]) == 1


def test_a_split_that_lists_no_classes_may_lack_some(run: Path) -> None:
    write_voc(run / "voc", [Drawing("alone", (64, 64), ("dog",), [(8, 8, 38, 40)])])
    parts = {"train": Split(images="gone", annotations="gone")}
    parts |= {"val": Split(images="JPEGImages", annotations="Annotations")}
    where = {"data__source": "voc", "data__root": run / "voc", **{f"data__{name}": at for name, at in parts.items()}}
    result = evaluate_row(on_files(run, **where))
    assert list(result.evaluations["val"].figures.per_class["box"]) == ["cat", "dog", "bird"]
    assert result.datasets["val"].labels(0).tolist() == [1]
    write_voc(run / "voc", [Drawing("alone", (64, 64), ("fish",), [(8, 8, 38, 40)])])
    with pytest.raises(ValueError, match=r"the data set has 1 categories \(fish\), but the model of"):
        evaluate_row(on_files(run, **where))


def test_weights_train_on_with_their_order_of_classes(run: Path) -> None:
    weights = run / "runs/retinanet_r18_fpn_shapes/model.safetensors"
    write(run / "data", {20: "cat", 3: "dog", 7: "bird"})
    result = train(on_files(run, weights=str(weights), run__name="second", schedule__iterations=1))
    assert result.datasets["val"].classes == ["cat", "dog", "bird"]
    assert result.datasets["val"].category_ids == [20, 3, 7]
    assert result.folder == run / "runs/second"


def test_weights_bring_their_names_however_they_are_given(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run / "runs/retinanet_r18_fpn_shapes"
    for weights in (folder, folder / "model.safetensors", folder / "checkpoint.pt"):
        predictor = cvzoo.load(str(folder), weights=weights, device="cpu")
        assert (predictor.classes, list(predictor.category_ids)) == (["cat", "dog", "bird"], [1, 2, 3])
    state = torch.load(folder / "checkpoint.pt", weights_only=True)["model"]
    torch.save(state, folder / "bare.pth")
    predictor = cvzoo.load(str(folder / "recipe.json"), weights=folder / "bare.pth", device="cpu")
    assert predictor.classes == ["class 0", "class 1", "class 2"]
    assert "bare.pth names no classes" in capsys.readouterr().err


def test_a_folder_that_was_moved_brings_its_weights(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (run / "runs/retinanet_r18_fpn_shapes").rename(tmp_path / "mine")
    (tmp_path / "desk").mkdir()
    monkeypatch.chdir(tmp_path / "desk")
    moved = cvzoo.recipe("../mine")
    assert moved.folder == Path("../mine")
    assert cvzoo.trained_recipe("../mine/recipe.json").weights == "../mine/model.safetensors"
    assert cvzoo.load("../mine", device="cpu").classes == ["cat", "dog", "bird"]
    moved = replace(moved, data=replace(moved.data, root=run / "data"))
    assert train(moved).folder == Path("../mine")  # finished already: it is evaluated again


def test_a_row_of_ones_own(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run)
    result = train(replace(on_files(run), row="my_detector"))
    assert result.row_file == run / "runs/rows" / result.row_file.name  # type: ignore[union-attr]
    assert cvzoo.recipe("runs/my_detector").row == "my_detector"
    assert cvzoo.load("runs/my_detector", device="cpu").classes == ["cat", "dog", "bird"]


def test_a_row_of_ones_own_that_an_older_version_wrote(tmp_path: Path) -> None:
    """Fields that came later stand as they do in a row of that model."""
    recipe = replace(cvzoo.recipe("centernet_r18_shapes"), row="my_detector")
    written = to_json(recipe)
    del written["data"]["flip"], written["optim"]["ema_decay"], written["model"]["head_channels"]
    (tmp_path / "recipe.json").write_text(json.dumps(written))
    found = cvzoo.recipe(str(tmp_path))
    assert type(found.model) is type(recipe.model)
    assert found.data == recipe.data


def test_two_runs_cannot_share_a_folder(run: Path) -> None:
    folder = run / "runs/retinanet_r18_fpn_shapes"
    recipe_before = (folder / "recipe.json").read_bytes()
    with alone_in(folder), pytest.raises(ValueError, match=r"another command is at work in .*retinanet"):
        train(on_files(run))
    assert (folder / "recipe.json").read_bytes() == recipe_before
    train(on_files(run))


def test_epochs_take_as_many_iterations_as_there_are_images(run: Path) -> None:
    result = train(on_files(run, schedule__epochs=3.0, schedule__batch=2, run__name="epochs"))
    assert result.recipe.schedule.iterations == 6  # 3 x 4 / 2


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"data__masks": True}, "predicts no masks, which --data.masks asks for"),
        ({"data__test_window": (64, 64)}, "--data.test-window is for label maps"),
    ],
)
def test_what_the_evaluation_cannot_do_is_refused_first(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train(tiny(tmp_path / "runs", **changed))
    assert not (tmp_path / "runs").exists()


def test_a_row_of_masks_is_not_sent_in_a_circle_by_objects_without(tmp_path: Path) -> None:
    """The message of a set without outlines names --data.no-masks for evaluations; a training refuses it."""
    row = cvzoo.recipe("mask_rcnn_r18_fpn_shapes", {"data.masks": False, "run.out": tmp_path / "runs"})
    with pytest.raises(ValueError, match=r"learns masks, which --data\.no-masks keeps from it; .* boxes alone"):
        train(row)
    assert not (tmp_path / "runs").exists()


def test_a_dense_detector_merges_views(tmp_path: Path) -> None:
    result = train(tiny(tmp_path / "runs", schedule__iterations=1, data__test_flip=True, data__test_scales=(32, 64)))
    assert result.evaluations["val"].figures.stats["box_AP"] >= 0


def test_order_and_digest_of_objects(run: Path) -> None:
    write(run / "data", {20: "cat", 3: "dog", 7: "bird"})
    dataset = build_dataset(on_files(run).data, "val")
    assert isinstance(dataset, CocoDataset)
    assert dataset.classes == ["dog", "bird", "cat"]
    ordered = dataset.in_order(["cat", "dog", "bird"])
    assert ordered.category_ids == [20, 3, 7]
    for i in range(4):
        names = [dataset.classes[label] for label in dataset.labels(i)]
        assert [ordered.classes[label] for label in ordered.target(i).labels] == names
    assert dataset.digest == build_dataset(on_files(run).data, "val").digest
    write(run / "data", {20: "cat", 3: "dog", 7: "bird"}, boxes=1)
    assert dataset.digest != build_dataset(on_files(run).data, "val").digest


def test_order_of_label_maps() -> None:
    table = np.full(1 << 16, 255, np.uint8)
    table[[5, 6, 7]] = 0, 1, 2
    pixels = np.array([[1, 2, 3]])
    dataset = LabelMapDataset(["a", "b", "c"], np.arange(1), np.ones((1, 2), np.int32), pixels, [], table)
    ordered = dataset.in_order(["c", "a", "b"])
    assert ordered.pixels.tolist() == [[3, 1, 2]]
    assert [ordered.classes[ordered.table[number]] for number in (5, 6, 7)] == ["a", "b", "c"]
    assert ordered.table[8] == 255
