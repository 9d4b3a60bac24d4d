"""The site of the guides: its navigation, its links, and the data of its table. `make docs` builds the whole."""

from __future__ import annotations

import html
import json
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from committed import committed_rows
from report.browser import needs_browser, opened

from cvzoo.report.lines import number, zoo_lines
from cvzoo.results.row_files import RowFile
from cvzoo.zoo import ROWS, SYSTEMS

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "website"))  # scripts, not a package

import build  # noqa: E402
import links  # noqa: E402
import zoo_table  # noqa: E402

FILES = committed_rows()


def pages(entries: list[Any]) -> Iterator[str]:
    """The files of a navigation."""
    for entry in entries:
        for content in entry.values():
            yield from [content] if isinstance(content, str) else pages(content)


def test_the_navigation_has_every_page_once() -> None:
    nav = tomllib.loads((ROOT / "website" / "zensical.toml").read_text())["project"]["nav"]
    listed = sorted(pages(nav))
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


def documented() -> Iterator[tuple[str, str]]:
    """The source of each module of the API pages, and the options that stand with it."""
    pages = [path.read_text() for path in (ROOT / "website" / "api").glob("*.md")] + list(
        map(build.system_page, SYSTEMS)
    )
    for module, options in re.findall(r"^::: (\S+)\n((?: .*\n)*)", "".join(pages), re.MULTILINE):
        path = ROOT / module.replace(".", "/")
        yield (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text(), options


def test_the_api_names_what_exists() -> None:
    for source, options in documented():
        for members in re.findall(r" members: \[(.*)\]", options):
            assert all(re.search(rf"^(def|class) {name}\b", source, re.MULTILINE) for name in members.split(", "))


def test_the_api_has_docstrings_that_the_site_can_read() -> None:
    """What follows `Raises:` in its line goes on in no other, or the site loses a part of it."""
    cut = re.compile(r"^ +(?:Raises|Returns|Yields): \S.*\n +(?!Raises|Returns|Yields|\"\"\")\S.*$", re.MULTILINE)
    assert [found for source, _ in documented() for found in cut.findall(source)] == []


def test_every_benchmark_is_explained() -> None:
    page = (ROOT / "docs" / "results.md").read_text()
    named = set(re.findall(r"`(\w+\.py)`", page[page.index("## Speed beside the references") :]))
    shared = {"common.py", "side_by_side.py"}  # what several of them import
    assert named == {path.name for path in (ROOT / "benchmarks").glob("*.py")} - shared


USE = """
<script>
const table = document.getElementById("zoo-ours");
const column = (key) => {
  const place = [...table.querySelectorAll("thead th")].findIndex((cell) => cell.dataset.key === key);
  return [...table.querySelectorAll("tbody tr")].map((row) => row.children[place].textContent);
};
const choose = (name, value) => {
  const field = document.forms[0][name];
  field.value = value;
  field.dispatchEvent(new Event("input", { bubbles: true }));
};
const sortBy = (key) => table.querySelector(`th[data-key="${key}"] button`).click();
const state = (key) => table.querySelector(`th[data-key="${key}"]`).ariaSort;
const said = {};
addEventListener("load", () => {
  choose("data", "COCO");
  said.begin = column("name");
  said.wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  choose("data", "shapes");
  choose("time", "train_s_per_iter");
  said.shapes = column("name");
  said.points = document.querySelectorAll("#zoo-chart-ours a.zoo-own").length;
  sortBy("box_AP");
  said.falling = [state("box_AP"), column("box_AP")];
  said.focused = document.activeElement.closest("th").dataset.key;
  sortBy("box_AP");
  said.rising = [state("box_AP"), column("box_AP")];
  const point = document.querySelector("#zoo-chart-ours a.zoo-own");
  point.focus();
  said.text = document.querySelector("#zoo-chart-ours .zoo-said").textContent;
  const line = document.getElementById(point.getAttribute("href").slice(1));
  said.line = line.querySelector("code").textContent;
  choose("words", "fcos r18");
  said.words = column("name");
  document.title = JSON.stringify(said);
});
</script>
"""


@needs_browser
def test_the_table_is_filtered_and_sorted_and_its_chart_tells_of_its_points(tmp_path: Path) -> None:
    for name in ("chart.js", "zoo.js", "zoo.css"):
        shutil.copy(ROOT / "website" / name, tmp_path)
    _, _, text = (ROOT / "website" / "zoo.md").read_text().split("---\n", 2)
    inner = html.escape(f"<!doctype html><meta charset=utf-8>{zoo_table.zoo_page(text, FILES)}{USE}")
    frame = f'<iframe width="400" onload="document.title = this.contentDocument.title" srcdoc="{inner}"></iframe>'
    (tmp_path / "page.html").write_text(f"<!doctype html><meta charset=utf-8>{frame}")
    dumped = opened(tmp_path / "page.html", tmp_path / "profile", 1500).stdout
    said = json.loads(html.unescape(re.findall("<title>(.*?)</title>", dumped)[0]))
    ours = zoo_table.zoo_data(FILES)["ours"]
    shapes = [line for line in ours if line["data"] == "shapes"]
    assert said["wide"] == 0
    assert said["begin"] == [line["name"] for line in ours if line["data"] == "COCO"]
    assert said["shapes"] == [line["name"] for line in shapes]
    known = [line for line in shapes if line["box_AP"] is not None]
    assert said["points"] == len([line for line in known if line["train_s_per_iter"] is not None])
    rising, unknown = sorted(line["box_AP"] for line in known), ["-"] * (len(shapes) - len(known))
    assert said["falling"] == ["descending", [*map(number, rising[::-1]), *unknown]]
    assert said["rising"] == ["ascending", [*map(number, rising), *unknown]]
    assert said["focused"] == "box_AP"
    assert said["text"].startswith(f"{said['line']}: box AP 0.")
    assert said["words"] == ["fcos_r18_fpn_shapes"]
