"""Distances on surfaces: against great circles on a sphere, which no mesh was asked for."""

from __future__ import annotations

import numpy as np
import pytest
from metrics.sphere import PARTS, sphere

from cvzoo.metrics.geometry import FlatGeometry


def places(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.integers(1, PARTS + 1, count), rng.random((count, 2))


def test_shortest_ways_over_a_closed_mesh_are_arcs_of_great_circles() -> None:
    """Dijkstra's way along edges is longer than the arc, by a few percent on a fine mesh; places are off by an edge."""
    mesh = sphere(steps=8)
    rng = np.random.default_rng(0)
    parts, uv = places(rng, 60)
    found, found_uv = places(rng, 240)
    apart = mesh.geometry.distances(parts, uv, found.reshape(4, 60), found_uv.reshape(4, 60, 2))
    arcs = mesh.arcs(parts, uv, found.reshape(4, 60), found_uv.reshape(4, 60, 2))
    assert apart.shape == (4, 60)
    assert (apart > arcs - 2 * mesh.edge).all()
    assert (apart < 1.1 * arcs + 2 * mesh.edge).all()
    assert np.corrcoef(apart.ravel(), arcs.ravel())[0, 1] > 0.99


def test_a_way_leads_over_seams() -> None:
    """Two parts meet at an edge: places on both sides of it are near, and the seam's own vertices are one place."""
    mesh = sphere(steps=8)
    one, other = np.array([[1.0, 0.5]]), np.array([[0.0, 0.5]])
    assert mesh.geometry.distances(np.array([1]), one, np.array([[2]]), other[None])[0, 0] <= 2 * mesh.edge


def test_it_is_symmetric_and_zero_only_at_the_place_itself() -> None:
    mesh = sphere(steps=8)
    rng = np.random.default_rng(1)
    parts, uv = places(rng, 50)
    found, found_uv = places(rng, 50)
    there = mesh.geometry.distances(parts, uv, found[None], found_uv[None])[0]
    back = mesh.geometry.distances(found, found_uv, parts[None], uv[None])[0]
    assert np.array_equal(there, back)
    assert (mesh.geometry.distances(parts, uv, parts[None], uv[None]) == 0).all()


def test_no_part_is_infinitely_far() -> None:
    for geometry in (sphere(steps=4).geometry, FlatGeometry()):
        apart = geometry.distances(np.array([1, 2]), np.zeros((2, 2)), np.array([[0, 2]]), np.zeros((1, 2, 2)))
        assert apart.tolist() == [[np.inf, 0]]


def test_flat_parts() -> None:
    uv = np.array([[0.2, 0.3]])
    found = np.array([[[0.5, 0.7]], [[0.2, 0.3]], [[0.2, 0.3]]])
    apart = FlatGeometry().distances(np.array([4]), uv, np.array([[4], [4], [5]]), found)
    assert apart[:, 0].tolist() == [pytest.approx(0.5), 0, np.inf]


def test_a_place_is_the_nearest_vertex_of_its_part() -> None:
    mesh = sphere(steps=6)
    parts, uv = places(np.random.default_rng(2), 300)
    found = mesh.geometry.places(np.append(parts, 0), np.append(uv, [[0.5, 0.5]], axis=0))
    assert found[-1] == -1
    apart = np.linalg.norm(uv[:, None] - mesh.geometry.uv_V2, axis=-1)
    apart[parts[:, None] != mesh.geometry.parts_V] = np.inf
    assert np.array_equal(found[:-1], mesh.geometry.places_V[apart.argmin(1)])
