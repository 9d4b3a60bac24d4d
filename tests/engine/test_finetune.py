"""Starting from weights: the classes follow the data, parts are held fast, and what is kept learns more slowly."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from engine.on_files import NAMES, on_files, write
from engine.tiny import tiny
from safetensors.torch import load_file

import cvzoo
from cvzoo.engine.finish import evaluate_row
from cvzoo.engine.optim import build_optimiser
from cvzoo.engine.prepare import for_images
from cvzoo.engine.state import State
from cvzoo.engine.stop import Interrupted
from cvzoo.engine.train import train
from cvzoo.recipes import Optim
from cvzoo.recipes.finetune import KEPT, LEAST, finetuned
from cvzoo.zoo import ROWS

pytestmark = pytest.mark.usefixtures("inside")
ROW = "retinanet_r18_fpn_shapes"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on cats, dogs and birds."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("first")
    write(folder / "data", {1: "cat", 2: "dog", 3: "bird", 4: "cow"})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train(on_files(folder, model__backbone__norm="batch", schedule__batch=2))
    return folder / "runs" / ROW


def test_the_classes_follow_the_data(weights: Path) -> None:
    """Four of them, in a row for three."""
    recipe = cvzoo.recipe(str(weights))
    assert json.loads((weights / "recipe.json").read_text())["model"]["num_classes"] == recipe.model.num_classes == 4
    assert len(load_file(weights / "model.safetensors")["head.cls_out.bias"]) == 9 * 4
    own = ROWS[ROW].recipe().model.num_classes
    again = train(replace(recipe, model=replace(recipe.model, num_classes=own)))  # as the same command asks for it
    assert again.recipe == recipe


def test_other_numbers_of_classes_are_refused(weights: Path, tmp_path: Path) -> None:
    write(tmp_path / "data")
    with pytest.raises(ValueError, match=r"3 categories .* predicts 5; add --model\.num-classes 3"):
        train(on_files(tmp_path, model__num_classes=5, weights=str(weights)))
    assert not (tmp_path / "runs").exists()


def test_a_semantic_row_follows_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tiny(tmp_path / "runs", "pspnet_r18_shapes", schedule__iterations=1)
    own = ROWS["pspnet_r18_shapes"].recipe().model.num_classes
    recipe = replace(recipe, row="pspnet_lite0_camvid")  # whose own model has 11 classes
    recipe = replace(recipe, model=replace(recipe.model, num_classes=11))
    assert train(recipe).recipe.model.num_classes == own
    said = capsys.readouterr().err
    assert f"the model is for the {own} classes of the data set, not for the 11 of pspnet_lite0_camvid" in said


def test_weights_for_other_classes(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of four classes are known, held parts stay bit for bit, and the interrupted run goes on from its recipe."""
    write(tmp_path / "data", {1: "dog", 2: "horse", 3: "cat"})
    changed: dict[str, Any] = {
        "weights": str(weights),
        "optim__freeze": ("backbone", "neck"),
        "optim__kept_lr_factor": 0.5,
        "optim__ema_decay": 0.9,
        "model__backbone__norm": "batch",
        "schedule__iterations": 3,
        "run__checkpoint_every": 1,
        "run__eval_every": 1,
    }
    result = train(on_files(tmp_path, **changed))
    assert "2 (dog, cat) kept by name, 1 (horse) re-initialised, 2 (bird, cow) skipped" in capsys.readouterr().err
    before, after = (load_file(folder / "model.safetensors") for folder in (weights, result.folder))
    assert before.keys() == after.keys()
    same = {key for key in before if before[key].equal(after[key])}
    assert same - {"positives"} == {key for key in before if key.startswith(("backbone.", "neck."))}
    saved = cvzoo.recipe(str(result.folder))
    assert saved == result.recipe
    assert train(saved).evaluations["val"].figures.stats == result.evaluations["val"].figures.stats

    again = on_files(tmp_path, **changed, run__name="again")
    with monkeypatch.context() as patch:
        patch.setattr(State, "save", _saves_and_is_stopped(State.save))
        with pytest.raises(Interrupted):
            train(again)
    assert train(again).recipe.model == result.recipe.model
    resumed = load_file(again.folder / "model.safetensors")
    assert all(after[key].equal(resumed[key]) for key in after)


def _saves_and_is_stopped(save: Callable[..., None]) -> Callable[..., None]:
    def stopped(state: State, *arguments: Any) -> None:
        save(state, *arguments)
        signal.raise_signal(signal.SIGTERM)

    return stopped


def test_evaluation_still_refuses_other_classes(weights: Path, tmp_path: Path) -> None:
    write(tmp_path / "data", NAMES)
    with pytest.raises(ValueError, match=r"3 categories .* predicts 4"):
        evaluate_row(on_files(tmp_path, weights=str(weights)))


def test_a_part_that_a_model_does_not_have_cannot_be_held(tmp_path: Path) -> None:
    recipe = tiny(tmp_path / "runs", "pspnet_r18_shapes", optim__freeze=("backbone", "neck"))
    with pytest.raises(ValueError, match=r"pspnet_r18_shapes has no neck to hold fast; leave that out of --freeze"):
        train(recipe)
    assert not (tmp_path / "runs").exists()


def test_held_norms_keep_their_statistics() -> None:
    recipe = tiny(Path("runs"), model__backbone__norm="batch", optim__freeze=("backbone",))
    state = State.begin(recipe, recipe.model.build(), torch.device("cpu"))
    assert not any(module.training for module in state.model.backbone.modules())
    assert not any(parameter.requires_grad for parameter in state.model.backbone.parameters())
    assert state.model.training
    assert all(parameter.requires_grad for parameter in state.model.get_submodule("neck").parameters())


def test_what_is_kept_learns_more_slowly() -> None:
    model = tiny(Path("runs")).model.build()
    kept = [key for key in model.state_dict() if not key.startswith("head.cls_out")]
    optim = Optim(kept_lr_factor=0.1, backbone_lr_factor=0.5)
    rates = {
        id(parameter): group["peak_lr"]
        for group in build_optimiser(model, optim, 0.1, kept).param_groups
        for parameter in group["params"]
    }
    found = {name: rates[id(p)] for name, p in model.named_parameters() if id(p) in rates}
    assert all(rate == pytest.approx(0.005) for name, rate in found.items() if name.startswith("backbone"))
    assert found["head.box_out.bias"] == pytest.approx(0.01)
    assert found["head.cls_out.weight"] == found["head.cls_out.bias"] == pytest.approx(0.1)


def test_the_recipe_for_few_images() -> None:
    own = ROWS["retinanet_r50_fpn_1x"].recipe()
    asked = replace(own, recipe="finetune", weights="torchvision")
    iterations = {n: finetuned(asked, own, n).schedule.iterations for n in (10, 285, 1000, 16_000, 10**9)}
    assert iterations == {10: LEAST, 285: 891, 1000: 3125, 16_000: 12_500, 10**9: own.schedule.iterations}
    recipe = finetuned(asked, own, 285)
    assert (recipe.recipe, recipe.optim.kept_lr_factor, recipe.optim.lr) == (None, KEPT, own.optim.lr)
    assert (recipe.schedule.policy, recipe.schedule.warmup_iterations) == ("cosine", 44)
    assert finetuned(recipe, own, 285) == recipe  # a saved one is what it was

    mine = replace(asked, optim=replace(own.optim, kept_lr_factor=0.5), schedule=replace(own.schedule, batch=4))
    recipe = finetuned(mine, own, 285)
    assert (recipe.optim.kept_lr_factor, recipe.schedule.iterations) == (0.5, 3562)
    set_ = replace(asked, schedule=replace(own.schedule, iterations=77, policy="poly"))
    recipe = finetuned(set_, own, 285)
    assert (recipe.schedule.iterations, recipe.schedule.policy) == (77, "poly")
    assert recipe.schedule.warmup_iterations == 3  # of the run as it is, not as it would be
    schedule = for_images(replace(asked, schedule=replace(own.schedule, epochs=16.0)), 100).schedule
    assert (schedule.iterations, schedule.warmup_iterations) == (100, 5)
    with pytest.raises(ValueError, match="name them with --weights"):
        finetuned(replace(asked, weights=None), own, 285)
