"""A recipe's model with the weights the recipe names."""

from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from cvzoo.recipes import ROWS, Recipe
from cvzoo.recipes.codec import changes, from_json
from cvzoo.weights.adapt import as_row, class_count, config_for
from cvzoo.weights.backbones import load_backbone
from cvzoo.weights.download import download
from cvzoo.weights.errors import WeightsError
from cvzoo.weights.files import READERS, WeightsFile, find_file, read_weights
from cvzoo.weights.keys import recognise, to_ours
from cvzoo.weights.published import PUBLISHED
from cvzoo.weights.rename import State
from cvzoo.weights.strict import load_state
from cvzoo.weights.systems import ModelConfig, check_system, system_of, systems_of_state

__all__ = ["WeightsError", "build_with_weights", "load_state", "recognise", "to_ours"]


def build_with_weights(recipe: Recipe[Any]) -> tuple[nn.Module, Recipe[Any]]:
    """The recipe's model with the weights it names, and the recipe with the model options they brought along.

    `weights` is a published name or a path. The weights decide the model's options, except those in which the recipe
    differs from the row's own: what a user has set stays. Without `weights`, `backbone_weights` fill the backbone;
    without either, all is random.

    Raises: WeightsError for weights that are unknown, unreadable or do not fit; for other classes than were asked for.
    """
    if recipe.weights is None:
        model = recipe.model.build()
        if recipe.backbone_weights is not None:
            load_backbone(model.backbone, recipe.model.backbone, recipe.backbone_weights)
        return model, recipe
    found = _find(recipe)
    recipe = replace(recipe, model=_with_changes(found, recipe))
    model = recipe.model.build()
    load_state(model, found.state, found.source)
    return model, recipe


class _Found(NamedTuple):
    """Weights and the model they are for."""

    source: str
    """What to call them in errors."""
    path: Path
    state: State
    """Under our keys."""
    config: ModelConfig


def _find(recipe: Recipe[Any]) -> _Found:
    assert recipe.weights is not None
    published, path = PUBLISHED.get(recipe.row, {}), Path(recipe.weights)
    if recipe.weights in published:
        entry = published[recipe.weights]
        path = download(entry.file)
        return _Found(recipe.weights, path, to_ours(read_weights(path).state), entry.config)
    if not path.exists():
        raise WeightsError(_unknown(recipe, list(published)))
    path = find_file(path)
    file = read_weights(path)
    state = to_ours(file.state)
    if file.recipe is not None:
        return _Found(str(path), path, state, _recorded(file, state, recipe, path))
    return _Found(str(path), path, state, config_for(state, file.state, recipe.model, str(path)))


def _recorded(file: WeightsFile, state: State, recipe: Recipe[Any], path: Path) -> ModelConfig:
    """The model config that one of our own files was saved with."""
    assert file.recipe is not None
    row = file.recipe["row"]
    default = ROWS[row].recipe().model if row in ROWS else recipe.model
    check_system(systems_of_state(state), recipe.model, str(path), row)
    try:
        config = from_json(file.recipe["model"], default)
    except ValueError as error:
        raise WeightsError(f"{path} was saved by another version of cvzoo, whose options differ: {error}") from error
    check_system((system_of(config),), recipe.model, str(path), row)  # the keys may be those of several
    return as_row(config, recipe.model)


def _with_changes(found: _Found, recipe: Recipe[Any]) -> ModelConfig:
    """The weights' config with what sets the recipe's model apart from its row's own."""
    own = ROWS[recipe.row].recipe() if recipe.row in ROWS else recipe
    changed = {name: value for name, value in changes(recipe, own).items() if name.startswith("model.")}
    asked = changed.get("model.num_classes", found.config.num_classes)
    if asked != found.config.num_classes:
        raise WeightsError(
            f"{found.source} scores {class_count(found.config)} classes, the recipe asks for {asked}. Leave out"
            f" --model.num-classes {asked} to use the weights as they are, or train on other classes from their"
            f" backbone alone: --weights None --backbone-weights {found.path}"
        )
    nested: dict[str, Any] = {}
    for name, value in changed.items():
        *parents, leaf = name.split(".")[1:]
        inner = nested
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[leaf] = value
    return from_json(nested, found.config)


def _unknown(recipe: Recipe[Any], names: list[str]) -> str:
    weights = recipe.weights or ""
    if "/" in weights or Path(weights).suffix in READERS:
        return f"there is no weights file {weights}; check the path"
    near = difflib.get_close_matches(weights, names, n=3)
    known = f"published for {recipe.row}: {', '.join(names)}" if names else f"nothing is published for {recipe.row}"
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"there are no weights named {weights!r}{hint} ({known}; or give the path of a file)"
