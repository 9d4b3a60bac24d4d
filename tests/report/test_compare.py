"""Runs side by side: finished, in progress, of other recipes, of other kinds of answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from recipes.variants import with_part
from report.runs import make_images, make_label_maps, make_result

from cvzoo.commands.training import compare
from cvzoo.recipes.codec import to_json
from cvzoo.zoo import ROWS

pytestmark = pytest.mark.usefixtures("inside")


def a_run(name: str, **changed: Any) -> Path:
    """The folder of a run of 2000 iterations, with fields of `schedule` changed."""
    folder = Path(name)
    folder.mkdir()
    make_result(folder, make_images())
    recipe = with_part(ROWS["retinanet_r18_fpn_shapes"].recipe(), "schedule", **{"iterations": 2000} | changed)
    (folder / "recipe.json").write_text(json.dumps(to_json(recipe)))
    return folder


def compared(*runs: Path, capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, list[str]], str]:
    """What was printed, by the first word of each line; and on stderr."""
    compare(runs)
    said = capsys.readouterr()
    cells = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in said.out.splitlines()]
    return {name: values for name, *values in cells}, said.err


def test_figures_costs_and_what_differs(capsys: pytest.CaptureFixture[str]) -> None:
    one, other = a_run("one"), a_run("other", batch=8, milestones=(500, 700))
    table, said = compared(one, other, capsys=capsys)
    figure = json.loads((one / "metrics.json").read_text())["val"]["stats"]["box_AP"]
    assert table["one"] == ["other"]
    assert table["2000 iterations"] == ["2000 iterations"]
    assert table["box AP"] == [f"{figure:.3f}"] * 2
    assert table["img/s"] == ["64.0", "32.0"]
    assert table["waiting for data"] == ["4%", "4%"]
    assert table["schedule.batch"] == ["16", "8"]
    assert table["schedule.milestones"] == ["60000 80000", "500 700"]
    assert "schedule.gamma" not in table
    assert not said
    with Image.open("compare.png") as image:
        assert image.width > image.height


def test_json_has_the_same_as_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    one, other = a_run("one"), a_run("other", batch=8, milestones=(500, 700))
    compare((one, other), json=True)
    first, second = json.loads(capsys.readouterr().out)
    assert (first["run"], second["state"], second["finished"]) == ("one", "2000 iterations", True)
    assert first["figures"] == json.loads((one / "metrics.json").read_text())["val"]["stats"]
    assert first["cost"]["images_per_s"] == pytest.approx(64)
    assert second["recipe"] == {"schedule.batch": 8, "schedule.milestones": [500, 700]}


def test_a_run_in_progress_stands_at_its_last_evaluation(capsys: pytest.CaptureFixture[str]) -> None:
    one, other = a_run("one"), a_run("other", iterations=4000)
    with (other / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"iteration": 1500, "val/box_AP": 0.125}) + "\n" + '{"cut off')
    table, _ = compared(one, other, capsys=capsys)
    assert table["2000 iterations"] == ["at 2000 of 4000"]
    assert table["box AP"][1] == "0.125"
    (other / "metrics.json").unlink()
    (other / "metrics.jsonl").unlink()
    table, said = compared(one, other, capsys=capsys)
    assert table["2000 iterations"] == ["not begun"]
    assert table["box AP"][1] == "-"
    assert "no figure in common" in said


def test_an_early_end_is_an_end(capsys: pytest.CaptureFixture[str]) -> None:
    one, other = a_run("one"), a_run("other", iterations=4000)
    with (other / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"iteration": 2000, "val/box_AP": 0.125}) + "\n")
    table, _ = compared(one, other, capsys=capsys)
    assert table["2000 iterations"] == ["2000 iterations"]


def test_other_kinds_of_answer_share_no_figure(capsys: pytest.CaptureFixture[str]) -> None:
    one, other = a_run("one"), Path("other")
    other.mkdir()
    make_result(other, make_label_maps())
    (other / "recipe.json").write_text(json.dumps(to_json(ROWS["fcn_r18_shapes"].recipe())))
    table, said = compared(one, other, capsys=capsys)
    assert table["mIoU"][0] == "-"
    assert table["box AP"][1] == "-"
    assert "no figure in common" in said


def test_what_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nothing is no run folder: it has no recipe\.json"):
        compare((a_run("one"), Path("nothing")))
    with pytest.raises(ValueError, match="compare what"):
        compare((Path("one"),))
