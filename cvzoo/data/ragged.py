"""Rows of unequal lengths in two flat arrays, which can lie in a file and be shared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

BLOCK = 4096
"""Rows that are moved at a time, so that their places stay in the processor's cache."""


@dataclass(frozen=True)
class Ragged:
    """Row n is values[edges[n]:edges[n + 1]]."""

    values: np.ndarray
    edges: np.ndarray
    """(N + 1,) int64."""

    def __len__(self) -> int:
        return len(self.edges) - 1

    def __getitem__(self, row: int) -> np.ndarray:
        """A view of a row."""
        return self.values[self.edges[row] : self.edges[row + 1]]

    def take(self, rows: np.ndarray) -> Ragged:
        """These rows, in this order."""
        lengths = np.diff(self.edges)[rows]
        edges, firsts = edges_of(lengths), self.edges[rows]
        if np.array_equal(firsts[1:], (firsts + lengths)[:-1]):  # they lie one after the other already
            first = firsts[0] if len(rows) else 0
            return Ragged(self.values[first : first + edges[-1]], edges)
        values = np.empty(edges[-1], self.values.dtype)
        for start in range(0, len(rows), BLOCK):
            end = min(start + BLOCK, len(rows))
            shifts = self.edges[rows[start:end]] - edges[start:end]
            places = np.arange(edges[start], edges[end]) + np.repeat(shifts, lengths[start:end])
            values[edges[start] : edges[end]] = self.values[places]
        return Ragged(values, edges)


def edges_of(lengths: Sequence[int] | np.ndarray) -> np.ndarray:
    """(N + 1,) int64: where rows of these lengths begin and end."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def ragged(rows: Sequence[np.ndarray], dtype: type[np.generic]) -> Ragged:
    """The rows as one."""
    return Ragged(np.concatenate([np.zeros(0, dtype), *rows]), edges_of([len(row) for row in rows]))


def ragged_text(rows: Sequence[str]) -> Ragged:
    """Each row a text in UTF-8; half a surrogate, which JSON may hold, is kept."""
    return ragged_bytes([text.encode(errors="surrogatepass") for text in rows])


def ragged_bytes(rows: Sequence[bytes]) -> Ragged:
    """uint8."""
    return Ragged(np.frombuffer(b"".join(rows), np.uint8), edges_of([len(row) for row in rows]))


def text(row: np.ndarray) -> str:
    """What `ragged_text` has packed."""
    return row.tobytes().decode(errors="surrogatepass")


def texts(rows: Ragged) -> list[str]:
    """All that `ragged_text` has packed."""
    content, edges = rows.values.tobytes(), rows.edges.tolist()
    return [content[start:end].decode(errors="surrogatepass") for start, end in pairwise(edges)]


def joined(parts: Sequence[Ragged]) -> Ragged:
    """The rows of all parts, at least one."""
    if len(parts) == 1:
        return parts[0]
    return Ragged(
        np.concatenate([part.values for part in parts]),
        edges_of(np.concatenate([np.diff(part.edges) for part in parts])),
    )


def rearranged(parts: list[Ragged], order: np.ndarray) -> Ragged:
    """The rows of all parts, at least one, in another order, a permutation; empties `parts` as it goes on, as all might
    not fit into memory twice."""
    edges = edges_of(np.concatenate([np.diff(part.edges) for part in parts])[order])
    starts = np.empty_like(order)  # of each row in the new order
    starts[order] = edges[:-1]
    values = np.empty(edges[-1], parts[0].values.dtype)
    while parts:
        part = parts.pop(0)
        shifts, starts = starts[: len(part)] - part.edges[:-1], starts[len(part) :]
        for rows in (slice(first, first + BLOCK) for first in range(0, len(part), BLOCK)):
            own = part.edges[rows.start : rows.stop + 1]
            places = np.arange(own[0], own[-1]) + np.repeat(shifts[rows], np.diff(own))
            values[places] = part.values[own[0] : own[-1]]
    return Ragged(values, edges)
