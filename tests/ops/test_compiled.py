"""Loops compiled by Numba."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

import pytest
from numba.core import config

from cvzoo.ops.compiled import compiled


def loop(kept_in: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], int]:
    """A function of its own, not yet compiled."""
    monkeypatch.setattr(config, "CACHE_DIR", str(kept_in))

    @compiled
    def doubled(number: int) -> int:
        return 2 * number

    return doubled


def test_what_is_compiled_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert loop(tmp_path, monkeypatch)(4) == 8
    (kept,) = tmp_path.rglob("*.nbc")
    written = kept.stat().st_mtime_ns
    assert loop(tmp_path, monkeypatch)(5) == 10
    assert kept.stat().st_mtime_ns == written


def test_on_a_full_disk_it_runs_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))  # refused as on a full disk
    try:
        assert loop(tmp_path, monkeypatch)(4) == 8
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def test_where_no_folder_can_be_written_to() -> None:
    """Numba finds none for a function that is in no file."""
    namespace: dict[str, Callable[[int], int]] = {}
    exec("def twice(x):\n    return 2 * x", namespace)
    assert compiled(namespace["twice"])(21) == 42
