"""The zoo's table: generated, up to date, and honest about what was not measured."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cvzoo.recipes.rows import Reference

from cvzoo.recipes import ROWS
from cvzoo.recipes.codec import changes, from_json
from cvzoo.report import lines
from cvzoo.report.lines import list_lines, zoo_lines
from cvzoo.report.table import write_table, zoo_markdown
from cvzoo.results.row_files import RowFile, load_rows

ROOT = Path(__file__).parents[2]
NAME = "retinanet_r50_fpn_1x"
MEASURED = RowFile(
    row=NAME,
    machine="h100",
    hardware="AMD EPYC, 16 cores",
    versions={"torch": "9.9"},
    results={"val": {"box_AP": 0.3741, "box_APl": -1.0}},
    cost={"mem_gb": 3.456, "train_s_per_iter": 0.2, "train_batch": 16, "precision": "fp32"},
)
BF16 = dataclasses.replace(MEASURED, changes={"run.precision": "bf16"}, results={}, cost={"inf_s_per_im": 0.0123})


def cells(page, row):
    """The cells of a row's lines by column."""
    section = next(part for part in page.split("### ") if f'<a id="{row}">' in part)
    header = re.search(r"^\| Row .*$", section, re.M)[0].strip("| ").split(" | ")
    lines = re.findall(rf"^\| .*`{row}[ `].*$", section, re.M)
    return [dict(zip(header, line.removeprefix("| ").removesuffix(" |").split(" | "))) for line in lines]


def test_the_committed_page_is_up_to_date(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    fresh = write_table(tmp_path / "MODEL_ZOO.md").read_text()
    assert (ROOT / "docs" / "MODEL_ZOO.md").read_text() == fresh, "run `cvzoo table`"


def test_row_files_belong_to_rows_as_they_are():
    for file in load_rows(ROOT / "zoo" / "rows"):
        own = ROWS[file.row].recipe()
        different = changes(from_json(file.recipe, own), own)
        model = {name for name in different if name.startswith("model.")} if "weights" in file.changes else set()
        assert set(different) - model == set(file.changes) - {"weights"}, (
            f"{file.row}@{file.machine} measured another recipe"
        )


def test_measured_and_unmeasured_cells():
    page = zoo_markdown({NAME: {"torchvision": "https://example.org/w.pth"}}, [MEASURED, BF16])
    own, bf16 = cells(page, NAME)
    assert own["Backbone"] == "R-50-FPN"
    assert (own["Mem (GB)"], own["Train time (s/iter)"], own["Inf time (s/im)"]) == ("3.46", "0.200 (16)", "-")
    assert (own["box AP"], own["Hardware"]) == ("0.374", "h100")
    assert "0.374 [detectron2](https://" in own["Reference box AP"]
    assert own["Weights"] == "[torchvision](https://example.org/w.pth)"
    assert bf16["Row"] == f"`{NAME} precision=bf16`"
    assert (bf16["box AP"], bf16["Reference box AP"], bf16["Inf time (s/im)"]) == ("-", "-", "0.012")
    (other,) = cells(page, "faster_rcnn_r50_fpn_1x")
    assert {other[name] for name in ("Mem (GB)", "box AP", "Hardware", "Weights")} == {"-"}
    assert "| `h100` | AMD EPYC, 16 cores | torch 9.9 |" in page
    assert "<https://example.org> | torchvision" in page


def test_every_row_has_one_anchor_and_a_recipe_link_that_leads_to_it():
    page = zoo_markdown(files=[MEASURED, BF16])
    assert sorted(re.findall(r'<a id="(.*?)">', page)) == sorted(ROWS)
    for name in ROWS:
        path, line = re.search(r"\((.*?)#L(\d+)\)", cells(page, name)[0]["Recipe"]).groups()
        source = (ROOT / "docs" / path).resolve().read_text().splitlines()
        assert source[int(line) - 1].startswith(f"def {name}(")


def test_lists_sort_numbers_high_to_low_with_the_unmeasured_last(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    references = [line["reference"] for line in list_lines(sort="reference")]
    numbers = [float(value.split(" / ")[0]) for value in references if value != "-"]
    assert numbers == sorted(numbers, reverse=True)
    assert references[len(numbers) :] == ["-"] * (len(references) - len(numbers))
    assert [line["row"] for line in list_lines()] == list(ROWS)
    with pytest.raises(ValueError, match="columns are row"):
        list_lines(sort="colour")
    with pytest.raises(ValueError, match="tasks are detection"):
        list_lines(task="detektion")


@pytest.fixture
def instance_rows(monkeypatch):
    """Two rows of instance segmentation, one without any figure."""
    own = ROWS[NAME]
    figures = Reference(name="detectron2", results={"box_AP": 0.386, "mask_AP": 0.352}, source="https://example.org")
    measured = dataclasses.replace(own, task="instance", references=(figures,))
    other = dataclasses.replace(ROWS["faster_rcnn_r50_fpn_1x"], task="instance", references=())
    monkeypatch.setattr(lines, "ROWS", {NAME: measured, other.name: other})
    results = {"val": {"box_AP": 0.3741, "mask_AP": 0.3412}}
    monkeypatch.setattr(lines, "load_rows", lambda: [dataclasses.replace(MEASURED, results=results)])


def test_instance_rows_list_boxes_and_masks_and_sort_by_boxes(instance_rows):
    found = list_lines(task="instance", sort="result")
    assert [line["result"] for line in found] == ["0.374 / 0.341", "-"]
    assert [line["reference"] for line in list_lines(sort="reference")] == ["0.386 / 0.352", "-"]
    assert list_lines(task="detection") == []


def test_instance_rows_have_a_section_and_columns(instance_rows):
    page = zoo_markdown(files=lines.load_rows())
    assert re.findall(r"^## (.*)$", page, re.M)[-4:] == [
        *("Detection", "Instance segmentation", "Semantic segmentation", "Pose estimation"),
    ]
    own = cells(page, NAME)[0]
    assert (own["box AP"], own["mask AP"]) == ("0.374", "0.341")
    assert own["Reference mask AP"].startswith("0.352 [detectron2]")


def test_rows_of_semantic_segmentation_are_judged_by_miou(monkeypatch):
    figures = Reference(name="mmsegmentation", results={"mIoU": 0.7853}, source="https://example.org")
    row = dataclasses.replace(ROWS[NAME], task="segmentation", references=(figures,))
    monkeypatch.setattr(lines, "ROWS", {NAME: row})
    measured = dataclasses.replace(MEASURED, results={"val": {"mIoU": 0.7712, "mAcc": 0.8, "aAcc": 0.9}})
    monkeypatch.setattr(lines, "load_rows", lambda: [measured])
    (line,) = list_lines(task="segmentation", sort="result")
    assert (line["reference"], line["result"]) == ("0.785", "0.771")
    page = zoo_markdown(files=[measured])
    (own,) = cells(page.partition("## Semantic segmentation")[2], NAME)
    assert (own["mIoU"], own["Reference mIoU"]) == ("0.771", "0.785 [mmsegmentation](https://example.org)")
    assert "mIoU is the mean over classes" in page


def test_a_file_of_no_row_is_an_error():
    with pytest.raises(ValueError, match="no_such_row"):
        zoo_lines([dataclasses.replace(MEASURED, row="no_such_row")])


def test_lists_need_no_torch():
    code = "import sys, cvzoo.report.lines as lines; lines.list_lines(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
