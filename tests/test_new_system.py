"""A new system is a folder and one line: docs/models.md has one, which does all that rows do in a copy of cvzoo."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cvzoo.tasks.task import Task

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "models.md").read_text()
ROW = "toy_r18_fpn_shapes"
SHORT = (
    *("--schedule.iterations", "3"),
    *("--data.shapes.val-images", "4"),
    *("--data.shapes.train-images", "16"),
    *("--data.workers", "0"),
)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of cvzoo in which the guide's system has been added."""
    folder = tmp_path_factory.mktemp("house")
    shutil.copytree(ROOT / "cvzoo", folder / "cvzoo", ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("zoo", "parity"):
        shutil.copytree(ROOT / "tests" / part, folder / "tests" / part)
    for path, code in re.findall(r"`(\w+/zoo/(?:toy/)?\w+\.py)`[^\n]*\n\n```python\n(.*?)```", GUIDE, re.DOTALL):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(code)
    listed = folder / "cvzoo" / "zoo" / "__init__.py"
    text = listed.read_text().replace("    treefilter,\n", "    toy,\n    treefilter,\n", 1)
    listed.write_text(text.replace("    treefilter.SYSTEM,\n", "    treefilter.SYSTEM,\n    toy.SYSTEM,\n", 1))
    (folder / "zoo" / "rows").mkdir(parents=True)
    return folder


def run(house: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "PYTHONPATH": f"{house / 'tests'}{os.pathsep}{house}",
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "200",
    }
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=house, env=environment, capture_output=True, text=True, check=False)


def cvzoo(house: Path, *arguments: str) -> str:
    done = run(house, "-m", "cvzoo", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


LOADED_ALIKE = f"""
from zoo.systems import built
assert sum(parameter.numel() for parameter in built("{ROW}").parameters()) < 300_000
from dataclasses import replace
from cvzoo.loading import build_with_weights
from cvzoo.zoo import ROWS
recipe = ROWS["{ROW}"].recipe()
files = ("runs/{ROW}/model.safetensors", "toybox.pth")
own, toybox = (build_with_weights(replace(recipe, weights=file))[0] for file in files)
assert all(value.equal(toybox.state_dict()[key]) for key, value in own.state_dict().items())
"""


def test_a_new_system_needs_its_folder_and_one_line(house: Path) -> None:
    assert re.search(rf"{ROW} +Toy .*0\.123", cvzoo(house, "list", "--task", "detection"))
    assert '"num_classes": 3' in cvzoo(house, "show", ROW)
    cvzoo(house, "train", ROW, *SHORT)
    own = load_file(house / "runs" / ROW / "model.safetensors")
    torch.save({f"net.{re.sub('^neck', 'pyramid', key)}": value for key, value in own.items()}, house / "toybox.pth")
    loaded = run(house, "-c", LOADED_ALIKE)
    assert loaded.returncode == 0, loaded.stderr
    assert "box AP 0." in cvzoo(house, "eval", ROW, *SHORT, "--weights", "toybox.pth")
    cvzoo(house, "table")
    page = (house / "docs" / "SMALL_ROWS.md").read_text()
    assert page.count(f'<a id="{ROW}"></a>') == page.count('<a id="toy_r34_fpn_shapes"></a>') == 1


def test_weights_of_a_new_system_are_refused_by_other_rows_in_its_words(house: Path) -> None:
    torch.save({"net.pyramid.lateral.0.weight": torch.zeros(1)}, house / "part.pth")
    done = run(house, "-m", "cvzoo", "eval", "retinanet_r18_fpn_shapes", "--weights", "part.pth")
    assert done.returncode == 2
    assert f"holds weights of Toy, the row is another system; choose a row of that system ({ROW}" in done.stderr


def test_the_guide_names_the_functions_of_a_task() -> None:
    table = GUIDE[GUIDE.index("## Adding a task") :]
    named = {name for line in table.splitlines() if line.startswith("| `") for name in re.findall(r"`(\w+)`", line)}
    assert named == {name for name in vars(Task) if not name.startswith("_")}


def test_every_path_of_the_guide_exists() -> None:
    written = re.sub(r"```.*?```", "", GUIDE, flags=re.DOTALL)
    places = [path for path in re.findall(r"`((?:cvzoo|tests|docs)/[\w/.]+)`", written) if "toy" not in path]
    missing = [path for path in places if not (ROOT / path).exists()]
    assert not missing
