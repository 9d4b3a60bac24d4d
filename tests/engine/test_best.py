"""The best weights of a run: which they are, that they survive whatever happens, and when a training ends early."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from engine.processes import train as start
from engine.tiny import command, logged, tiny, whole_run
from recipes.variants import with_part
from safetensors import safe_open
from safetensors.torch import load_file

from cvzoo.data.body_parts import KAPPAS
from cvzoo.engine import checkpoint
from cvzoo.engine.best import exhausted, keep_best
from cvzoo.engine.finish import evaluate_row
from cvzoo.engine.state import State
from cvzoo.engine.train import train
from cvzoo.metrics.coco import evaluate_coco
from cvzoo.metrics.geometry import FlatGeometry
from cvzoo.metrics.gps import evaluate_gps
from cvzoo.recipes import Recipe
from cvzoo.recipes.recipe import Run
from cvzoo.tasks import boxes, dense_pose, label_maps

pytestmark = pytest.mark.usefixtures("inside")
ROW = "fcn_r18_shapes"
"""Its share of right pixels moves from the first step on."""
KEEPING: dict[str, Any] = {"run__eval_every": 3, "run__keep_best": "aAcc", "run__checkpoint_every": 5}


def metadata(folder: Path) -> dict[str, Any]:
    with safe_open(folder / "best.safetensors", "pt") as file:
        return {name: json.loads(value) for name, value in file.metadata().items()}


def evaluations(folder: Path) -> dict[float, float]:
    return {line["iteration"]: line["val/aAcc"] for line in logged(folder) if "val/aAcc" in line}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of 12 iterations that was evaluated at 3, 6, 9 and 12."""
    return whole_run(tmp_path_factory, ROW, **KEEPING)


def test_the_best_evaluation_is_kept_with_its_figures(whole: Path) -> None:
    found = evaluations(whole)
    assert sorted(found) == [3, 6, 9, 12]
    best = max(found, key=lambda iteration: (found[iteration], -iteration))
    kept = metadata(whole)
    assert (kept["iteration"], kept["metrics"]["aAcc"]) == (best, found[best])
    assert kept["classes"]


def test_the_best_weights_stand_where_weights_are_asked_for(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tiny(whole.parent, ROW, weights=str(whole / "best.safetensors"), run__out=whole.parent)
    evaluated = evaluate_row(recipe).evaluations["val"].figures.stats
    assert evaluated["aAcc"] == pytest.approx(metadata(whole)["metrics"]["aAcc"], abs=1e-12)


def test_an_interrupted_run_keeps_the_same_best_weights(whole: Path, tmp_path: Path) -> None:
    recipe = tiny(tmp_path / "runs", ROW, **KEEPING)
    process = command(recipe, tmp_path)
    assert process.stderr
    assert any(line.startswith("[8/12]") for line in process.stderr)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    folder = train(recipe).folder
    assert evaluations(folder) == evaluations(whole)
    ours, theirs = (load_file(run / "best.safetensors") for run in (folder, whole))
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())
    saved = [checkpoint.load(run, "cpu") for run in (folder, whole)]
    assert saved[0]
    assert saved[1]
    assert saved[0]["best"] == saved[1]["best"]


def scripted(recipe: Recipe[Any], figures: list[float], folder: Path) -> State:
    """The state after evaluations that found these figures, one after each iteration."""
    state = State.begin(recipe, recipe.model.build(), torch.device("cpu"))
    for value in figures:
        state.iteration += 1
        keep_best(recipe, state, {"aAcc": value}, folder)
        keep_best(recipe, state, {"aAcc": value}, folder)  # a finished run that is repeated
    return state


@pytest.mark.parametrize(
    ("figures", "best", "worse", "ends"),
    [([0.1, 0.3, 0.2], 2, 1, False), ([0.1, 0.3, 0.3, 0.2], 2, 2, True), ([-1.0, -1.0, 0.0], 3, 0, False)],
)
def test_patience_counts_evaluations_that_find_nothing_better(
    figures: list[float], best: int, worse: int, ends: bool, tmp_path: Path
) -> None:
    recipe = tiny(tmp_path, ROW, **KEEPING, run__patience=2)
    state = scripted(recipe, figures, tmp_path)
    assert state.best
    assert (state.best["iteration"], state.best["worse"]) == (best, worse)
    assert exhausted(recipe, state) is ends
    assert metadata(tmp_path)["iteration"] == best
    again = State.begin(recipe, recipe.model.build(), torch.device("cpu"))
    again.resume(recipe, tmp_path, torch.device("cpu"))
    assert again.best == state.best


def test_a_run_without_progress_ends_properly_and_stays_ended(tmp_path: Path) -> None:
    """Nothing is learnt at such a rate: the first evaluation stays the best."""
    recipe = tiny(tmp_path / "runs", ROW, **KEEPING, run__patience=2, optim__lr=1e-12)
    result = train(recipe)
    assert sorted(evaluations(result.folder)) == [3, 6, 9]
    assert result.row_file
    assert result.evaluations["val"].figures.stats["aAcc"] == evaluations(result.folder)[9]
    lines = logged(result.folder)
    assert train(recipe).folder == result.folder  # finished: nothing is trained any more
    assert logged(result.folder) == lines
    impatient = replace(recipe, run=replace(recipe.run, patience=0))
    assert sorted(evaluations(train(impatient).folder)) == [3, 6, 9, 12]


def test_two_processes_end_together(tmp_path: Path) -> None:
    recipe = tiny(tmp_path / "runs", ROW, **KEEPING, run__patience=1, optim__lr=1e-12)
    started = start(recipe, tmp_path, world=2)
    assert started.wait() == [0, 0], started.said()
    assert sorted(evaluations(recipe.folder)) == [3, 6]
    assert "".join(started.said()).count("training ends at iteration 6") == 1


def test_figures_that_can_be_asked_for_are_those_that_are_found(whole: Path) -> None:
    *_, line = logged(whole)
    figures = [name.removeprefix("val/") for name in line if name.startswith("val/")]
    assert figures == label_maps.metrics(tiny(whole, ROW))
    truth = {"images": [], "annotations": [], "categories": []}
    objects = evaluate_coco(truth, []) | evaluate_coco(truth, [], "mask")
    assert list(objects.stats) == boxes.metrics(tiny(whole, data__masks=True))
    people = evaluate_coco(truth, []) | evaluate_gps(truth, [], FlatGeometry(), KAPPAS)
    assert people.stats.keys() - set(dense_pose.metrics(tiny(whole))) == {"point_uv_error"}  # less is better


@pytest.mark.parametrize(
    ("row", "figure", "hint"),
    [
        ("retinanet_r18_fpn_shapes", "box_ap", "did you mean box_AP"),
        ("retinanet_r18_fpn_shapes", "mask_AP", "no figure of an evaluation of retinanet_r18_fpn_shapes"),
        ("fcn_r18_shapes", "miou", "mIoU"),
    ],
)
def test_unknown_figures_are_refused_before_anything_is_written(
    row: str, figure: str, hint: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=hint):
        train(tiny(tmp_path / "runs", row, **KEEPING | {"run__keep_best": figure}))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("fields", "remedy"),
    [({"keep_best": "box_AP"}, "--run.eval-every"), ({"patience": 3, "eval_every": 5}, "--run.keep-best")],
)
def test_what_one_needs_of_the_other_is_said(fields: dict[str, Any], remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy):
        Run(**fields)


def test_keeping_the_best_changes_no_figure() -> None:
    from cvzoo.recipes.codec import changes

    recipe = tiny(Path("runs"))
    assert changes(with_part(recipe, "run", keep_best="box_AP", eval_every=3), recipe) == {}
    impatient = with_part(recipe, "run", keep_best="box_AP", eval_every=3, patience=2)
    ends = {"run.patience": 2, "run.keep_best": "box_AP", "run.eval_every": 3}  # all three say when
    assert changes(impatient, recipe) == ends
