"""Nothing here reaches the net or writes to the user's cache."""

import os
from pathlib import Path

import pytest

GOLDEN = Path(os.environ.get("CVZOO_GOLDEN", Path(__file__).parents[3] / "shared" / "golden"))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CVZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CVZOO_MIRROR", raising=False)


@pytest.fixture
def golden():
    if not GOLDEN.exists():
        pytest.skip(f"{GOLDEN} is absent; set CVZOO_GOLDEN")
    return GOLDEN
