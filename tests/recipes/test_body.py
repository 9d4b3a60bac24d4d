"""Rows on other bodies: timm's by name, and the user's own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

import cvzoo
from cvzoo.cli import main
from cvzoo.engine.train import train
from cvzoo.nn.bodies import OwnBody
from cvzoo.nn.pixels import CAFFE
from cvzoo.nn.timm_backbone import TimmConfig
from cvzoo.predict import Predictor
from cvzoo.recipes import Recipe
from cvzoo.recipes.body import on_body
from cvzoo.recipes.codec import from_json, to_json

ROW = "retinanet_r18_fpn_shapes"


@pytest.fixture(scope="module")
def own_body() -> type[OwnBody]:
    """The one in the guide."""
    guide = Path(cvzoo.__file__).parents[1] / "docs" / "models.md"
    code = guide.read_text().partition("<!-- tested: body -->\n```python\n")[2].partition("```")[0]
    namespace: dict[str, Any] = {"__name__": __name__}  # dataclasses look their module up
    exec(code, namespace)
    return namespace["Thin"]


def short(recipe: Recipe[Any], folder: Path) -> Recipe[Any]:
    """Two iterations on two drawn images each."""
    return replace(
        recipe,
        backbone_weights=None,
        data=replace(recipe.data, limit=4, workers=0),
        schedule=replace(recipe.schedule, iterations=2, batch=2, base_batch=2),
        run=replace(recipe.run, out=folder, device="cpu"),
    )


@pytest.mark.parametrize("name", ["convnext_atto", "vit_tiny_patch16_224", "tf_efficientnet_lite0"])
def test_a_recipe_on_timms_body_reads_back_and_sees_what_that_was_trained_on(name: str) -> None:
    recipe = on_body(cvzoo.recipe(ROW), f"timm:{name}")
    assert recipe.model.backbone == TimmConfig(name=name)
    assert from_json(json.loads(json.dumps(to_json(recipe))), cvzoo.recipe(ROW)) == recipe
    trained = timm.get_pretrained_cfg(name)
    assert trained is not None
    assert recipe.model.pixels.mean == pytest.approx([255 * x for x in trained.mean])
    assert recipe.model.pixels.std == pytest.approx([255 * x for x in trained.std])


def test_bodies_that_were_trained_in_bgr_are_left_behind_with_their_pixels() -> None:
    row = cvzoo.recipe(ROW)
    caffe = replace(row, model=replace(row.model, pixels=CAFFE))
    assert on_body(caffe, "timm:convnext_atto").model.pixels == on_body(row, "timm:convnext_atto").model.pixels


def test_a_dilated_row_stays_dilated() -> None:
    body = on_body(cvzoo.recipe("pspnet_r50_d8_cityscapes"), "timm:resnet18").model.backbone
    assert body == TimmConfig(name="resnet18", output_stride=8)


@pytest.mark.parametrize(
    ("row", "body", "message"),
    [
        (ROW, "convnext_atto", "takes timm:NAME, as timm:convnext_tiny, not 'convnext_atto'"),
        (ROW, "timm:convnext_attto", "did you mean convnext_atto"),
        ("faster_rcnn_r50_c4_1x", "timm:resnet18", "backbone must be a ResNet"),
        ("cornernet_hourglass104_511", "timm:resnet18", "model.backbone must be HourglassConfig"),
    ],
)
def test_what_cannot_be_the_body_is_refused(
    row: str, body: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", row, "--model.backbone", body]) == 2
    assert message in capsys.readouterr().err


def test_a_run_on_another_body_from_first_to_last(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--data.limit", "4", "--schedule.iterations", "2", "--schedule.batch", "2", "--run.out", str(tmp_path)]
    body = ["--model.backbone=timm:convnext_atto", "--model.backbone.frozen-outputs", "1"]
    assert main(["train", ROW, *body, *options, "--data.workers", "0", "--device", "cpu"]) == 0
    capsys.readouterr()
    assert main(["show", str(tmp_path / ROW)]) == 0
    assert '"name": "convnext_atto"' in capsys.readouterr().out
    predictor = cvzoo.load(str(tmp_path / ROW), device="cpu")
    assert predictor(torch.zeros(3, 64, 64, dtype=torch.uint8)).boxes.shape[1] == 4
    assert main(["eval", str(tmp_path / ROW), "--device", "cpu"]) == 0


def test_a_body_of_ones_own(own_body: type[Any], tmp_path: Path) -> None:
    row = cvzoo.recipe(ROW)
    recipe = short(replace(row, model=replace(row.model, backbone=own_body(width=12))), tmp_path)
    folder = train(recipe).folder
    trained = replace(recipe, weights=str(folder / "model.safetensors"))
    assert Predictor(trained)(torch.zeros(3, 64, 64, dtype=torch.uint8)).boxes.shape[1] == 4
    again = train(replace(recipe, schedule=replace(recipe.schedule, iterations=2)))  # finds itself done
    assert again.folder == folder
