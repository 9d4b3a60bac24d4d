"""What `cvzoo prove` has found so far, from its folder. Imports no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cvzoo.results.published import Comparison, comparison
from cvzoo.results.row_files import read_row
from cvzoo.zoo import ROWS
from cvzoo.zoo.system import Published

FOUND, FAULT = "row.json", "fault.txt"
"""In the folder of published weights: the row file of their evaluation, or why there is none."""
PAGE = "prove.html"
"""Beside these folders: the page about all of them."""


def place_of(output: Path, row: str, weights: str) -> Path:
    """The folder of published weights."""
    return output / f"{row}-{weights}"


@dataclass(frozen=True)
class Proof:
    """Published weights of a row, and what was found with them; nothing before they were evaluated."""

    row: str
    published: Published
    folder: Path
    comparison: Comparison | None
    fault: str
    """What ended the last attempt."""

    @classmethod
    def read(cls, output: Path, row: str, published: Published) -> Proof:
        folder = place_of(output, row, published.name)
        found = comparison(read_row(folder / FOUND)) if (folder / FOUND).exists() else None
        fault = (folder / FAULT).read_text() if (folder / FAULT).exists() else ""
        return cls(row, published, folder, found, fault)

    @property
    def report(self) -> Path:
        """The page of the evaluation."""
        return self.folder / f"{self.row}-eval" / "report.html"

    @property
    def state(self) -> str:
        """In a word or two."""
        if self.fault:
            return "failed"
        if self.comparison is None:
            return "not evaluated"
        if self.comparison.reservation:
            return "other data"
        return "agrees" if self.comparison.agrees else "differs"

    @property
    def values(self) -> dict[str, Any]:
        """As `cvzoo prove --json` prints it."""
        figures = self.comparison.figures if self.comparison else ()
        return {
            "row": self.row,
            "weights": self.published.name,
            "state": self.state,
            "figures": [asdict(figure) | {"difference": figure.difference} for figure in figures],
            "reservation": self.comparison.reservation if self.comparison else "",
            "fault": self.fault,
            "report": self.report if self.report.exists() else None,
        }


def proofs(output: Path) -> list[Proof]:
    """One of each published file of each row, in the order of the table."""
    return [Proof.read(output, name, entry) for name, row in ROWS.items() for entry in row.published]
