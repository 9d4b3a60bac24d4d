"""Every golden case of a system of the zoo, built from its case.json alone and loaded through the importer."""

from __future__ import annotations

from typing import Any

import pytest
from parity.evidence import proves, record
from parity.golden import GOLDEN, case_names, load_case
from zoo.systems import FACTS

OPERATORS = ("ops", "ops_mmlab", "ops_tree_filter")
"""Other tests run these."""
RUNNERS = {folder: (key, golden) for key, facts in FACTS.items() for folder, golden in facts.GOLDEN.items()}
"""By folder: the system, the reference and how a case is compared."""
CASES = [name for name in case_names() if name.split("/")[0] not in OPERATORS]


def test_the_golden_cases_are_there() -> None:
    if not CASES:
        pytest.skip(f"NO GOLDEN CASES: there are none in {GOLDEN}; CVZOO_GOLDEN names another folder")


def marked(name: str) -> Any:
    """A case marked as what it proves; of a system that the zoo does not have yet, as nothing."""
    system, golden = RUNNERS.get(name.split("/")[0], (None, None))
    return pytest.param(name, marks=[proves(system, golden.source)] if system and golden else [])


@pytest.mark.parametrize("golden_case", [marked(name) for name in CASES])
def test_golden_case(golden_case: str, request: pytest.FixtureRequest) -> None:
    folder = golden_case.split("/")[0]
    if folder not in RUNNERS:
        pytest.skip(f"the zoo has no system yet for the cases of {folder}")
    case = load_case(golden_case)
    report = RUNNERS[folder][1].run(case)
    record(request.node, report)
    unread = [option for part in ("options", "model") if part in case.info for option in case.info[part].unread()]
    assert not unread, f"{golden_case} states options that nobody reads: {unread}"
