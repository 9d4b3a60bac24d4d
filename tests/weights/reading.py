"""Files as rows of the zoo read them, and one row of every network that files hold."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cvzoo.loading import read_state
from cvzoo.weights.source import OWN
from cvzoo.weights.strict import load_state
from cvzoo.zoo import ROWS, SYSTEMS, system_of
from cvzoo.zoo.system import System


def _networks(system: System) -> list[str]:
    """The first row of each network that our own files of a system are told apart as."""
    found = []
    for source in system.sources():
        rows = [row.name for row in system.rows if source.fits(row.recipe().model)]
        if source.name == OWN and rows:
            found.append(rows[0])
    return found


NETWORKS = [row for system in SYSTEMS for row in _networks(system)]
"""One row of each network: with masks and without, with a pyramid and on C4, ..."""


def readers(state: dict[str, Tensor], record: str = "") -> set[tuple[str, str]]:
    """The systems and the toolboxes by which they read a file with these keys."""
    return {
        (system.key, source.name) for system in SYSTEMS for source in system.sources() if source.reads(state, record)
    }


def conventions(row: str) -> list[Any]:
    """The configs of toolboxes that a system's weights module states."""
    module = importlib.import_module(f"{system_of(row).package}.weights")
    values = [value for name, value in vars(module).items() if name.isupper()]
    configs = [config for value in values for config in (value.values() if isinstance(value, dict) else [value])]
    return [config for config in configs if isinstance(config, type(ROWS[row].recipe().model))]


def loads(state: dict[str, Tensor], row: str, record: str = "", **options: Any) -> Any:
    """The config for `state` in `row` with `options` for its model; the state has been loaded into it strictly."""
    recipe = ROWS[row].recipe()
    ours, config = read_state(state, replace(recipe, model=replace(recipe.model, **options)), "the file", record)
    with torch.device("meta"):
        load_state(config.build(), ours, "the file")
    return config


def manifest(folder: Path, name: str) -> dict[str, Tensor]:
    """A state on the meta device with the keys and shapes of a manifest in this folder."""
    shapes = json.loads((folder / f"{name}.json").read_text())
    if "same_as" in shapes:
        return manifest(folder, f"{name.split('/')[0]}/{shapes['same_as']}")
    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


def equal_states(a: nn.Module, b: nn.Module) -> bool:
    """Same keys, same values."""
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(left[key].equal(right[key]) for key in left)
