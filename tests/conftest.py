"""Settings of every test: one thread each (pytest-xdist fills the cores), fixed seeds, no network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings
from parity import evidence
from parity.golden import GOLDEN, case_names

os.environ.setdefault("HF_HUB_OFFLINE", "1")
torch.set_num_threads(1)
settings.register_profile("seeded", derandomize=True, deadline=None)  # other examples: benchmarks/fuzz.py
settings.load_profile("seeded")
PROVEN: list[dict[str, Any]] = []
"""What the tests of this run have recorded for zoo/parity.json."""


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in the temporary folder, so that row files land there and not in the repository."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is downloaded to the user's cache, nor taken from there."""
    monkeypatch.setenv("CVZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CVZOO_MIRROR", raising=False)


@pytest.fixture
def golden() -> Path:
    """The folder of golden cases and manifests."""
    if not GOLDEN.exists():
        pytest.skip(f"{GOLDEN} is absent; set CVZOO_GOLDEN")
    return GOLDEN


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--parity", type=Path, help="write what the parity tests have proven to this file")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and report.passed:
        PROVEN.extend(value for name, value in report.user_properties if name == evidence.KEY)  # type: ignore[misc]


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    path = session.config.getoption("--parity")
    if path is not None and exitstatus == 0 and not hasattr(session.config, "workerinput"):
        evidence.write(path, PROVEN)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not case_names():
        terminalreporter.write_line(f"NO GOLDEN CASES RAN: there are none in {GOLDEN} (CVZOO_GOLDEN)", yellow=True)
