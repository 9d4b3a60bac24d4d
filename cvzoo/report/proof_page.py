"""prove.html: published weights, what their authors state and what we measure, in one file that opens anywhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from cvzoo.files import atomic
from cvzoo.report.page import template
from cvzoo.results.proofs import PAGE, Proof, proofs
from cvzoo.results.published import CLOSE
from cvzoo.tasks.sections import metric_title
from cvzoo.zoo import ROWS

STATES = ("agrees", "differs", "other data", "failed", "not evaluated")


def write_page(output: Path) -> Path:
    """Write the page of all that `cvzoo prove` has found in `output`, and return its path."""
    found = proofs(output)
    states = Counter(proof.state for proof in found)
    text = template(PAGE).render(
        headline=[(state, states[state]) for state in STATES],
        close=CLOSE,
        furthest=max((abs(difference) for difference in _differences(found)), default=None),
        environments=_environments(found),
        lines=[line for proof in found for line in _lines(proof, output)],
        failed=[proof for proof in found if proof.fault],
        missing=[proof for proof in found if proof.state == "not evaluated"],
        rows=ROWS,
    )
    with atomic(output / PAGE) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return output / PAGE


def _differences(found: Sequence[Proof]) -> list[float]:
    """Of all figures that are of the published data."""
    compared = [proof.comparison for proof in found if proof.comparison and not proof.comparison.reservation]
    return [figure.difference for comparison in compared for figure in comparison.figures]


def _environments(found: Sequence[Proof]) -> list[str]:
    """Where figures were measured, in words, each place once."""
    files = [proof.comparison.file for proof in found if proof.comparison]
    software = [", ".join(f"{name} {version}" for name, version in file.versions.items()) for file in files]
    return list(dict.fromkeys(f"{file.hardware}; {versions}" for file, versions in zip(files, software)))


def _lines(proof: Proof, output: Path) -> list[dict[str, object]]:
    """A line of the table for each figure."""
    if proof.comparison is None:
        return []
    file = proof.comparison.file
    shared = {
        "row": proof.row,
        "weights": proof.published,
        "state": proof.state,
        "reservation": proof.comparison.reservation,
        "images": file.data.get("images", {}).get("val"),
        "precision": file.recipe["run"]["precision"],
        "machine": file.machine,
        "report": proof.report.relative_to(output) if proof.report.exists() else None,
    }
    return [{**shared, "metric": metric_title(figure.metric), "figure": figure} for figure in proof.comparison.figures]
