"""Every command that the README and the guides name exists, with the options and weights that it is given there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from our_names import check_command

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(text: str) -> list[str]:
    """Lines of scripts and code in sentences that run cvzoo."""
    scripts = "\n".join(re.findall(r"^```(?:bash|sh)\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    lines = scripts.replace("\\\n", " ").splitlines()
    inline = re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    return [line for line in (*lines, *inline) if re.search(r"^(\w+=\S+ )*cvzoo |-m cvzoo ", line)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Path) -> None:
    for command in commands(page.read_text()):
        check_command(command)


@pytest.mark.parametrize(
    "wrong", ["cvzoo trian ROW", "cvzoo train ROW --optim.lrr 1", "`cvzoo eval atss_r50_fpn_1x --weights caffe`"]
)
def test_what_does_not_exist_is_found(wrong: str) -> None:
    (command,) = commands(wrong if "`" in wrong else f"```bash\n{wrong}\n```\n")
    with pytest.raises(AssertionError):
        check_command(command)
