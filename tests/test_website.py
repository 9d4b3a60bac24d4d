"""The site of the guides: its navigation, its links, and the data of its table. `make docs` builds the whole."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cvzoo.report.lines import number, zoo_lines
from cvzoo.results.row_files import RowFile, load_rows
from cvzoo.zoo import ROWS, SYSTEMS

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "website"))  # scripts, not a package

import build  # noqa: E402
import links  # noqa: E402
import zoo_table  # noqa: E402

FILES = load_rows(ROOT / "zoo" / "rows")
COMING = ("command-line.md", "export.md", "published.md", "serving.md", "sharing.md")
"""Guides that are being written."""


def pages(entries: list[Any]) -> Iterator[str]:
    """The files of a navigation."""
    for entry in entries:
        for content in entry.values():
            yield from [content] if isinstance(content, str) else pages(content)


def test_the_navigation_has_every_page_once() -> None:
    nav = tomllib.loads((ROOT / "website" / "zensical.toml").read_text())["project"]["nav"]
    listed = sorted(page for page in pages(nav) if page not in COMING or (ROOT / "docs" / page).exists())
    written = [path.name for path in (ROOT / "docs").glob("*.md")]
    api = [f"api/{path.name}" for path in (ROOT / "website" / "api").glob("*.md")]
    assert listed == sorted([*written, *api, "index.md", "zoo.md"])


def test_pages_that_are_not_there_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "here.md").touch()
    entry = {"Guides": [{"Here": "here.md"}, {"Not": "not.md"}, {"Deeper": [{"Neither": "neither.md"}]}]}
    assert build.existing(entry, tmp_path) == {"Guides": [{"Here": "here.md"}, {"Deeper": []}]}


def test_links_lead_to_the_same_place_in_the_site() -> None:
    text = "[a](docs/own-data.md#look) [b](cvzoo/zoo/fcos/model.py) [c](#here) [d](https://x.org/y) [e](docs/report.md)"
    assert build.relinked(text, "README.md") == (
        "[a](own-data.md#look) [b](api/fcos.md#cvzoo.zoo.fcos.model) [c](#here) [d](https://x.org/y) [e](report.md)"
    )
    text = "[a](report.md) [b](../cvzoo/zoo/fcos/rows.py) [c](../README.md#install)"
    assert build.relinked(text, "docs/python.md") == (
        "[a](report.md) [b](api/fcos.md#cvzoo.zoo.fcos.rows) [c](index.md#install)"
    )


def test_what_leads_nowhere_or_comes_from_elsewhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "other.html").write_text('<h1 id="top">Other</h1><a href="../index.html#b%20c">back</a>')
    (tmp_path / "index.html").write_text(
        '<a id="b c"></a><a href="more/other.html#top">1</a><a href="more/other.html#nix">2</a>'
        '<a href="gone.html">3</a><a href="https://example.org/x">4</a><a href="#">5</a><script src="https://cdn.example.org/x.js"></script>'
        '<link rel="canonical" href="https://example.org"><img src="gone.png">'
    )
    problems, addresses = links.problems_and_addresses(tmp_path)
    assert sorted(problems) == [
        "index.html links to gone.html, which is not there",
        "index.html links to gone.png, which is not there",
        "index.html links to more/other.html#nix, which is not there",
        "index.html loads https://cdn.example.org/x.js from elsewhere",
    ]
    assert addresses == ["https://example.org/x"]


def test_the_table_has_the_figures_of_the_printed_one() -> None:
    data = zoo_table.zoo_data(FILES)
    assert [line["name"] for line in data["ours"]] == [line.name for line in zoo_lines(FILES)]
    printed = {name: (ROOT / "docs" / name).read_text() for name in ("MODEL_ZOO.md", "SMALL_ROWS.md")}
    for line in data["ours"]:
        page, _, anchor = line["page"].partition("#")
        text = printed[page.replace(".html", ".md")]
        assert f'<a id="{anchor}"></a>' in text
        cells = {cell for row in text.splitlines() if f"`{line['name']}`" in row for cell in row.split(" | ")}
        figures = [line[name] for name in (*data["metrics"], "mem_gb") if line[name] is not None]
        assert all({number(figure), number(figure, 2)} & cells for figure in figures), line["name"]
    known = [(row.name, found.name) for row in ROWS.values() for found in (*row.published, *row.references)]
    assert [(entry["name"], entry["who"]) for entry in data["published"]] == known


def test_the_page_holds_its_data_and_nothing_ends_the_script_early() -> None:
    name = next(iter(ROWS))
    page = zoo_table.zoo_page("<script>ZOO_DATA</script>", [RowFile(row=name, machine="</script>")])
    assert page.count("</script>") == 1
    held = json.loads(page.removeprefix("<script>").removesuffix("</script>"))
    assert held["ours"][0]["machine"] == "</script>"


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.key)
def test_every_system_has_a_page(system: Any) -> None:
    modules = re.findall(r"^::: (\S+)", build.system_page(system), re.MULTILINE)
    assert all((ROOT / f"{module.replace('.', '/')}.py").exists() for module in modules)


def test_every_benchmark_is_explained() -> None:
    page = (ROOT / "docs" / "results.md").read_text()
    named = set(re.findall(r"`(\w+\.py)`", page[page.index("## Speed beside the references") :]))
    shared = {"common.py", "side_by_side.py"}  # what several of them import
    assert named == {path.name for path in (ROOT / "benchmarks").glob("*.py")} - shared
