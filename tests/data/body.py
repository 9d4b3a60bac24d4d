"""Files like those that describe COCO's body, of a body of 60 vertices."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from cvzoo.data.smpl import DISTANCE_FILE, SYMMETRY_FILE, TRANSFORM_FILE, UV_FILE

VERTICES, PLACES = 60, 50


def write_body(folder: Path) -> np.ndarray:
    """Write all four; returns (50, 50) distances."""
    savemat = pytest.importorskip("scipy.io", reason="MATLAB files need scipy (extra dev)").savemat

    rng = np.random.default_rng(0)
    parts = np.arange(VERTICES) % 24 + 1
    uv = rng.random((VERTICES, 2))
    chart = {"U_subdiv": uv[:, :1], "V_subdiv": uv[:, 1:], "Part_ID_subdiv": parts[:, None].astype(np.uint8)}
    savemat(folder / UV_FILE, chart, do_compression=True)
    places = np.concatenate([np.arange(PLACES), rng.integers(0, PLACES, VERTICES - PLACES)])
    savemat(folder / TRANSFORM_FILE, {"index": (places + 1)[None].astype(np.uint16)})
    xyz = rng.random((PLACES, 3))
    distances = np.linalg.norm(xyz[:, None] - xyz, axis=-1)
    condensed = distances[np.tril_indices(PLACES, -1)][:, None]
    (folder / DISTANCE_FILE).write_bytes(pickle.dumps({"Pdist_matrix": condensed}, protocol=2))
    v, u = np.mgrid[:256, :256] / 255
    tables = np.empty((2, 1, 24), object)
    for part in range(24):
        tables[0, 0, part], tables[1, 0, part] = 1 - u, v
    savemat(folder / SYMMETRY_FILE, {"U_transforms": tables[0], "V_transforms": tables[1]})
    return distances
