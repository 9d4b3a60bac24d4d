"""What the parity tests have proven, `zoo/parity.json`: their runs write it, the table prints it. Imports no torch."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from cvzoo.results.row_files import rows_folder


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """How a system compares with one reference on that reference's weights, over all cases that ran."""

    cases: tuple[str, ...]
    """What was compared, by name: a golden case, or a side-by-side test."""
    deviation: float
    """The largest one of any output, as a share of that output's largest number."""
    share: float
    """The largest share of its tolerance that a deviation took, 0..1."""
    date: str
    versions: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        plural = "" if len(self.cases) == 1 else "s"
        return f"{len(self.cases)} case{plural}, {self.deviation:.0e}"


def parity_file() -> Path:
    """Beside `zoo/rows`."""
    return rows_folder().parent / "parity.json"


def load_parity(path: Path | None = None) -> dict[str, dict[str, Evidence]]:
    """Key of the system to name of the source to what was proven; empty without the file."""
    path = path or parity_file()
    stored = json.loads(path.read_text()) if path.exists() else {}
    return {
        system: {
            source: Evidence(**evidence | {"cases": tuple(evidence["cases"])}) for source, evidence in sources.items()
        }
        for system, sources in stored.items()
    }
