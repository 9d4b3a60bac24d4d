"""Every recipe, fully resolved, as it was last reviewed: a change of a shared default shows in the rows it reaches."""

from __future__ import annotations

import json

import pytest
from recipes.renew import COMMAND, FOLDER

from cvzoo.recipes.codec import to_json
from cvzoo.zoo import ROWS


@pytest.mark.parametrize("row", ROWS)
def test_resolved_recipe_is_the_reviewed_one(row: str) -> None:
    path = FOLDER / f"{row}.json"
    assert path.exists(), f"a new row: `{COMMAND}` writes its file"
    resolved = to_json(ROWS[row].recipe())
    assert resolved == json.loads(path.read_text()), f"if the change is meant, `{COMMAND}`, then review the difference"


def test_no_recipe_has_left_its_file_behind() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} <= set(ROWS), f"`{COMMAND}` deletes what is left over"
