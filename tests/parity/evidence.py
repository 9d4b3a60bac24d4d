"""`pytest --parity zoo/parity.json` writes what the parity tests have proven; a failed run leaves the file alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from parity.golden import Report

from cvzoo.files import write_json
from cvzoo.results.machine import versions
from cvzoo.results.parity import Evidence

KEY = "parity"
"""Under which name a test records what it has proven."""


def proves(system: str, source: str) -> pytest.MarkDecorator:
    """The mark of a test, or of one of its cases, that compares this system with this reference."""
    return pytest.mark.proves(system=system, source=source)


def claim_of(node: pytest.Item) -> dict[str, str] | None:
    """What a test is marked to prove: its case (a golden case's name, else the test's id), system and source."""
    mark = node.get_closest_marker("proves")
    callspec = getattr(node, "callspec", None)
    golden = callspec.params.get("golden_case") if callspec else None
    return None if mark is None else {"case": golden or node.nodeid, **mark.kwargs}


def record(node: pytest.Item, report: Report) -> None:
    """What a test has proven, once it has passed."""
    report.finish()
    claim = claim_of(node)
    assert claim is not None, "mark the test with `proves`"
    node.user_properties.append((KEY, claim | {"deviation": report.deviation, "share": report.share}))


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
