"""The pages of the zoo: generated, up to date, and honest about what was not measured."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from committed import committed_rows
from report.measured import BF16, INSTANCE, MEASURED, NAME, PIXELS, SMALL, WITH_WEIGHTS

from cvzoo.report import table
from cvzoo.report.table import small_page, write_tables, zoo_page
from cvzoo.results.parity import Evidence
from cvzoo.zoo import ROWS

ROOT = Path(__file__).parents[2]
FULL_ROWS = [name for name, row in ROWS.items() if not row.is_small]
SMALL_ROWS = [name for name, row in ROWS.items() if row.is_small]
OURS = ("Params (M)", "GFLOPs", "Mem (GB)", "Train (s/it)", "Inf (s/im)", "Im/s", "Peak", "Machine")


def tables(page: str) -> list[list[dict[str, str]]]:
    """The lines of every table by column."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", page, re.M):
        header, _, *lines = ([cell.strip() for cell in line.strip("|").split(" | ")] for line in block.splitlines())
        found.append([dict(zip(header, line, strict=True)) for line in lines])
    return found


def ours(page: str, row: str) -> list[dict[str, str]]:
    """A row's lines of what we have measured."""
    return [line for table in tables(page) for line in table if "Backbone" in line and f"`{row}" in line["Row"]]


def theirs(page: str, row: str) -> list[dict[str, str]]:
    """A row's lines of what others have published."""
    return [line for table in tables(page) for line in table if "Reference" in line and f"`{row}`" in line["Row"]]


def section(page: str, title: str) -> str:
    """What stands under a system's heading."""
    return re.split(r"^##+ ", page.partition(f"\n### {title}\n")[2], flags=re.M)[0]


def test_the_committed_pages_are_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(table, "load_rows", committed_rows)
    for fresh in write_tables(tmp_path):
        assert (ROOT / "docs" / fresh.name).read_text() == fresh.read_text(), "run `cvzoo table`"


@pytest.mark.parametrize(
    ("page", "rows"), [(zoo_page([MEASURED, BF16], {}), FULL_ROWS), (small_page([SMALL]), SMALL_ROWS)]
)
def test_every_row_has_one_anchor_on_its_page(page: str, rows: list[str]) -> None:
    assert sorted(re.findall(r'<a id="(.*?)">', page)) == sorted(rows)
    assert all(len(ours(page, f"{row}`")) == 1 for row in rows)
    assert not re.search(r"#L\d", page), "numbers of lines are wrong after the next edit"


def test_measured_cells() -> None:
    own, bf16 = ours(zoo_page([MEASURED, BF16], {}), NAME)
    assert (own["Backbone"], own["Data"], own["Schedule"]) == ("R-50-FPN", "COCO", "1x")
    assert [own[name] for name in OURS] == [*("38.0", "239", "3.46", "0.200 (16)", "-", "81.23 (8)", "0.32", "h100")]
    assert own["box AP"] == "0.374"
    assert bf16["Row"] == f"`{NAME} precision=bf16`"
    assert (bf16["box AP"], bf16["Inf (s/im)"], bf16["Train (s/it)"]) == ("-", "0.012", "-")


def test_cells_of_small_rows() -> None:
    (own,) = ours(small_page([SMALL]), SMALL.row)
    assert [own[name] for name in ("Params (M)", "Mem (GB)", "Train (s/it)", "Images", "Processes")] == [
        *("3.2", "0.97", "0.246", "16", "2"),
    ]
    assert (own["box AP"], own["Machine"]) == ("0.374", "epyc-2c")


@pytest.mark.parametrize(("page", "rows"), [(zoo_page([], {}), FULL_ROWS), (small_page([]), SMALL_ROWS)])
def test_what_was_not_measured_is_a_dash_whatever_others_published(page: str, rows: list[str]) -> None:
    described = ("Row", "Backbone", "Data", "Schedule")
    for row in rows:
        (own,) = ours(page, f"{row}`")
        assert {cell for name, cell in own.items() if name not in described} == {"-"}
        assert all(own[name] not in ("", "-") for name in described)


def test_references_stay_what_they_are_whatever_was_measured() -> None:
    files = [MEASURED, BF16, INSTANCE, PIXELS]
    before, after = zoo_page([], {}), zoo_page(files, {})
    for row in FULL_ROWS:
        assert theirs(before, row) == theirs(after, row)
    published = {line["Reference"].partition("]")[0]: line["box AP"] for line in theirs(after, NAME)}
    assert published["[torchvision"] == "0.364"


def test_what_published_weights_give_here_stands_beside_them() -> None:
    page = zoo_page([MEASURED, WITH_WEIGHTS], {})
    here = {line["Reference"].partition("]")[0]: line["box AP here"] for line in theirs(page, NAME)}
    assert here["[torchvision"] == "0.363 (-0.001)"
    assert {cell for name, cell in here.items() if name != "[torchvision"} == {"-"}
    few = replace(WITH_WEIGHTS, data={"images": {"val": 114}})
    assert "box AP here" not in zoo_page([MEASURED, few], {})


def test_references_that_rows_share_stand_once() -> None:
    lines = [
        line for line in theirs(zoo_page([], {}), "faster_rcnn_r50_fpn_1x") if "[torchvision]" in line["Reference"]
    ]
    assert [line["Row"] for line in lines] == ["`faster_rcnn_r50_fpn_1x`<br>`faster_rcnn_r50_fpn_ms_1x`"]
    assert lines[0]["Weights"].startswith("[torchvision](https://")


def test_every_published_file_and_reference_is_on_the_page() -> None:
    page = zoo_page([], {})
    for name in FULL_ROWS:
        row = ROWS[name]
        assert len(theirs(page, name)) == len({repr(found) for found in (*row.published, *row.references)})
        assert all(f"]({published.file.url})" in page for published in row.published)


def test_sections_have_the_columns_of_their_task() -> None:
    page = zoo_page([INSTANCE, PIXELS], {})
    assert re.findall(r"^## (.*)$", page, re.M) == [
        *("Environment", "Detection", "Instance segmentation", "Semantic segmentation", "Pose estimation"),
        "Weights and their mirror sites",
    ]
    (instance,), (pixels,) = ours(page, INSTANCE.row), ours(page, PIXELS.row)
    assert (instance["box AP"], instance["mask AP"], instance["Machine"]) == ("0.374", "0.341", "a100")
    assert pixels["mIoU"] == "0.771"
    assert "box AP" not in pixels
    assert "gps AP" in page.partition("## Pose estimation")[2]


def test_each_machine_is_described_once() -> None:
    page = zoo_page([MEASURED, BF16], {})
    assert page.count("| `h100` | AMD EPYC, 16 cores | torch 9.9 |") == 1


def test_parity_is_printed_as_it_was_proven() -> None:
    three = Evidence(cases=("a/1", "a/2", "b"), deviation=2.0e-5, share=0.1, date="2030-01-01")
    one = Evidence(cases=("c",), deviation=0.0, share=0.0, date="2030-01-01")
    page = zoo_page([], {"retinanet": {"detectron2": three, "torchvision": one}})
    assert "\nEqual to: detectron2 (3 cases, 2e-05), torchvision (1 case, 0e+00)\n" in section(page, "RetinaNet")
    assert page.count("\nEqual to: ") == 1
    assert "\nEqual to: " not in zoo_page([], {})
