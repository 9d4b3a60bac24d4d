"""cvzoo: a benchmark and model zoo for detection and segmentation in plain PyTorch.

    import cvzoo
    predictor = cvzoo.load("retinanet_r50_fpn_1x", weights="torchvision")
    prediction = predictor("street.jpg")        # boxes, scores, labels; names in predictor.classes

Importing the package imports no torch; what needs it does. docs/python.md shows all of it.
"""

from __future__ import annotations

import difflib
import json
import logging
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cvzoo.api import Run, evaluate, load, train
    from cvzoo.predictor import Predictor
    from cvzoo.recipes import Recipe
    from cvzoo.tasks.detections import Detections
    from cvzoo.tasks.labelled_pixels import LabelledPixels

log = logging.getLogger(__name__)

__all__ = ["Detections", "LabelledPixels", "Predictor", "Run", "evaluate", "load", "recipe", "rows", "train"]
WITH_TORCH = {
    "load": "cvzoo.api",
    "Predictor": "cvzoo.predictor",
    "Detections": "cvzoo.tasks.detections",
    "LabelledPixels": "cvzoo.tasks.labelled_pixels",
    "Run": "cvzoo.api",
    "train": "cvzoo.api",
    "evaluate": "cvzoo.api",
}
"""Where names live whose modules import torch; they are imported when they are asked for."""


def rows() -> list[str]:
    """Names of all rows of the zoo."""
    from cvzoo.zoo import ROWS

    return list(ROWS)


def recipe(row: str, changes: Mapping[str, Any] | None = None) -> Recipe[Any]:
    """The recipe of a row, of an earlier run by its folder or the path of its recipe.json, or of a model on the hub.

    Args:
        row: a name from `cvzoo.rows()`, a folder or a file, or `hf:OWNER/NAME`.
        changes: other values of fields, by the names that the command line has: {"schedule.batch": 8}. Of a folder
            that "data.root" names it is found out, as there, what lies in it, and logged.

    ValueError with the nearest names when there is no such row or field, and when the file is no recipe.
    """
    from cvzoo.recipes.codec import with_changes
    from cvzoo.recipes.folder import in_the_folder

    own, named = _recipe(row), {name.replace("-", "_"): value for name, value in (changes or {}).items()}
    found, said = in_the_folder(with_changes(own, named), own, named)
    if said:
        log.info(said)
    return found


def _recipe(row: str) -> Recipe[Any]:
    from cvzoo.zoo import ROWS

    if path := recipe_file(row):
        return _saved_recipe(path)
    if row not in ROWS:
        near = difflib.get_close_matches(row, ROWS, n=2) or [name for name in ROWS if row in name][:3]
        hint = f"did you mean {' or '.join(near)}?" if near else "`cvzoo list` shows them all"
        raise ValueError(f"there is no row named {row!r}; {hint}")
    return ROWS[row].recipe()


def trained_recipe(row: str) -> Recipe[Any]:
    """`recipe`, and of a run with the weights beside it: what is evaluated, or looked at, when nothing else is said."""
    found, path = _recipe(row), recipe_file(row)
    weights = path and path.with_name("model.safetensors")
    return replace(found, weights=str(weights)) if weights and weights.exists() else found


def recipe_file(row: str) -> Path | None:
    """The file that is meant where a row is asked for; None for the name of a row."""
    from cvzoo.weights.hub import is_hub, snapshot
    from cvzoo.zoo import ROWS

    if is_hub(row):
        return snapshot(row) / "recipe.json"
    if row.endswith(".json"):
        return Path(row)
    return Path(row, "recipe.json") if row not in ROWS and Path(row, "recipe.json").exists() else None


def _saved_recipe(path: Path) -> Recipe[Any]:
    """The recipe in a file; that of a run stays in the folder where it lies now."""
    from cvzoo.recipes.codec import from_json
    from cvzoo.zoo import ROWS

    if not path.exists():
        raise ValueError(f"there is no {path}; a run folder has a recipe.json, and `cvzoo list` shows the rows")
    try:
        values = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON ({error}); give the recipe.json of a run folder") from error
    if not isinstance(values, dict) or not isinstance(values.get("row"), str):
        raise ValueError(f"{path} is not a recipe; give the recipe.json of a run folder")
    default = _recipe(values["row"]) if values["row"] in ROWS else _of_the_same_fields(values, path)
    try:
        found = from_json(values, default)
    except ValueError as error:
        hint = "correct it, or, if another version of cvzoo wrote the file, remove the field"
        raise ValueError(f"{path}: {error}; {hint}") from error
    if not path.with_name("env.json").exists():
        return found
    folder = path.parent if path.parent.name else path.parent.resolve()
    name = "" if folder.name == found.row else folder.name
    return replace(found, run=replace(found.run, out=folder.parent, name=name))


def _of_the_same_fields(values: dict[str, Any], path: Path) -> Recipe[Any]:
    """For a row of the user's own: a recipe of the zoo that has the same fields, which those of another model lack.

    It may have some more: those that this version of cvzoo has and the one that wrote the file had not.
    """
    from cvzoo.recipes.codec import decisive, to_json
    from cvzoo.zoo import ROWS

    names = decisive(values).keys()
    recipes = [row.recipe() for row in ROWS.values()]
    newer = [(len(known - names), recipe) for recipe in recipes if names <= (known := decisive(to_json(recipe)).keys())]
    if newer:
        return min(newer, key=lambda entry: entry[0])[1]
    near = difflib.get_close_matches(values["row"], ROWS, n=2)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise ValueError(f"{path} is of a row {values['row']!r} that is not of the zoo, and of no model that is{hint}")


def __getattr__(name: str) -> Any:
    if name in WITH_TORCH:
        import_module("cvzoo.api")  # all of them, in turn: threads that import parts of it meet modules half imported
        return getattr(import_module(WITH_TORCH[name]), name)
    raise AttributeError(f"module 'cvzoo' has no attribute {name!r}")
