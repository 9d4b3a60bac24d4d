"""zoo/parity.json claims nothing that a test cannot show, and keeps what tests have recorded."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from parity import evidence, test_golden, test_golden_tree_filter
from parity.golden import GOLDEN, case_names

from cvzoo.results.parity import Evidence, load_parity
from cvzoo.zoo import SYSTEMS

ROOT = Path(__file__).parents[2]
FILE = ROOT / "zoo" / "parity.json"
Claims = Mapping[str, Mapping[str, Evidence]]
LISTING = f"""
import pytest
class Listing:
    def pytest_collection_modifyitems(self, items):
        for item in items:
            if "record_property" in item.fixturenames:
                print("RECORDS", item.nodeid)
pytest.main(["--collect-only", "-q", {str(Path(__file__).parent)!r}], plugins=[Listing()])
"""


def golden_cases() -> dict[str, tuple[str, str]]:
    """System and source of every golden case on disk that a test runs."""
    owners = {folder: (system, golden.source) for folder, (system, golden) in test_golden.RUNNERS.items()}
    owners["ops_tree_filter"] = (test_golden_tree_filter.SYSTEM, test_golden_tree_filter.SOURCE)
    return {name: owners[name.split("/")[0]] for name in case_names() if name.split("/")[0] in owners}


def side_by_side_cases() -> set[str]:
    """The ids of all tests that record what they have proven."""
    done = subprocess.run([sys.executable, "-c", LISTING], cwd=ROOT, capture_output=True, text=True, check=True)
    return {line.removeprefix("RECORDS ") for line in done.stdout.splitlines() if line.startswith("RECORDS ")}


def unfounded(claims: Claims, golden: Mapping[str, tuple[str, str]], tests: set[str]) -> list[str]:
    """What is claimed and neither a golden case of this system and source nor a test that records."""
    problems = []
    for system, sources in claims.items():
        if system not in {known.key for known in SYSTEMS}:
            problems.append(f"{system} is no system")
        for source, found in sources.items():
            here = f"{system}, {source}"
            problems += [f"{here}: no cases"] if not found.cases else []
            problems += [f"{here}: beyond its tolerance"] if not 0 <= found.share <= 1 else []
            strange = [name for name in found.cases if golden.get(name) != (system, source) and name not in tests]
            problems += [f"{here}: {name} is no case of it" for name in strange]
            problems += [f"{here}: a case counts twice"] if len(set(found.cases)) < len(found.cases) else []
    return problems


def proof(*cases: str, share: float = 0.5) -> Evidence:
    return Evidence(cases=cases, deviation=1e-5, share=share, date="2030-01-01")


def test_the_zoo_claims_what_tests_show() -> None:
    assert FILE.exists(), "`make parity` writes it"
    assert set(load_parity(FILE)) <= {system.key for system in SYSTEMS}
    if not case_names():
        pytest.skip(f"NO GOLDEN CASES: there are none in {GOLDEN}; CVZOO_GOLDEN names another folder")
    claims = load_parity(FILE)
    assert claims
    others = {name for own in claims.values() for found in own.values() for name in found.cases} - set(case_names())
    assert unfounded(claims, golden_cases(), side_by_side_cases() if others else set()) == []


@pytest.mark.parametrize(
    ("claims", "problem"),
    [
        ({"retinanet": {"detectron2": proof("retinanet/a", "retinanet/made_up")}}, "retinanet/made_up is no case"),
        ({"retinanet": {"mmdetection": proof("retinanet/a")}}, "retinanet/a is no case"),
        ({"fcos": {"detectron2": proof("retinanet/a")}}, "retinanet/a is no case"),
        ({"retinanet": {"torchvision": proof("test_x.py::test_y")}}, "test_x.py::test_y is no case"),
        ({"retinanet": {"detectron2": proof("retinanet/a", "retinanet/a")}}, "counts twice"),
        ({"retinanet": {"detectron2": proof("retinanet/a", share=1.5)}}, "beyond its tolerance"),
        ({"retinanet": {"detectron2": proof()}}, "no cases"),
        ({"retinoblastoma": {}}, "is no system"),
    ],
)
def test_made_up_claims_are_found(claims: Claims, problem: str) -> None:
    (found,) = unfounded(claims, {"retinanet/a": ("retinanet", "detectron2")}, {"test_x.py::test_z"})
    assert problem in found


def test_what_is_proven_may_be_claimed() -> None:
    claims = {"retinanet": {"detectron2": proof("retinanet/a"), "torchvision": proof("test_x.py::test_z")}}
    assert unfounded(claims, {"retinanet/a": ("retinanet", "detectron2")}, {"test_x.py::test_z"}) == []


def test_golden_tests_record() -> None:
    if not case_names():
        pytest.skip(f"NO GOLDEN CASES: there are none in {GOLDEN}; CVZOO_GOLDEN names another folder")
    names = side_by_side_cases()
    assert any("::test_golden_case[" in name for name in names)
    assert not any("test_evidence" in name for name in names)


def test_records_become_a_file_that_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "zoo" / "parity.json"
    records = [
        evidence.recorded("retinanet/b", "retinanet", "detectron2", deviation=1e-6, share=0.9),
        evidence.recorded("retinanet/a", "retinanet", "detectron2", deviation=2e-5, share=0.1),
        evidence.recorded("test_x.py::test_z", "retinanet", "torchvision", deviation=0.0, share=0.0),
        evidence.recorded("atss/a", "atss", "mmdetection", deviation=3e-5, share=0.3),
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
    evidence.write(tmp_path / "zoo" / "parity.json", [evidence.recorded("a/b", "atss", "mmdetection", 1e-5, 0.2)])
    assert list(load_parity()) == ["atss"]
