"""The page that started the zoo (shared/spec/zoo_page.md), line by line: every system is live, every figure stands."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from cvzoo.report.lines import list_lines
from cvzoo.zoo import ROWS, SYSTEMS
from cvzoo.zoo.published import ORIGINAL_PAGE

ROOT = Path(__file__).parents[2]
PAGE = Path(os.environ.get("CVZOO_SPEC", ROOT.parent / "shared" / "spec")) / "zoo_page.md"
UNITS = {"GB": 1.0, "MB": 1e-3, "ms": 1e-3, "": 1.0}
SECOND = {"mask": "mask_AP", "dense pose": "gps_AP"}


def page() -> str:
    return PAGE.read_text() if PAGE.exists() else ""


def lines() -> list[list[str]]:
    """The cells of each row of the page's table."""
    table = [line for line in page().splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1:]]


def number(cell: str) -> float | None:
    """Of a cell like `0.122`, `3.0 GB` or `62.4 ms`."""
    found = re.fullmatch(r"([\d.]+) ?(GB|MB|ms|)", cell)
    return float(found[1]) * UNITS[found[2]] if found else None


@pytest.mark.parametrize("cells", lines(), ids=lambda cells: cells[-1])
def test_every_row_of_the_page_is_ours_with_its_figures(cells: list[str]) -> None:
    system, backbone, _, schedule, *_ = cells
    mem, train, inf, box, second, name = cells[5:]
    (line,) = [line.cells for line in list_lines() if line.cells["row"] == name]
    assert line["system"] == system
    assert line["backbone"].startswith(backbone)
    assert line["schedule"].startswith(schedule.split(",")[0])
    stated = {"box_AP": number(box)}
    if second:
        kind, _, value = second.rpartition(" ")
        stated[SECOND[kind]] = number(value)
    results = {metric: value / 100 for metric, value in stated.items() if value is not None}
    costs = {"mem_gb": number(mem), "train_s_per_iter": number(train), "inf_s_per_im": number(inf)}
    if not results and not any(costs.values()):
        return
    (reference,) = (found for found in ROWS[name].references if found.name == ORIGINAL_PAGE)
    assert reference.results == pytest.approx(results)
    for cost, value in costs.items():
        assert getattr(reference, cost) == (None if value is None else pytest.approx(value)), cost


@pytest.mark.skipif(not page(), reason=f"{PAGE} is absent; set CVZOO_SPEC to its folder")
def test_every_system_that_it_names_is_live() -> None:
    (named,) = re.findall(r"Systems it names without figures: (.*)", page())
    without = [name.strip() for name in re.sub(r"\(\w+\)\.?", "", named.replace(";", ",")).split(",")]
    assert without == ["CenterNet", "CornerNet", "PSPNet", "DeepLab v3+", "GCNet", "TreeFilter"]
    assert {*without, *(cells[0] for cells in lines())} <= {system.name for system in SYSTEMS}
    assert len(lines()) == 19
