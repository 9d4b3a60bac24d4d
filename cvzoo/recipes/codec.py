"""Recipes as JSON and back, and what sets two of them apart. Imports no torch."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from cvzoo.fields import field_problems, hints_of
from cvzoo.recipes.recipe import Recipe

WITHOUT_EFFECT = {
    *("data.root", "data.workers", "data.cache", "run.out", "run.name", "run.device"),
    *("run.log_every", "run.checkpoint_every", "run.eval_every", "run.val_loss", "run.keep_best", "run.wandb"),
    *("weights", "weights_style"),
}
"""Fields that change no figure of a row file. Weights do, but by their contents, not by where they lie; how they are
read stands in the model's fields."""
OF_PATIENCE = {"run.eval_every", "run.keep_best"}
"""With `run.patience` these two decide when a run ends, and so its figures."""


def _without_effect(resolved: dict[str, Any]) -> set[str]:
    return WITHOUT_EFFECT - OF_PATIENCE if resolved.get("run", {}).get("patience") else WITHOUT_EFFECT


def to_json(recipe: Any) -> dict[str, Any]:
    """A recipe (or any dataclass) as plain JSON values: dictionaries, lists, strings; paths become strings."""
    return _plain(dataclasses.asdict(recipe))


def portable(resolved: dict[str, Any]) -> dict[str, Any]:
    """A resolved recipe without the fields that tell of one machine and change no figure: where things lie, and how a
    run is followed. `from_json` gives them the row's own values.
    """
    return _without(resolved, _without_effect(resolved))


def _without(values: dict[str, Any], names: set[str], prefix: str = "") -> dict[str, Any]:
    return {
        name: _without(value, names, f"{prefix}{name}.") if isinstance(value, dict) else value
        for name, value in values.items()
        if prefix + name not in names
    }


def from_json(values: dict[str, Any], default: Any) -> Any:
    """`default` (a Recipe, or any dataclass) with the saved `values` laid over it, recursively.

    Lists become tuples, strings become paths where the default holds one. Fields not in `values` keep their default.
    ValueError names every unknown field, with the nearest known one, and every value that its field cannot hold.
    """
    problems: list[str] = []
    recipe = _overlay(values, default, "", problems)
    if problems:
        raise ValueError("; ".join(problems))
    return recipe


def with_changes(default: Any, changed: Mapping[str, Any]) -> Any:
    """`default` with other values of fields by dotted name (`schedule.batch`); ValueError as `from_json` has it."""
    nested: dict[str, Any] = {}
    for name, value in changed.items():
        *parents, leaf = name.split(".")
        inner = nested
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[leaf] = value
    return from_json(nested, default)


def changes(recipe: Recipe, default: Recipe) -> dict[str, Any]:
    """The fields that decide a figure and differ between two recipes: dotted name to the value in `recipe`."""
    ours, theirs = decisive(to_json(recipe)), decisive(to_json(default))
    return {name: value for name, value in ours.items() if name not in theirs or theirs[name] != value}


def decisive(resolved: dict[str, Any]) -> dict[str, Any]:
    """Leaves of a resolved recipe by dotted name, without those that change no figure."""
    return dict(_leaves(portable(resolved)))


def disagreements(resolved: dict[str, Any], saved: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Fields that decide a figure and differ: dotted name to (now, saved).

    A field that an older version saved nothing for did not exist then; it stands at what was done before it.
    """
    now, before = dict(_leaves(resolved)), decisive(saved)
    return {name: (now.get(name), value) for name, value in before.items() if name not in now or now[name] != value}


def _leaves(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    leaves = []
    for name, value in values.items():
        leaves += _leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else [(prefix + name, value)]
    return leaves


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _overlay(values: Any, default: Any, prefix: str, problems: list[str]) -> Any:
    if isinstance(values, list):
        # entries are of the default's kind, place by place, further ones of its last's
        kinds = list(default) if isinstance(default, tuple) and default else [None]
        kinds += kinds[-1:] * (len(values) - len(kinds))
        return tuple(_overlay(value, kind, prefix, problems) for value, kind in zip(values, kinds))
    if isinstance(default, Path) and isinstance(values, str):
        return Path(values)
    if not dataclasses.is_dataclass(default) or isinstance(default, type) or not isinstance(values, dict):
        return values
    known = {f.name: getattr(default, f.name) for f in dataclasses.fields(default)}
    for name in values.keys() - known.keys():
        near = difflib.get_close_matches(name, known, n=1)
        problems.append(f"unknown field {prefix}{name}" + (f"; did you mean {prefix}{near[0]}?" if near else ""))
    shared = known.keys() & values.keys()
    hints = hints_of(type(default))
    kinds = {name: _of_kind(values[name], known[name], hints[name]) for name in shared}
    overlaid = {name: _overlay(values[name], kinds[name], f"{prefix}{name}.", problems) for name in shared}
    wrong = field_problems(type(default), overlaid, prefix)
    problems += wrong
    return default if wrong else dataclasses.replace(default, **overlaid)


def _of_kind(values: Any, default: Any, hint: Any) -> Any:
    """Where a field may hold several kinds (a ResNet or a timm network), one that has the saved values' fields."""
    kinds = [kind for kind in get_args(hint) if isinstance(kind, type) and dataclasses.is_dataclass(kind)]
    if not isinstance(values, dict) or not (default is None or dataclasses.is_dataclass(default)):
        return default
    if default is not None and values.keys() <= vars(default).keys():
        return default
    for kind in kinds:
        fields = {field.name: field for field in dataclasses.fields(kind)}
        if values.keys() <= fields.keys():
            needed = [name for name, field in fields.items() if _has_no_default(field)]
            return kind(**{name: values[name] for name in needed if name in values})
    return default


def _has_no_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
