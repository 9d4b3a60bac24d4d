"""`pytest --parity zoo/parity.json` writes what the parity tests have proven; a failed run leaves the file alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from cvzoo.files import write_json
from cvzoo.results.machine import versions
from cvzoo.results.parity import Evidence

KEY = "parity"
"""Under which name a test records what it has proven."""


def recorded(case: str, system: str, source: str, deviation: float, share: float) -> dict[str, Any]:
    """What a test says of one comparison, see `Evidence`. `case` is the golden case, or the test's own id
    (`request.node.nodeid`).
    """
    return {"case": case, "system": system, "source": source, "deviation": deviation, "share": share}


def collected(records: Sequence[dict[str, Any]]) -> dict[str, dict[str, Evidence]]:
    """Of each system and source all that was recorded."""
    found: dict[str, dict[str, Evidence]] = {}
    for system in sorted({record["system"] for record in records}):
        of_system = [record for record in records if record["system"] == system]
        for source in sorted({record["source"] for record in of_system}):
            own = [record for record in of_system if record["source"] == source]
            found.setdefault(system, {})[source] = Evidence(
                cases=tuple(sorted(record["case"] for record in own)),
                deviation=max(record["deviation"] for record in own),
                share=max(record["share"] for record in own),
                date=date.today().isoformat(),
                versions=versions(),
            )
    return found


def write(path: Path, records: Sequence[dict[str, Any]]) -> None:
    evidence = collected(records)
    write_json(path, {s: {name: dataclasses.asdict(e) for name, e in own.items()} for s, own in evidence.items()})
