"""zoo/parity.json claims nothing that a test cannot show, and keeps what tests have recorded."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from parity import evidence
from parity.golden import GOLDEN, case_names

from cvzoo.results.parity import Evidence, load_parity
from cvzoo.zoo import SYSTEMS

ROOT = Path(__file__).parents[2]
FILE = ROOT / "zoo" / "parity.json"
Claims = Mapping[str, Mapping[str, Evidence]]
Claim = tuple[str, str, str]
"""Case, system and source."""
LISTING = f"""
import pytest
from parity.evidence import claim_of
class Listing:
    def pytest_collection_modifyitems(self, items):
        for claim in filter(None, map(claim_of, items)):
            print("PROVES", *claim.values(), sep="|")
pytest.main(["--collect-only", "-q", {str(Path(__file__).parent)!r}], plugins=[Listing()])
"""


def provable() -> set[Claim]:
    """What tests are marked to prove."""
    path = os.environ | {"PYTHONPATH": str(ROOT / "tests")}
    done = subprocess.run(
        [sys.executable, "-c", LISTING], cwd=ROOT, capture_output=True, text=True, check=True, env=path
    )
    found = (line.split("|")[1:] for line in done.stdout.splitlines() if line.startswith("PROVES|"))
    return {(case, system, source) for case, system, source in found}


TESTS: set[Claim] = {("retinanet/a", "retinanet", "detectron2"), ("test_x.py::test_z", "retinanet", "torchvision")}
"""Of an imagined run."""


def unfounded(claims: Claims, tests: set[Claim]) -> list[str]:
    """What is claimed and no test of this case, system and source shows."""
    problems = []
    for system, sources in claims.items():
        for source, found in sources.items():
            here = f"{system}, {source}"
            problems += [f"{here}: no cases"] if not found.cases else []
            problems += [f"{here}: beyond its tolerance"] if not 0 <= found.share <= 1 else []
            strange = [case for case in found.cases if (case, system, source) not in tests]
            problems += [f"{here}: {case} is no case of it" for case in strange]
            problems += [f"{here}: a case counts twice"] if len(set(found.cases)) < len(found.cases) else []
    return problems


def proof(*cases: str, share: float = 0.5) -> Evidence:
    return Evidence(cases=cases, deviation=1e-5, share=share, date="2030-01-01")


def test_the_zoo_claims_what_tests_show() -> None:
    assert FILE.exists(), "`make parity` writes it"
    if not case_names():
        pytest.skip(f"NO GOLDEN CASES: there are none in {GOLDEN}; CVZOO_GOLDEN names another folder")
    claims, tests = load_parity(FILE), provable()
    assert set(claims) <= {system.key for system in SYSTEMS}
    assert {system for _, system, _ in tests} == set(claims), "`make parity` renews it"
    assert unfounded(claims, tests) == []


@pytest.mark.parametrize(
    ("claims", "problem"),
    [
        ({"retinanet": {"detectron2": proof("retinanet/a", "retinanet/made_up")}}, "retinanet/made_up is no case"),
        ({"retinanet": {"mmdetection": proof("retinanet/a")}}, "retinanet/a is no case"),
        ({"fcos": {"detectron2": proof("retinanet/a")}}, "retinanet/a is no case"),
        ({"retinanet": {"torchvision": proof("test_x.py::test_y")}}, "test_x.py::test_y is no case"),
        ({"fcos": {"torchvision": proof("test_x.py::test_z")}}, "test_x.py::test_z is no case"),
        ({"retinanet": {"detectron2": proof("retinanet/a", "retinanet/a")}}, "counts twice"),
        ({"retinanet": {"detectron2": proof("retinanet/a", share=1.5)}}, "beyond its tolerance"),
        ({"retinanet": {"detectron2": proof()}}, "no cases"),
    ],
)
def test_made_up_claims_are_found(claims: Claims, problem: str) -> None:
    (found,) = unfounded(claims, TESTS)
    assert problem in found


def test_what_is_proven_may_be_claimed() -> None:
    claims = {"retinanet": {"detectron2": proof("retinanet/a"), "torchvision": proof("test_x.py::test_z")}}
    assert unfounded(claims, TESTS) == []


def recorded(case: str, system: str, source: str, deviation: float, share: float) -> dict[str, Any]:
    """What a test leaves behind."""
    return {"case": case, "system": system, "source": source, "deviation": deviation, "share": share}


def test_records_become_a_file_that_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "zoo" / "parity.json"
    records = [
        recorded("retinanet/b", "retinanet", "detectron2", deviation=1e-6, share=0.9),
        recorded("retinanet/a", "retinanet", "detectron2", deviation=2e-5, share=0.1),
        recorded("test_x.py::test_z", "retinanet", "torchvision", deviation=0.0, share=0.0),
        recorded("atss/a", "atss", "mmdetection", deviation=3e-5, share=0.3),
    ]
    evidence.write(path, records)
    found = load_parity(path)
    assert found == evidence.collected(records)
    assert list(found) == ["atss", "retinanet"]
    both = found["retinanet"]["detectron2"]
    assert (both.cases, both.deviation, both.share) == (("retinanet/a", "retinanet/b"), 2e-5, 0.9)
    assert str(both) == "2 cases, 2e-05"
    assert str(found["atss"]["mmdetection"]) == "1 case, 3e-05"
    assert both.versions["torch"]
    assert both.date


def test_without_a_file_nothing_is_claimed(tmp_path: Path) -> None:
    assert load_parity(tmp_path / "parity.json") == {}


def test_the_file_lies_beside_the_row_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "zoo" / "rows").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    evidence.write(tmp_path / "zoo" / "parity.json", [recorded("a/b", "atss", "mmdetection", 1e-5, 0.2)])
    assert list(load_parity()) == ["atss"]
