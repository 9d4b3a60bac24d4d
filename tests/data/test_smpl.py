"""The files that describe COCO's body: read where they are sound, and asked for by name and place where not."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from data.body import PLACES, VERTICES, write_body

from cvzoo.data.smpl import DISTANCE_FILE, MESH_FILES, SYMMETRY_FILE, UV_FILE, read_body, read_symmetry


class Command:
    """What a pickle must not run."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("run",)


def test_a_body(tmp_path: Path) -> None:
    distances = write_body(tmp_path)
    body = read_body(tmp_path)
    assert body.parts_V.tolist() == [number % 24 + 1 for number in range(VERTICES)]
    assert body.uv_V2.shape == (VERTICES, 2)
    assert body.places_V[:PLACES].tolist() == list(range(PLACES))
    assert body.distances[7 * 6 // 2 + 3] == distances[7, 3]
    tables = read_symmetry(tmp_path)
    assert tables.shape == (24, 2, 256, 256)
    assert tables[3, :, 51, 204].tolist() == pytest.approx([0.2, 0.2])


def test_missing_files_are_named_with_their_addresses(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"needs {', '.join(MESH_FILES)} in {tmp_path}") as caught:
        read_body(tmp_path)
    for name in MESH_FILES:
        assert f"https://dl.fbaipublicfiles.com/densepose/data/{name}" in str(caught.value)
    write_body(tmp_path)
    (tmp_path / UV_FILE).unlink()
    with pytest.raises(ValueError, match=f"needs {UV_FILE} in"):
        read_body(tmp_path)


def test_damaged_files(tmp_path: Path) -> None:
    write_body(tmp_path)
    (tmp_path / SYMMETRY_FILE).write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match=f"{SYMMETRY_FILE} cannot be read as a MATLAB file"):
        read_symmetry(tmp_path)
    (tmp_path / DISTANCE_FILE).write_bytes(b"\x80\x02cut off")
    with pytest.raises(ValueError, match=f"{DISTANCE_FILE} cannot be read as a pickle of distances"):
        read_body(tmp_path)


def test_files_of_different_bodies(tmp_path: Path) -> None:
    write_body(tmp_path)
    (tmp_path / DISTANCE_FILE).write_bytes(pickle.dumps({"Pdist_matrix": np.ones((30, 1))}))
    with pytest.raises(ValueError, match="do not belong together"):
        read_body(tmp_path)
    (tmp_path / UV_FILE).write_bytes((tmp_path / SYMMETRY_FILE).read_bytes())
    with pytest.raises(ValueError, match=f"{UV_FILE} has no U_subdiv"):
        read_body(tmp_path)


def test_nothing_of_a_pickle_is_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_body(tmp_path)
    (tmp_path / DISTANCE_FILE).write_bytes(pickle.dumps({"Pdist_matrix": Command()}))
    with pytest.raises(ValueError, match=r"asks for \w+\.print, which distances do not need"):
        read_body(tmp_path)
    assert not capsys.readouterr().out
