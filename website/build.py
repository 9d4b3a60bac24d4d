"""Builds the site of the guides: gathers its pages, runs zensical, checks what came out. `make docs` calls it.

    python website/build.py [--output site]

The pages are README.md, docs/*.md, the zoo's table (zoo_table.py) and the API (api/*.md, and a page for each
system). A link from one of them to a source file leads to its place in the API. Any warning, also of a docstring, is an
error.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from posixpath import normpath, relpath
from typing import Any

from links import problems_and_addresses
from zoo_table import zoo_page

from cvzoo.results.row_files import load_rows
from cvzoo.zoo import SYSTEMS
from cvzoo.zoo.system import System

HERE = Path(__file__).parent
ROOT = HERE.parent
LINK = re.compile(r"\]\((?!\w+:|#)([^)\s#]+)(#[^)\s]*)?\)")
SOURCE = re.compile(r"cvzoo/zoo/(\w+)/(\w+)\.py")


def main(output: Path) -> None:
    """Build the site in `output`, which is replaced. SystemExit names warnings and links that lead nowhere."""
    with tempfile.TemporaryDirectory() as folder:
        stage = Path(folder)
        gather(stage / "pages")
        (stage / "mkdocs.yml").write_text(json.dumps(settings(stage / "pages")))  # JSON is YAML
        zensical(stage / "mkdocs.yml")
        problems, addresses = problems_and_addresses(stage / "site")
        if problems:
            sys.exit("\n".join(problems))
        (stage / "site" / "external-links.txt").write_text("".join(f"{address}\n" for address in addresses))
        shutil.rmtree(output, ignore_errors=True)
        shutil.move(stage / "site", output)
    print(f"{output / 'index.html'} ({len(addresses)} links to other sites, not visited: {output}/external-links.txt)")


def gather(pages: Path) -> None:
    """Put all pages into one folder."""
    shutil.copytree(HERE / "api", pages / "api")
    for name in ("zoo.js", "chart.js", "zoo.css"):
        shutil.copy(HERE / name, pages / name)
    (pages / "zoo.md").write_text(zoo_page((HERE / "zoo.md").read_text(), load_rows(ROOT / "zoo" / "rows")))
    (pages / "index.md").write_text(relinked((ROOT / "README.md").read_text(), "README.md"))
    for path in sorted((ROOT / "docs").glob("*.md")):
        (pages / path.name).write_text(relinked(path.read_text(), f"docs/{path.name}"))
    for system in SYSTEMS:
        (pages / "api" / f"{system.key}.md").write_text(system_page(system))


def relinked(text: str, page: str) -> str:
    """The text of a page of the repository with links as the site has them."""

    def link(found: re.Match[str]) -> str:
        target = normpath(f"{page}/../{found[1]}")
        if source := SOURCE.fullmatch(target):
            return f"](api/{source[1]}.md#cvzoo.zoo.{source[1]}.{source[2]})"
        target = "index.md" if target == "README.md" else relpath(target, "docs")
        return f"]({target}{found[2] or ''})"

    return LINK.sub(link, text)


def system_page(system: System) -> str:
    """The API of a system: its method, its recipes, whose weights it loads, with their source."""
    modules = (f"::: {system.package}.{name}" for name in ("model", "rows", "weights"))
    options = "    options:\n      show_source: true"
    return "\n\n".join([f"# {system.name}", *(f"{module}\n{options}" for module in modules)]) + "\n"


def settings(pages: Path) -> dict[str, Any]:
    """zensical's settings, with the systems in the navigation, and without pages that are not there."""
    project = tomllib.loads((HERE / "zensical.toml").read_text())["project"]
    project["nav"][-1]["API"] += [{"Systems": [{system.name: f"api/{system.key}.md"} for system in SYSTEMS]}]
    project["nav"] = [found for found in (existing(entry, pages) for entry in project["nav"]) if found]
    project["plugins"]["mkdocstrings"]["handlers"]["python"]["paths"] = [str(ROOT)]
    return project | {"docs_dir": "pages", "site_dir": "site"}


def existing(entry: dict[str, Any], pages: Path) -> dict[str, Any] | None:
    """An entry of the navigation without pages that are not there."""
    ((title, content),) = entry.items()
    if isinstance(content, str):
        return entry if (pages / content).exists() else None
    return {title: [found for found in (existing(one, pages) for one in content) if found]}


def zensical(config: Path) -> None:
    """Run it. It takes a docstring that cannot be read for no warning of its own: anything it says is."""
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", str(config)]
    done = subprocess.run(command, cwd=config.parent, capture_output=True, text=True, check=False)
    said = (done.stdout + done.stderr).splitlines()
    if done.returncode or any(not line.startswith(("Build ", "No issues found")) for line in said):
        sys.exit("\n".join(said))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "site", help="the site's folder")
    main(parser.parse_args().output)
