"""The row files under version control, from which the committed pages come: `make demo` adds one of this machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

from cvzoo.results.row_files import RowFile, load_rows, read_row

ROOT = Path(__file__).parents[1]


def committed_rows() -> list[RowFile]:
    """By file name. All of the folder in a tree without git, such as an unpacked archive."""
    listed = subprocess.run(["git", "ls-files", "zoo/rows/*@*.json"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        return load_rows(ROOT / "zoo" / "rows")
    return [read_row(ROOT / name) for name in listed.stdout.splitlines()]
