"""Listings on stdout: as a table for people, as JSON for programs. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


def print_table(lines: Sequence[Sequence[str]]) -> None:
    """Lines of as many cells each, every column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*lines)]
    for line in lines:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths)).rstrip())


def print_json(values: Any) -> None:
    """Plain values, and paths in them as text. ValueError for what JSON lacks, such as NaN."""
    print(json.dumps(values, indent=1, default=str, allow_nan=False, ensure_ascii=False))
