"""Files are whole or absent, and JSON that was written reads back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cvzoo.files import atomic, write_json


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    writing = atomic(path)
    writing.__enter__().write_text("ne")
    writing.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert path.read_text() == "old"


def test_what_goes_wrong_elsewhere_meanwhile_is_not_blamed_on_the_disk(tmp_path: Path) -> None:
    """torch says that a loader worker has died in whatever the program is at."""
    error = RuntimeError("DataLoader worker (pid 1) is killed by signal: Killed.")
    writing = atomic(tmp_path / "file")
    writing.__enter__().write_text("ne")
    assert writing.__exit__(RuntimeError, error, None) is False  # the error goes on as it is
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"x": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"x": float("nan")})
    assert json.loads(path.read_text()) == {"x": 1}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "values", [{}, [], {"a": []}, {"a": {"b": {"c": [1, {"d": None}]}}, "e": [{"f": 1}, {"g": [2]}]}]
)
def test_written_json_reads_back(tmp_path: Path, values: Any) -> None:
    write_json(tmp_path / "a.json", values)
    assert json.loads((tmp_path / "a.json").read_text()) == values
