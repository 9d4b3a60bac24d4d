"""Spoilt files and numbers are read or refused, and never end in a traceback; benchmarks/fuzz.py tries many more."""

from pathlib import Path

import pytest
from fuzzing.readers import READERS, campaign

EXAMPLES = {"number": 10, "recipe.json": 40}
"""Where one takes long."""


@pytest.mark.parametrize("name", READERS)
def test_reads_or_refuses(name: str, tmp_path: Path) -> None:
    counts = campaign(READERS[name], EXAMPLES.get(name, 60), tmp_path)
    assert counts["refused"]
