"""Files are whole or absent, and JSON that was written reads back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cvzoo.files import SaveError, atomic, write_json


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    writing = atomic(path)
    writing.__enter__().write_text("ne")
    writing.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_writers_at_once_do_not_mix_and_the_last_one_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    first, second = atomic(path), atomic(path)
    one, other = first.__enter__(), second.__enter__()
    assert one != other
    one.write_text("first")
    other.write_text("second")
    first.__exit__(None, None, None)
    third = atomic(path)  # while the second still writes
    third.__enter__().write_text("third")
    second.__exit__(None, None, None)
    assert path.read_text() == "second"
    third.__exit__(None, None, None)
    assert path.read_text() == "third"
    assert list(tmp_path.iterdir()) == [path]


WRITER = """
import sys
from pathlib import Path
from cvzoo.files import atomic
for _ in range(40):
    with atomic(Path(sys.argv[1])) as temporary:
        temporary.write_text(sys.argv[2] * 10_000)
"""


def test_processes_at_once_leave_whole_files(tmp_path: Path) -> None:
    path = tmp_path / "file"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), letter]) for letter in "abc"]
    while any(writer.poll() is None for writer in writers):
        if path.exists():
            text = path.read_text()
            assert text == text[:1] * 10_000
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_has_left_is_taken_again(tmp_path: Path) -> None:
    (tmp_path / "file.tmp").write_text("the beginning of something long")
    with atomic(tmp_path / "file") as temporary:
        assert temporary == tmp_path / "file.tmp"
        assert temporary.read_text() == ""
        temporary.write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


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


def test_missing_folders_are_made_and_no_disk_is_blamed_for_a_place(tmp_path: Path) -> None:
    write_json(tmp_path / "new/folder/file.json", [1])
    assert json.loads((tmp_path / "new/folder/file.json").read_text()) == [1]
    with pytest.raises(SaveError, match=r"nothing was written\. Choose another place, then repeat"):
        write_json(tmp_path / "new/folder/file.json/within.json", [2])


def test_files_have_the_mode_that_the_umask_leaves(tmp_path: Path) -> None:
    """Also where somebody else writes them, who makes them private, as safetensors does."""
    with atomic(tmp_path / "file") as temporary:
        temporary.unlink()
        temporary.touch(0o600)
    (tmp_path / "plain").touch()
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode
