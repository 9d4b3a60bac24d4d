"""docs/finetuning.md: its commands as they stand there, on data that share two classes of three with the weights."""

from __future__ import annotations

import json
from pathlib import Path

from guides import BLOCK, ROOT, execute
from test_readme import write_split

GUIDE = (ROOT / "docs/finetuning.md").read_text()


def test_the_guide(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write_split(tmp_path / "my_data", split, 3)
        file = tmp_path / "my_data" / f"{split}.json"
        file.write_text(file.read_text().replace("ellipse", "star"))
    ((_, language, text),) = BLOCK.findall(GUIDE)
    log = execute(language, f"exec 2>&1\n{text}", tmp_path)
    said = next(line for line in log.splitlines() if "is of other classes" in line)
    assert said.partition(" is of")[2] in GUIDE
    recipe = json.loads((tmp_path / "runs/mine/recipe.json").read_text())
    assert (recipe["recipe"], recipe["optim"]["freeze"], recipe["schedule"]["policy"]) == (None, ["backbone"], "cosine")
