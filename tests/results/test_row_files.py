"""Row files: who may overwrite what, and whether those of the zoo still speak about its rows."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from recipes.variants import with_part

from cvzoo.recipes import Recipe
from cvzoo.recipes.codec import disagreements, to_json
from cvzoo.results import row_files
from cvzoo.results.row_files import load_rows, rows_folder, update_row
from cvzoo.zoo import ROWS

ROOT = Path(__file__).parents[2]
MEASURED = sorted((ROOT / "zoo" / "rows").glob("*.json"))
HERE = {"machine": "m", "hardware": "a CPU"}
NAME = "retinanet_r18_fpn_shapes"
OURS, THEIRS = "ab" * 32, "cd" * 32


@pytest.fixture
def recipe() -> Recipe[Any]:
    return ROWS[NAME].recipe()


def train(recipe: Recipe[Any], folder: Path | None, sha256: str = OURS) -> Path:
    log = [{"iteration": i, "loss": 1.0} for i in range(1, 1001)]
    results = {"val": {"box_AP": 0.4}, "train": {"box_AP": 0.5}}
    return update_row(recipe, **HERE, results=results, weights_sha256=sha256, log=log, folder=folder)


def test_train_bench_and_eval_each_write_their_part(recipe: Recipe[Any], tmp_path: Path) -> None:
    path = train(recipe, tmp_path)
    assert path.name == f"{NAME}@m.json"
    update_row(recipe, **HERE, cost={"mem_gb": 1.5, "gflops": None}, folder=tmp_path)
    update_row(recipe, **HERE, cost={"inf_s_per_im": 0.1}, folder=tmp_path)
    evaluated = dataclasses.replace(recipe, weights="/elsewhere/model.safetensors")
    update_row(
        evaluated,
        machine="m",
        hardware="a CPU",
        results={"val": {"box_AP": 0.41}},
        weights_sha256=OURS,
        folder=tmp_path,
    )
    (file,) = load_rows(tmp_path)
    assert file.results == {"val": {"box_AP": 0.41}, "train": {"box_AP": 0.5}}
    assert file.cost == {"mem_gb": 1.5, "gflops": None, "inf_s_per_im": 0.1}
    assert (file.row, file.machine, file.changes, file.seed) == (NAME, "m", {}, 0)
    assert file.recipe == to_json(recipe)
    assert 100 <= len(file.log) <= 200
    assert file.log[-1]["iteration"] == 1000
    assert file.versions["torch"]
    assert set(file.commits) == {"results", "log", "cost"}


def test_a_changed_recipe_has_a_file_of_its_own(recipe: Recipe[Any], tmp_path: Path) -> None:
    own = train(recipe, tmp_path).read_text()
    limited = with_part(recipe, "data", limit=8)
    assert train(limited, tmp_path).name == f"{NAME}+limit=8@m.json"
    assert (tmp_path / f"{NAME}@m.json").read_text() == own
    assert load_rows(tmp_path)[0].changes == {"data.limit": 8}
    many = with_part(limited, "schedule", iterations=7, batch=2, policy="step", milestones=(1, 2, 3))
    assert train(many, tmp_path).name != train(with_part(many, "run", seed=1), tmp_path).name


def test_where_a_run_happens_is_no_change(recipe: Recipe[Any], tmp_path: Path) -> None:
    moved = with_part(with_part(recipe, "run", out=Path("/x"), log_every=1), "data", root=Path("/y"), workers=9)
    assert train(moved, tmp_path).name == f"{NAME}@m.json"


def test_only_the_row_itself_enters_the_zoo(
    recipe: Recipe[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zoo = tmp_path / "zoo" / "rows"
    zoo.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert train(recipe, None).parent == zoo
    assert train(with_part(recipe, "run", precision="bf16"), None).parent == zoo
    assert train(dataclasses.replace(recipe, weights="torchvision"), None, THEIRS).parent == zoo
    experiment = with_part(with_part(recipe, "optim", lr=0.5), "run", out=tmp_path / "elsewhere")
    assert train(experiment, None) == tmp_path / "elsewhere" / "rows" / f"{NAME}+lr=0.5@m.json"
    assert (
        train(dataclasses.replace(experiment, weights="runs/x/model.safetensors"), None).name == f"{NAME}+lr=0.5@m.json"
    )
    assert len(load_rows()) == 3


def test_model_options_that_come_with_published_weights_are_no_change_of_their_own(
    recipe: Recipe[Any], tmp_path: Path
) -> None:
    theirs = dataclasses.replace(with_part(recipe, "model", prior=0.5), weights="torchvision")
    path = train(theirs, tmp_path, THEIRS)
    assert path.name == f"{NAME}+weights=torchvision@m.json"
    assert json.loads(path.read_text())["recipe"]["model"]["prior"] == 0.5


@pytest.mark.parametrize(("weights", "label"), [("torchvision", "torchvision"), ("/x/y.pth", THEIRS[:12])])
def test_weights_of_others_have_a_file_of_their_own(
    recipe: Recipe[Any], tmp_path: Path, weights: str, label: str
) -> None:
    train(recipe, tmp_path)
    other = dataclasses.replace(recipe, weights=weights)
    path = update_row(other, **HERE, results={"val": {"box_AP": 0.9}}, weights_sha256=THEIRS, folder=tmp_path)
    assert path.name == f"{NAME}+weights={label}@m.json"
    assert {file.results["val"]["box_AP"] for file in load_rows(tmp_path)} == {0.4, 0.9}


def test_figures_of_an_edited_recipe_and_of_older_weights_go(recipe: Recipe[Any], tmp_path: Path) -> None:
    path = train(recipe, tmp_path)
    update_row(recipe, **HERE, cost={"mem_gb": 1.0}, folder=tmp_path)
    update_row(recipe, **HERE, results={"val": {"box_AP": 0.6}}, weights_sha256=THEIRS, folder=tmp_path)
    (file,) = load_rows(tmp_path)
    assert (file.results, file.log, file.cost) == ({"val": {"box_AP": 0.6}}, [], {"mem_gb": 1.0})

    values = json.loads(path.read_text())
    values["recipe"]["optim"]["lr"] = 123.0  # as if the row's recipe had another learning rate then
    path.write_text(json.dumps(values))
    update_row(recipe, **HERE, cost={"inf_s_per_im": 2.0}, folder=tmp_path)
    (file,) = load_rows(tmp_path)
    assert (file.results, file.cost, file.weights_sha256) == ({}, {"inf_s_per_im": 2.0}, None)


def test_a_broken_row_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "x@m.json").write_text("{")
    with pytest.raises(ValueError, match=r"x@m\.json is not a row file"):
        load_rows(tmp_path)


def test_the_folder_is_the_checkouts_wherever_one_stands_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert rows_folder() == Path("runs/rows")
    (tmp_path / "zoo" / "rows").mkdir(parents=True)
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    assert rows_folder() == tmp_path / "zoo" / "rows"


def test_reading_row_files_needs_no_torch() -> None:
    imports = "import sys; from cvzoo.results import machine, parity, row_files"
    use = "row_files.load_rows(), parity.load_parity(), machine.versions(), machine.machine_slug()"
    code = f"{imports}; {use}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_a_field_added_later_leaves_older_results_valid(tmp_path: Path) -> None:
    recipe = ROWS["retinanet_r18_fpn_shapes"].recipe()
    path = update_row(recipe, **HERE | {"machine": "epyc-2c"}, cost={"mem_gb": 1.0}, folder=tmp_path)
    saved = json.loads(path.read_text())
    del saved["recipe"]["model"]["tower_norm"]
    path.write_text(json.dumps(saved))
    update_row(recipe, **HERE | {"machine": "epyc-2c"}, results={"val": {"box_AP": 0.5}}, folder=tmp_path)
    merged = json.loads(path.read_text())
    assert merged["cost"] == {"mem_gb": 1.0}
    assert merged["recipe"]["model"]["tower_norm"] is None


def test_the_zoo_has_row_files() -> None:
    assert len(MEASURED) >= 47


@pytest.mark.parametrize("path", MEASURED, ids=[path.stem for path in MEASURED])
def test_row_files_speak_about_the_rows_as_they_are(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row file of an older version agrees with its row, so that a new figure joins those it holds."""
    stored = json.loads(path.read_text())
    own = ROWS[stored["row"]].recipe()
    different = disagreements(to_json(own), stored["recipe"])
    brought = {name for name in different if name.startswith("model.")} if "weights" in stored["changes"] else set()
    assert different.keys() - brought == stored["changes"].keys() - {"weights"}, f"{path.name} measured another recipe"
    if stored["changes"]:
        return
    monkeypatch.setattr(row_files, "commit", lambda: None)  # asking git takes long
    (tmp_path / path.name).write_text(path.read_text())
    measured_again = update_row(own, **HERE | {"machine": stored["machine"]}, cost={"seconds": 1.0}, folder=tmp_path)
    assert measured_again.name == path.name
    kept = json.loads(measured_again.read_text())
    assert kept["cost"] == stored["cost"] | {"seconds": 1.0}
    assert [kept[part] for part in ("results", "log", "weights_sha256")] == [
        stored[part] for part in ("results", "log", "weights_sha256")
    ]


def test_an_evaluation_on_other_data_leaves_the_file_of_a_training(recipe: Recipe[Any], tmp_path: Path) -> None:
    own = {"classes": ["cat"], "digests": {"val": "1" * 16}, "images": {"val": 4}}
    other = own | {"digests": {"val": "2" * 16}}
    figures = {"val": {"box_AP": 0.4}}
    path = train(recipe, tmp_path)
    update_row(recipe, **HERE, results=figures, weights_sha256=OURS, log=[{"iteration": 1}], data=own, folder=tmp_path)
    before = path.read_bytes()
    there = update_row(recipe, **HERE, results=figures, weights_sha256=OURS, data=other, folder=tmp_path)
    assert path.read_bytes() == before
    assert there.name == f"{NAME}+data=22222222@m.json"
    assert update_row(recipe, **HERE, results=figures, weights_sha256=OURS, data=own, folder=tmp_path) == path
    assert json.loads(path.read_text())["log"]
    longer = [{"iteration": 1}, {"iteration": 2}]  # a training on other data takes the place of its predecessor
    assert update_row(recipe, **HERE, results=figures, log=longer, data=other, folder=tmp_path) == path
    assert json.loads(path.read_text())["data"]["digests"] == other["digests"]
