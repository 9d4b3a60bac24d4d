"""Row files: what was measured for a row on one machine, `zoo/rows/<row>@<machine>.json`. Imports no torch.

`train`, `eval` and `bench` each update their own part of a file. A file speaks about one recipe and one set of weights:

- The row's own recipe writes `zoo/rows/<row>@<machine>.json`. When that recipe has been edited, figures of the old one
  are dropped with the next update.
- Another precision, seed or other run option, and weights the row did not train (`--weights torchvision`), have a file
  of their own beside it, named after the difference: `<row>+precision=bf16@h100.json`.
- An evaluation on other data than a training saw leaves that training's file as it is; it has one of its own, named
  after the data, as an experiment has.
- Any other change makes an experiment, not the row: it never enters the zoo; its file lies in `<run.out>/rows`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cvzoo.files import write_json
from cvzoo.recipes import Recipe
from cvzoo.recipes.codec import changes, disagreements, to_json
from cvzoo.results.machine import commit, versions
from cvzoo.zoo import ROWS

LOG_LINES = 200
"""A training curve is thinned to at most this many lines."""


@dataclass(frozen=True, kw_only=True)
class RowFile:
    """The contents of one row file; in GB, seconds and AP of 0..1 (-1 where there is nothing to find)."""

    row: str
    machine: str
    hardware: str = ""
    """The machine in words."""
    changes: dict[str, Any] = field(default_factory=dict)
    """How the recipe differs from the row's own; empty in the row's own file."""
    versions: dict[str, str] = field(default_factory=dict)
    commit: str | None = None
    """Of the last update; `commits` tells those of each part."""
    commits: dict[str, str | None] = field(default_factory=dict)
    seed: int = 0
    recipe: dict[str, Any] = field(default_factory=dict)
    results: dict[str, dict[str, float]] = field(default_factory=dict)
    """Split name to metric name to value."""
    cost: dict[str, float | str | None] = field(default_factory=dict)
    weights_sha256: str | None = None
    log: list[dict[str, Any]] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    """What it was measured on: see `cvzoo.data.dataset.identity`; and how many images each split has."""


def rows_folder() -> Path:
    """`zoo/rows` of the checkout that holds the working directory, else `runs/rows` under the working directory."""
    for parent in (Path.cwd(), *Path.cwd().parents):
        if (parent / "zoo" / "rows").is_dir():
            return parent / "zoo" / "rows"
    return Path("runs/rows")


def load_rows(folder: Path | None = None) -> list[RowFile]:
    """Every row file of a folder by file name. A file that cannot be read is a ValueError with its path."""
    return [read_row(path) for path in sorted((folder or rows_folder()).glob("*@*.json"))]


def files_of(recipe: Recipe, weights_sha256: str | None) -> list[Path]:
    """The row files of a recipe and of weights that it has trained, one of each machine that measured them."""
    *_, path = _place(recipe, "*", weights_sha256, None)
    return [file for file in sorted(path.parent.glob(path.name)) if _vouches(file, recipe, weights_sha256)]


def _vouches(file: Path, recipe: Recipe, sha256: str | None) -> bool:
    stored = read_row(file)
    return not disagreements(to_json(recipe), stored.recipe) and (sha256 is None or stored.weights_sha256 == sha256)


def update_row(
    recipe: Recipe,
    *,
    machine: str,
    hardware: str,
    results: dict[str, dict[str, float]] | None = None,
    cost: dict[str, float | str | None] | None = None,
    weights_sha256: str | None = None,
    log: list[dict[str, Any]] | None = None,
    data: dict[str, Any] | None = None,
    folder: Path | None = None,
) -> Path:
    """Merge new figures into the recipe's row file and return its path; what is None stays as it was.

    Results are merged by split and costs by name. The write is atomic; of two simultaneous updates the later wins.
    """
    recipe, differences, path = _place(recipe, machine, weights_sha256, folder)
    if data and log is None and _is_of_a_training_on_others(path, data):
        differences |= {"data": data["digests"]["val"][:8]}
        path = _path(folder or recipe.run.out / "rows", recipe.row, differences, machine)
    stored = _still_valid(path, recipe, machine, weights_sha256, data)
    parts = {"results": results, "cost": cost, "log": log}
    updated = dataclasses.replace(
        stored,
        hardware=hardware,
        changes=differences,
        versions=versions(),
        commit=commit(),
        commits=stored.commits | {name: commit() for name, part in parts.items() if part is not None},
        seed=recipe.run.seed,
        recipe=to_json(recipe),
        results=stored.results | (results or {}),
        cost=stored.cost | (cost or {}),
        weights_sha256=weights_sha256 or stored.weights_sha256,
        log=stored.log if log is None else _thinned(log),
        data=_joined(stored.data, data or {}),
    )
    write_json(path, dataclasses.asdict(updated))
    return path


def _place(
    recipe: Recipe, machine: str, sha256: str | None, folder: Path | None
) -> tuple[Recipe, dict[str, Any], Path]:
    """The recipe to record, how it differs from the row's own, and the path of its row file."""
    own = ROWS[recipe.row].recipe() if recipe.row in ROWS else recipe
    differences = changes(recipe, own)
    if recipe.weights not in (None, own.weights) and not _is_path(recipe):
        # Published weights bring the options of the model they were made for.
        differences = {name: value for name, value in differences.items() if not name.startswith("model.")}
    is_experiment = recipe.row not in ROWS or not all(name.startswith("run.") for name in differences)
    folder = folder or (recipe.run.out / "rows" if is_experiment else rows_folder())
    foreign = _foreign_weights(recipe, own, sha256, folder.glob(f"{_stem(recipe.row, differences)}@*.json"))
    if foreign:
        differences["weights"] = foreign
    else:  # where trained weights happened to lie is no part of what trained them
        recipe = dataclasses.replace(recipe, weights=own.weights)
    return recipe, differences, _path(folder, recipe.row, differences, machine)


def read_row(path: Path) -> RowFile:
    """A row file; ValueError with its path when it is none."""
    try:
        return RowFile(**json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is not a row file ({error}); delete it and measure again") from error


def _is_of_a_training_on_others(path: Path, data: dict[str, Any]) -> bool:
    """Whether there is a file that a training has written, which saw other data."""
    stored = read_row(path) if path.exists() else None
    return stored is not None and bool(stored.log) and _of_other_data(stored.data, data)


def _still_valid(path: Path, recipe: Recipe, machine: str, sha256: str | None, data: dict[str, Any] | None) -> RowFile:
    """What the file at `path` holds and the same recipe, weights and data still vouch for."""
    empty = RowFile(row=recipe.row, machine=machine)
    stored = read_row(path) if path.exists() else empty
    if disagreements(to_json(recipe), stored.recipe):
        return empty
    if data and _of_other_data(stored.data, data):
        return dataclasses.replace(stored, results={}, log=[], data={})
    if sha256 is not None and stored.weights_sha256 not in (None, sha256):
        return dataclasses.replace(stored, results={}, log=[])
    return stored


def _of_other_data(stored: dict[str, Any], data: dict[str, Any]) -> bool:
    """Whether figures were measured on data that are not these."""
    if not stored:
        return False
    shared = stored["digests"].keys() & data["digests"].keys()
    return stored["classes"] != data["classes"] or any(stored["digests"][s] != data["digests"][s] for s in shared)


def _joined(stored: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    """What is known of the splits of both."""
    by_split = ("digests", "images")
    return data | {name: stored.get(name, {}) | data.get(name, {}) for name in by_split} if data else stored


def _foreign_weights(recipe: Recipe, own: Recipe, sha256: str | None, measured: Iterable[Path]) -> str | None:
    """What to call weights that are neither the row's own start nor the outcome of one of the `measured` files."""
    if recipe.weights in (None, own.weights):
        return None
    if sha256 is not None and any(read_row(path).weights_sha256 == sha256 for path in measured):
        return None
    return (sha256 or Path(recipe.weights or "").stem)[:12] if _is_path(recipe) else recipe.weights


def _is_path(recipe: Recipe) -> bool:
    """Whether the weights are a file or folder: a published name is none, whatever else bears it."""
    published = [found.name for found in ROWS[recipe.row].published] if recipe.row in ROWS else []
    return recipe.weights not in published and ("/" in (recipe.weights or "") or Path(recipe.weights or "").exists())


def _path(folder: Path, row: str, differences: dict[str, Any], machine: str) -> Path:
    return folder / f"{_stem(row, differences)}@{machine}.json"


def _stem(row: str, differences: dict[str, Any]) -> str:
    """File name of the measurement without the machine: readable where it is short, else a digest."""
    if not differences:
        return row
    text = ",".join(f"{name.rsplit('.', 1)[-1]}={value}" for name, value in differences.items())
    if len(text) > 60 or not re.fullmatch(r"[\w.,=-]+", text):
        text = hashlib.sha256(json.dumps(differences, sort_keys=True).encode()).hexdigest()[:8]
    return f"{row}+{text}"


def _thinned(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most LOG_LINES lines, evenly spaced, the last one among them."""
    step = -(-len(log) // LOG_LINES) or 1
    return log[::-1][::step][::-1]
