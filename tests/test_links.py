"""Links in the README and the guides lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cvzoo.zoo import SYSTEMS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\((?!https?://)([^)\s]+)\)")


def anchors(text: str) -> set[str]:
    """What `#...` can name on a page: its headings as GitHub spells them, and its own anchors."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)  # a comment in a script is no heading
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r'<a id="(.*?)">', text))


def broken(page: Path, text: str) -> list[str]:
    """The relative links of a page that lead nowhere."""
    found = []
    for link in LINK.findall(text):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        inside = anchors(target.read_text()) if target.suffix == ".md" and target.exists() else {anchor}
        if not target.exists() or (anchor and anchor not in inside):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_relative_links_lead_somewhere(page: Path) -> None:
    assert broken(page, page.read_text()) == []


def test_the_readme_lists_every_full_row_and_no_other() -> None:
    table = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| [")]
    listed = {re.findall(r"\| \[(.*?)\]", line)[0]: re.findall(r"`(\w+)`", line) for line in table}
    assert listed == {system.name: [row.name for row in system.rows if not row.is_small] for system in SYSTEMS}


def test_what_leads_nowhere_is_found() -> None:
    page = ROOT / "docs" / "results.md"
    text = "[a](MODEL_ZOO.md) [b](nowhere.md) [c](MODEL_ZOO.md#fcos) [d](MODEL_ZOO.md#nobody) [e](https://x.org/y.md)"
    assert broken(page, text) == ["nowhere.md", "MODEL_ZOO.md#nobody"]
