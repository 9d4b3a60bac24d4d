"""The files that describe COCO's body, which the user names a folder of: their licence forbids us to ship them.

They come from the authors of DensePose (1802.00434) and derive from SMPL. Nothing in them is run.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cvzoo.unpickle import ArrayUnpickler

SITE = "https://dl.fbaipublicfiles.com/densepose/data/"
UV_FILE = "SMPL_subdiv.mat"
TRANSFORM_FILE = "SMPL_SUBDIV_TRANSFORM.mat"
DISTANCE_FILE = "Pdist_matrix.pkl"
SYMMETRY_FILE = "UV_symmetry_transforms.mat"
MESH_FILES = (UV_FILE, TRANSFORM_FILE, DISTANCE_FILE)
"""What the evaluation reads."""
SYMMETRY_FILES = (SYMMETRY_FILE,)
"""What a horizontal flip in training reads."""


@dataclass(frozen=True)
class Body:
    """The body's surface as a mesh. Vertices on seams of charts occur once for each chart."""

    parts_V: np.ndarray
    """(V,) int64: the part of each vertex, 1..24."""
    uv_V2: np.ndarray
    """(V, 2) float64: its U and V."""
    places_V: np.ndarray
    """(V,) int64: where on the surface it lies, as a number of `distances`."""
    distances: np.ndarray
    """float: the geodesic distance between places i > j, at i (i - 1) / 2 + j."""


def missing(folder: Path, names: tuple[str, ...], why: str) -> list[str]:
    """What to say of the files that are not there: nothing where all are."""
    absent = [name for name in names if not (folder / name).is_file()]
    if not absent:
        return []
    sources = ", ".join(f"{SITE}{name}" for name in absent)
    return [f"{why} needs {', '.join(absent)} in {folder} (data.smpl); get {sources}. They are not free to pass on"]


def read_body(folder: Path) -> Body:
    """The mesh with its distances. ValueError when a file is missing, or is not what it should be."""
    _require(folder, MESH_FILES, "the evaluation of surfaces")
    chart = _read_mat(folder / UV_FILE, ("U_subdiv", "V_subdiv", "Part_ID_subdiv"))
    index = _read_mat(folder / TRANSFORM_FILE, ("index",))["index"]
    distances = _read_distances(folder / DISTANCE_FILE)
    body = Body(
        parts_V=chart["Part_ID_subdiv"].ravel().astype(np.int64),
        uv_V2=np.stack([chart["U_subdiv"].ravel(), chart["V_subdiv"].ravel()], 1).astype(np.float64),
        places_V=index.ravel().astype(np.int64) - 1,
        distances=distances,
    )
    places = round((1 + (1 + 8 * len(distances)) ** 0.5) / 2)
    sound = len(body.parts_V) == len(body.uv_V2) == len(body.places_V) and places * (places - 1) // 2 == len(distances)
    if not sound or body.places_V.min() < 0 or body.places_V.max() >= places:
        raise ValueError(f"{', '.join(MESH_FILES)} in {folder} do not belong together; get them again")
    return body


def read_symmetry(folder: Path) -> np.ndarray:
    """(24, 2, 256, 256) float32: of each part what U and V become in a mirrored image, at [255 V, 255 U].

    ValueError when the file is missing, or is not what it should be.
    """
    _require(folder, SYMMETRY_FILES, "a horizontal flip of surfaces")
    names = ("U_transforms", "V_transforms")
    found = _read_mat(folder / SYMMETRY_FILE, names)
    tables = [[np.asarray(table, np.float32) for table in found[name].ravel()] for name in names]
    if any(len(own) != 24 or any(table.shape != (256, 256) for table in own) for own in tables):
        raise ValueError(f"{folder / SYMMETRY_FILE} should hold 24 tables of 256 x 256 for U and for V; get it again")
    return np.array(tables).swapaxes(0, 1)


def _require(folder: Path, names: tuple[str, ...], why: str) -> None:
    problems = missing(folder, names, why)
    if problems:
        raise ValueError(problems[0])


def _read_mat(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """These variables of a MATLAB file."""
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise ValueError(f"reading {path} needs scipy: pip install 'cvzoo[dense-pose]'") from error
    try:
        found = loadmat(path, variable_names=names)
    except Exception as error:  # whatever a damaged file's bytes lead to
        raise ValueError(f"{path} cannot be read as a MATLAB file ({error}); get it again") from error
    absent = [name for name in names if name not in found]
    if absent:
        raise ValueError(f"{path} has no {', '.join(absent)}; get it again")
    return found


def _read_distances(path: Path) -> np.ndarray:
    """The distances of all pairs, one after the other."""

    def refuse(asked: str) -> Exception:
        return ValueError(f"{path} asks for {asked}, which distances do not need; nothing of it was run. Get it again")

    try:
        with path.open("rb") as file:
            content: Any = ArrayUnpickler(file, refuse).load()
        distances = content["Pdist_matrix"]
        assert isinstance(distances, np.ndarray)
        assert distances.dtype.kind == "f"
    except ValueError:
        raise
    except Exception as error:  # whatever a damaged file's bytes lead to
        raise ValueError(f"{path} cannot be read as a pickle of distances ({error}); get it again") from error
    return distances.reshape(-1)
