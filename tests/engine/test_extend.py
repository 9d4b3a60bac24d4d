"""A run that gets longer: with milestones it is what the longer run would have been, with other policies it says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from engine.tiny import losses, tiny

from cvzoo.engine import checkpoint
from cvzoo.engine.extend import continued
from cvzoo.engine.optim import lr_factor
from cvzoo.engine.train import train
from cvzoo.recipes import Recipe, Schedule
from cvzoo.recipes.codec import changes, to_json
from cvzoo.zoo import ROWS

pytestmark = pytest.mark.usefixtures("inside")
STEP: dict[str, Any] = {"schedule__policy": "step", "schedule__milestones": (2, 8)}


def test_with_milestones_the_extended_run_is_the_longer_one(tmp_path: Path) -> None:
    short, long = (tiny(tmp_path / "runs", **STEP, schedule__iterations=count) for count in (4, 10))
    train(short)
    extended = train(long)
    assert extended.recipe == long
    at_once = train(replace(long, run=replace(long.run, name="at_once")))
    ours, theirs = (checkpoint.load(result.folder, "cpu") for result in (extended, at_once))
    assert ours
    assert theirs
    assert all(torch.equal(ours["model"][name], tensor) for name, tensor in theirs["model"].items())
    trained = [losses(result.folder) for result in (extended, at_once)]
    assert trained[0] == trained[1]


def test_with_a_cosine_the_recipe_tells_how_the_run_went(tmp_path: Path) -> None:
    short, long = (tiny(tmp_path / "runs", schedule__policy="cosine", schedule__iterations=count) for count in (4, 8))
    train(short)
    extended = train(long)
    assert extended.recipe.schedule.extended_from == (4,)
    assert train(long).recipe == extended.recipe  # the same command again
    told = replace(extended.recipe, run=replace(long.run, name="told"))
    ours, theirs = (checkpoint.load(train(recipe).folder, "cpu") for recipe in (long, told))
    assert ours
    assert theirs
    assert all(torch.equal(ours["model"][name], tensor) for name, tensor in theirs["model"].items())


@pytest.mark.parametrize("policy", ["cosine", "poly"])
def test_the_learning_rate_goes_to_the_end_of_the_shorter_run_then_on_as_in_the_longer(policy: Any) -> None:
    short = Schedule(iterations=100, warmup_iterations=10, policy=policy, milestones=())
    long = replace(short, iterations=200)
    extended = replace(long, extended_from=(100,))
    assert [lr_factor(extended, step) for step in range(100)] == [lr_factor(short, step) for step in range(100)]
    assert [lr_factor(extended, step) for step in range(100, 200)] == [
        lr_factor(long, step) for step in range(100, 200)
    ]


def schedules(before: dict[str, Any], now: dict[str, Any]) -> tuple[Recipe[Any], dict[str, Any]]:
    recipe = ROWS["retinanet_r18_fpn_shapes"].recipe()
    earlier, later = (replace(recipe, schedule=replace(recipe.schedule, **fields)) for fields in (before, now))
    return later, to_json(earlier)


@pytest.mark.parametrize(
    ("before", "now", "message"),
    [
        ({"iterations": 100}, {"iterations": 50}, "schedule.iterations is 50, was 100"),
        (
            {"policy": "step", "milestones": (60,)},
            {"policy": "step", "milestones": (50,)},
            "keep --schedule.milestones 60",
        ),
        ({"policy": "step", "milestones": ()}, {"policy": "cosine"}, "schedule.policy is cosine, was step"),
        ({}, {"batch": 8}, "schedule.batch is 8, was 16"),
    ],
)
def test_what_would_not_be_the_same_run_is_refused(before: dict, now: dict, message: str) -> None:
    recipe, saved = schedules(before, now)
    with pytest.raises(ValueError, match=message):
        continued(recipe, saved, 80, Path("runs/some"))


def test_extended_runs_grow_more_than_once_and_never_enter_the_zoo() -> None:
    recipe, saved = schedules({"iterations": 500}, {"iterations": 800})
    once = continued(recipe, saved, 500, Path("runs/some"))
    longer = replace(recipe, schedule=replace(recipe.schedule, iterations=900))
    twice = continued(longer, to_json(once), 700, Path("runs/some"))
    assert twice.schedule.extended_from == (500, 800)
    own = replace(recipe, schedule=replace(recipe.schedule, iterations=900))
    assert changes(twice, own) == {"schedule.extended_from": [500, 800]}


def test_later_milestones_may_change_and_patience_too() -> None:
    recipe, saved = schedules(
        {"policy": "step", "iterations": 100, "milestones": (60, 95)},
        {"policy": "step", "iterations": 300, "milestones": (60, 200)},
    )
    patient = replace(recipe, run=replace(recipe.run, eval_every=5, keep_best="box_AP", patience=3))
    assert continued(patient, saved, 90, Path("runs/some")) == patient


def test_recipes_from_before_there_were_extensions_go_on() -> None:
    recipe, saved = schedules({}, {})
    del saved["schedule"]["extended_from"], saved["run"]["patience"], saved["run"]["keep_best"]
    assert continued(recipe, saved, 10, Path("runs/some")) == recipe


def test_lengths_must_rise() -> None:
    with pytest.raises(ValueError, match="must rise and stay below the iterations"):
        Schedule(iterations=100, extended_from=(100,))
