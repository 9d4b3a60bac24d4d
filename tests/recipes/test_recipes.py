"""Every recipe, fully resolved, as it was last reviewed: a change of a shared default shows in the rows it reaches.

After a change that is meant, renew the files: CVZOO_RENEW=1 pytest tests/recipes/test_recipes.py
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from cvzoo.recipes import ROWS
from cvzoo.results.row_files import from_json, to_json, write_json

FOLDER = Path(__file__).parent / "resolved"


@pytest.mark.parametrize("row", ROWS)
def test_resolved_recipe_is_the_reviewed_one(row: str) -> None:
    resolved, path = to_json(ROWS[row].recipe()), FOLDER / f"{row}.json"
    if os.environ.get("CVZOO_RENEW"):
        write_json(path, resolved)
    assert resolved == json.loads(path.read_text())


def test_no_recipe_has_left_its_file_behind() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(ROWS)


@pytest.mark.parametrize("row", ROWS)
def test_recipes_survive_json(row: str) -> None:
    recipe = ROWS[row].recipe()
    assert from_json(json.loads(json.dumps(to_json(recipe))), recipe) == recipe
