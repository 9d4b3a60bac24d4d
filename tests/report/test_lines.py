"""The lines of `cvzoo list`: every row, filtered and sorted."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from report.measured import BF16, INSTANCE, MEASURED, NAME, PIXELS

from cvzoo.report import lines
from cvzoo.report.lines import list_lines, zoo_lines
from cvzoo.results.row_files import RowFile
from cvzoo.zoo import ROWS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[RowFile]:
    """What the zoo has measured, here."""
    files: list[RowFile] = []
    monkeypatch.setattr(lines, "load_rows", lambda: files)
    return files


def test_all_rows_are_listed_in_the_order_of_the_table(measured: list[RowFile]) -> None:
    assert [line.cells["row"] for line in list_lines()] == list(ROWS)
    measured += [BF16, MEASURED]
    names = [line.cells["row"] for line in list_lines()]
    assert names[names.index(NAME) + 1] == f"{NAME} precision=bf16"
    assert [name for name in names if " " not in name] == list(ROWS)


def test_numbers_sort_from_high_to_low_with_the_unmeasured_last(measured: list[RowFile]) -> None:
    references = [line.cells["reference"] for line in list_lines(sort="reference")]
    numbers = [float(value.split(" / ")[0]) for value in references if value != "-"]
    assert len(numbers) > 20
    assert numbers == sorted(numbers, reverse=True)
    assert references[len(numbers) :] == ["-"] * (len(references) - len(numbers))


def test_what_does_not_exist_is_refused_with_what_does(measured: list[RowFile]) -> None:
    with pytest.raises(ValueError, match="columns are row"):
        list_lines(sort="colour")
    with pytest.raises(ValueError, match="tasks are detection"):
        list_lines(task="detektion")


def test_a_line_has_our_figures_beside_the_reference(measured: list[RowFile]) -> None:
    measured += [MEASURED, BF16]
    own, bf16 = (line.cells for line in list_lines(task="detection") if line.cells["row"].startswith(NAME))
    assert (own["system"], own["backbone"], own["reference"], own["result"]) == (
        *("RetinaNet", "R-50-FPN", "0.365", "0.374"),
    )
    assert (own["mem_GB"], own["train_s/it"], own["inf_s/im"], own["machine"]) == ("3.46", "0.200", "-", "h100")
    assert (bf16["reference"], bf16["result"], bf16["inf_s/im"]) == ("-", "-", "0.012")


def test_the_reference_is_that_of_weights_trained_by_the_rows_recipe(measured: list[RowFile]) -> None:
    own = next(published for published in ROWS[NAME].published if not published.note)
    assert own is not ROWS[NAME].published[0]
    (line,) = (line.cells for line in list_lines() if line.cells["row"] == NAME)
    assert line["reference"] == f"{own.results['box_AP']:.3f}"


def test_instance_rows_list_boxes_and_masks_and_sort_by_boxes(measured: list[RowFile]) -> None:
    measured += [INSTANCE]
    found = [line.cells for line in list_lines(task="instance", sort="result")]
    assert found[0]["row"] == INSTANCE.row
    assert found[0]["result"] == "0.374 / 0.341"
    assert {line["result"] for line in found[1:]} == {"-"}
    assert all(" / " in line["reference"] for line in found if line["reference"] != "-")
    assert INSTANCE.row not in [line.cells["row"] for line in list_lines(task="detection")]


def test_rows_of_semantic_segmentation_are_judged_by_miou(measured: list[RowFile]) -> None:
    measured += [PIXELS]
    first, *_ = (line.cells for line in list_lines(task="segmentation", sort="result"))
    assert (first["row"], first["result"]) == (PIXELS.row, "0.771")


def test_a_row_of_the_users_own_is_listed_but_not_in_the_tables(measured: list[RowFile]) -> None:
    mine = replace(MEASURED, row="my_detector")
    measured += [mine]
    *_, last = (line.cells for line in list_lines())
    assert (last["row"], last["system"], last["machine"]) == ("my_detector", "own", mine.machine)
    assert last["result"] != "-"
    assert mine.row not in [line.row.name for line in zoo_lines(measured)]


@pytest.mark.parametrize("module", ["lines", "table"])
def test_lines_and_pages_need_no_torch(module: str, tmp_path: Path) -> None:
    use = {"lines": "it.list_lines()", "table": f"it.write_tables(pathlib.Path({str(tmp_path)!r}))"}[module]
    code = f"import sys, pathlib, cvzoo.report.{module} as it; {use}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
