"""cvzoo: a benchmark and model zoo for detection and segmentation in plain PyTorch.

    import cvzoo
    predictor = cvzoo.load("retinanet_r50_fpn_1x", weights="torchvision")
    prediction = predictor("street.jpg")        # boxes, scores, labels; names in predictor.classes

Importing the package imports no torch; `load` does.
"""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cvzoo.predict import Predictor, load
    from cvzoo.recipes import Recipe

__all__ = ["Predictor", "load", "recipe", "rows"]


def rows() -> list[str]:
    """Names of all rows of the zoo."""
    from cvzoo.zoo import ROWS

    return list(ROWS)


def recipe(row: str) -> Recipe[Any]:
    """The recipe of a row, or of an earlier run by the path of its recipe.json.

    ValueError with the nearest names when there is no such row, and when the file is no recipe.
    """
    from cvzoo.zoo import ROWS

    if row.endswith(".json"):
        return _saved_recipe(Path(row))
    if row not in ROWS:
        near = difflib.get_close_matches(row, ROWS, n=2) or [name for name in ROWS if row in name][:3]
        hint = f"did you mean {' or '.join(near)}?" if near else "`cvzoo list` shows them all"
        raise ValueError(f"there is no row named {row!r}; {hint}")
    return ROWS[row].recipe()


def _saved_recipe(path: Path) -> Recipe[Any]:
    from cvzoo.recipes.codec import from_json

    if not path.exists():
        raise ValueError(f"there is no {path}; a run folder has a recipe.json, and `cvzoo list` shows the rows")
    values = json.loads(path.read_text())
    if not isinstance(values, dict) or "row" not in values:
        raise ValueError(f"{path} is not a recipe; give the recipe.json of a run folder")
    try:
        return from_json(values, recipe(values["row"]))
    except ValueError as error:
        hint = "correct it, or, if another version of cvzoo wrote the file, remove the field"
        raise ValueError(f"{path}: {error}; {hint}") from error


def __getattr__(name: str) -> Any:
    if name in ("Predictor", "load"):
        from cvzoo import predict

        return getattr(predict, name)
    raise AttributeError(f"module 'cvzoo' has no attribute {name!r}")
