"""A closed mesh in charts, small enough to reckon all its shortest ways: a cube blown up to a sphere, a part a face."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from cvzoo.metrics.geometry import MeshGeometry

PARTS = 6


@dataclass(frozen=True)
class Sphere:
    geometry: MeshGeometry
    edge: float
    """The longest."""

    def arcs(self, parts: np.ndarray, uv: np.ndarray, found: np.ndarray, found_uv: np.ndarray) -> np.ndarray:
        """Exact distances on the sphere, of radius 1."""
        one = on_sphere(parts, uv)
        other = on_sphere(found.ravel(), found_uv.reshape(-1, 2)).reshape(*found.shape, 3)
        return np.arccos(np.clip((one * other).sum(-1), -1, 1))


def on_sphere(parts: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """(N, 3): faces 1 to 4 go round, 5 and 6 lie above and below."""
    a, b = (2 * uv - 1).T
    one = np.ones_like(a)
    faces = [(one, a, b), (-a, one, b), (-one, -a, b), (a, -one, b), (-b, a, one), (b, a, -one)]
    cube = np.array([np.stack(face, 1) for face in faces])[parts - 1, np.arange(len(parts))]
    return cube / np.linalg.norm(cube, axis=1, keepdims=True)


@lru_cache
def sphere(steps: int) -> Sphere:
    """Each face in `steps` x `steps` squares, each with both diagonals."""
    row, column = np.divmod(np.arange((steps + 1) ** 2), steps + 1)
    uv = np.tile(np.stack([column, row], 1) / steps, (PARTS, 1))
    parts = np.repeat(np.arange(1, PARTS + 1), (steps + 1) ** 2)
    xyz = on_sphere(parts, uv)
    corners, places = np.unique(xyz.round(6), axis=0, return_inverse=True)
    places = places.reshape(-1)
    ways: list[dict[int, float]] = [{} for _ in corners]
    for face in range(PARTS):
        grid = places.reshape(PARTS, steps + 1, steps + 1)[face]
        sides = [(grid[:-1], grid[1:]), (grid[:, :-1], grid[:, 1:])]
        for starts, ends in (*sides, (grid[:-1, :-1], grid[1:, 1:]), (grid[:-1, 1:], grid[1:, :-1])):
            for start, end in zip(starts.ravel().tolist(), ends.ravel().tolist()):
                ways[start][end] = ways[end][start] = math.dist(corners[start], corners[end])
    between = np.concatenate([_shortest(ways, place)[:place] for place in range(len(corners))])
    longest = max(length for own in ways for length in own.values())
    return Sphere(MeshGeometry(parts, uv, places, between), longest)


def _shortest(ways: list[dict[int, float]], start: int) -> np.ndarray:
    """Dijkstra's algorithm."""
    length = np.full(len(ways), np.inf)
    queue = [(0.0, start)]
    while queue:
        far, place = heapq.heappop(queue)
        if far < length[place]:
            length[place] = far
            for other, step in ways[place].items():
                heapq.heappush(queue, (far + step, other))
    return length
