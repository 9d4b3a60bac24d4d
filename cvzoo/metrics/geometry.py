"""Distances between places on a surface, given by part, U and V. P true points, D detections of them, V vertices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol

import numpy as np


class Geometry(Protocol):
    """A surface that consists of parts."""

    def distances(self, parts_P: np.ndarray, uv_P2: np.ndarray, found_DP: np.ndarray, uv_DP2: np.ndarray) -> np.ndarray:
        """(D, P) float64: how far each found place is from the true one; infinitely where the found part is 0."""
        ...


class FlatGeometry:
    """Each part is a flat square with sides of 1; another part is infinitely far."""

    def distances(self, parts_P: np.ndarray, uv_P2: np.ndarray, found_DP: np.ndarray, uv_DP2: np.ndarray) -> np.ndarray:
        apart_DP = np.sqrt(((uv_DP2 - uv_P2) ** 2).sum(-1))
        return np.where(found_DP == parts_P, apart_DP, np.inf)


@dataclass(frozen=True)
class MeshGeometry:
    """A mesh: a place is taken to be the vertex of its part that is nearest in U and V."""

    parts_V: np.ndarray
    """(V,) int64: the part of each vertex, from 1."""
    uv_V2: np.ndarray
    """(V, 2) float64."""
    places_V: np.ndarray
    """(V,) int64: where a vertex lies; those of several parts on a seam share a place."""
    between: np.ndarray
    """The geodesic distance of places i > j at i (i - 1) / 2 + j, all pairs in one row."""

    def distances(self, parts_P: np.ndarray, uv_P2: np.ndarray, found_DP: np.ndarray, uv_DP2: np.ndarray) -> np.ndarray:
        true_P, found = self.places(parts_P, uv_P2), self.places(found_DP.ravel(), uv_DP2.reshape(-1, 2))
        true_DP, found_DP = np.broadcast_arrays(true_P, found.reshape(found_DP.shape))
        far, near = np.maximum(true_DP, found_DP), np.minimum(true_DP, found_DP)
        known = (far != near) & (near >= 0)
        apart_DP = np.zeros(found_DP.shape)
        apart_DP[known] = self.between[far[known] * (far[known] - 1) // 2 + near[known]]
        apart_DP[near < 0] = np.inf
        return apart_DP

    @cached_property
    def _vertices(self) -> list[np.ndarray]:
        """Those of each part, by its number."""
        return [np.flatnonzero(self.parts_V == part) for part in range(self.parts_V.max() + 1)]

    def places(self, parts_N: np.ndarray, uv_N2: np.ndarray) -> np.ndarray:
        """(N,) int64: the place of each point; -1 where its part is 0."""
        places = np.full(len(parts_N), -1)
        for part in np.unique(parts_N[parts_N > 0]):
            own, vertices = np.flatnonzero(parts_N == part), self._vertices[part]
            places[own] = self.places_V[vertices[_nearest()(uv_N2[own], self.uv_V2[vertices])]]
        return places


@lru_cache
def _nearest() -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Compiled when first asked for: an evaluation asks for billions of distances."""
    import numba

    return numba.njit(nogil=True)(_nearest_in_turn)


def _nearest_in_turn(points_N2: np.ndarray, vertices_V2: np.ndarray) -> np.ndarray:
    """(N,) int64: which vertex is nearest to each point, the first of equally near ones."""
    found_N = np.zeros(len(points_N2), np.int64)
    for point in range(len(points_N2)):
        nearest = np.inf
        for vertex in range(len(vertices_V2)):
            u = points_N2[point, 0] - vertices_V2[vertex, 0]
            v = points_N2[point, 1] - vertices_V2[vertex, 1]
            if u * u + v * v < nearest:
                nearest = u * u + v * v
                found_N[point] = vertex
    return found_N
