"""Every golden case of a system of the zoo, built from its case.json alone and loaded through the importer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from parity import evidence
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


@pytest.mark.parametrize("name", CASES)
def test_golden_case(name: str, record_property: Callable[[str, Any], None]) -> None:
    folder = name.split("/")[0]
    if folder not in RUNNERS:
        pytest.skip(f"the zoo has no system yet for the cases of {folder}")
    system, golden = RUNNERS[folder]
    case = load_case(name)
    report = golden.run(case)
    report.finish()
    unread = [option for part in ("options", "model") if part in case.info for option in case.info[part].unread()]
    assert not unread, f"{name} states options that nobody reads: {unread}"
    proven = evidence.recorded(name, system, golden.source, report.deviation, report.share)
    record_property(evidence.KEY, proven)
