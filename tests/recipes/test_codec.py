"""Recipes as JSON and back, and what sets two of them apart."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from recipes.variants import with_part

from cvzoo.recipes import Recipe
from cvzoo.recipes.codec import WITHOUT_EFFECT, changes, decisive, disagreements, from_json, portable, to_json
from cvzoo.zoo import ROWS


@pytest.fixture
def recipe() -> Recipe[Any]:
    return ROWS["retinanet_r18_fpn_shapes"].recipe()


def test_a_portable_recipe_names_no_place_and_is_the_same() -> None:
    own = ROWS["retinanet_r18_fpn_shapes"].recipe()
    mine = replace(own, weights="/home/me/w.pth", optim=replace(own.optim, lr=0.5))
    mine = replace(mine, data=replace(mine.data, root=Path("/home/me/data")))
    mine = replace(mine, run=replace(mine.run, out=Path("/home/me/runs"), precision="bf16"))
    values = portable(to_json(mine))
    assert "/home/me" not in json.dumps(values)
    found = from_json(values, own)
    assert changes(found, mine) == {}
    assert (found.optim.lr, found.run.precision) == (0.5, "bf16")
    assert (found.weights, found.data.root, found.run.out) == (None, own.data.root, own.run.out)


@pytest.mark.parametrize("row", ROWS)
def test_every_recipe_survives_json(row: str) -> None:
    recipe = ROWS[row].recipe()
    assert from_json(json.loads(json.dumps(to_json(recipe))), recipe) == recipe


def test_changed_recipes_survive_json(recipe: Recipe[Any]) -> None:
    changed = with_part(with_part(recipe, "data", limit=8, canvas=(320, 256), root=Path("/data")), "optim", lr=0.5)
    assert from_json(json.loads(json.dumps(to_json(changed))), recipe) == changed
    assert from_json({"optim": {"lr": 0.5}}, recipe) == with_part(recipe, "optim", lr=0.5)


def test_unknown_fields_are_all_named(recipe: Recipe[Any]) -> None:
    with pytest.raises(ValueError, match=r"optim\.lrr") as error:
        from_json({"optim": {"lrr": 1.0}, "modell": {}, "xyzzy": 1}, recipe)
    assert "did you mean optim.lr?" in str(error.value)
    assert "did you mean model?" in str(error.value)
    assert "unknown field xyzzy" in str(error.value)


def test_fields_without_effect_are_no_change(recipe: Recipe[Any]) -> None:
    moved = with_part(recipe, "data", root=Path("/y"), workers=9, cache=True)
    moved = with_part(moved, "run", out=Path("/x"), log_every=1, wandb=True)
    moved = replace(moved, weights="somewhere/model.safetensors")
    assert moved != recipe
    assert changes(moved, recipe) == {}
    assert disagreements(to_json(moved), to_json(recipe)) == {}
    assert changes(with_part(moved, "run", seed=1), recipe) == {"run.seed": 1}


def test_fields_without_effect_exist(recipe: Recipe[Any]) -> None:
    resolved = to_json(recipe)
    known = {"weights", "weights_style"} | {f"{part}.{field}" for part in ("data", "run") for field in resolved[part]}
    assert known >= WITHOUT_EFFECT
    assert not WITHOUT_EFFECT & decisive(resolved).keys()


def test_what_patience_counts_decides_the_result_with_it(recipe: Recipe[Any]) -> None:
    followed = with_part(recipe, "run", eval_every=7, keep_best="box_AP")
    assert changes(followed, recipe) == {}
    patient = with_part(followed, "run", patience=3)
    assert changes(patient, recipe) == {"run.patience": 3, "run.eval_every": 7, "run.keep_best": "box_AP"}
    assert from_json(portable(to_json(patient)), recipe).run == patient.run  # a row file that can be repeated
    assert disagreements(to_json(followed), to_json(patient)) == {"run.patience": (0, 3)}


def test_a_saved_recipe_disagrees_in_values_and_in_fields_that_are_gone(recipe: Recipe[Any]) -> None:
    resolved, saved = to_json(recipe), to_json(with_part(recipe, "optim", lr=0.5))
    saved["model"]["forgotten"] = 7
    assert disagreements(resolved, saved) == {
        "model.forgotten": (None, 7),
        "optim.lr": (resolved["optim"]["lr"], 0.5),
    }


def test_a_field_that_was_added_later_disagrees_with_nothing(recipe: Recipe[Any]) -> None:
    saved = to_json(recipe)
    del saved["model"]["backbone"]["deform_groups"], saved["model"]["tower_norm_groups"]
    assert disagreements(to_json(recipe), saved) == {}
