"""What there is to know of images and their label maps before a training: sizes, and the numbers of the pixels.

To see it every label map is decoded, of images only the header. What was sound is kept in the cache, and a pair of
files is looked at again when the size or a time of one has changed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from cvzoo.data.annotation_cache import Stored, is_settled, place_named, state_of
from cvzoo.data.images import read_numbers, read_size
from cvzoo.data.pairs import Pair
from cvzoo.data.problems import DataError, Problem
from cvzoo.data.ragged import Ragged, ragged, ragged_text, texts
from cvzoo.structures import Size

Read = TypeVar("Read")
_States = tuple[list[int], list[int]]
"""Of an image and of its label map, see `state_of`."""


@dataclass(frozen=True)
class Look:
    """An image and its label map; the rest counts only where there is no problem."""

    problems: list[Problem]
    size: Size
    numbers: np.ndarray
    """Int64 numbers that occur in the label map, ascending ..."""
    counts: np.ndarray
    """... and the pixels of each."""


def look_at(pairs: Sequence[Pair], measure: Callable[[Path], Size] = read_size) -> list[Look]:
    """A look at every pair; `measure` gives the size of an image, and what it raises is a problem of the image."""
    with ThreadPoolExecutor() as pool:  # decoding leaves Python's lock, so threads serve
        return list(pool.map(lambda pair: _look(pair, measure), pairs))


def recall_or_look(pairs: Sequence[Pair], *split: str) -> list[Look]:
    """The same, taken from the cache of this split for files that are as they were then."""
    with ThreadPoolExecutor() as pool:
        states = list(pool.map(_states, pairs))

    def is_complete(found: Stored) -> bool:
        return all(_recalled(found, pairs, states))

    with place_named("label-maps", *split, complete=is_complete) as place:
        known = _recalled(place.found, pairs, states) if place.found is not None else [None] * len(pairs)
        looked = iter(look_at([pair for pair, look in zip(pairs, known) if look is None]))
        looks = [next(looked) if look is None else look for look in known]
        place.keep(_flat(_lasting(pairs, states, looks)), {})
    return looks


def _look(pair: Pair, measure: Callable[[Path], Size]) -> Look:
    problems: list[Problem] = []
    size = _attempt(measure, pair.image, "the image is missing", problems)
    numbers = _attempt(read_numbers, pair.label_map, f"the label map of {pair.image} is missing", problems)
    if size is not None and numbers is not None and numbers.shape != size:
        problems.append(other_size(pair, numbers, size))
    return Look(problems, size or (0, 0), *_histogram(np.zeros(0, np.uint8) if numbers is None else numbers))


def other_size(pair: Pair, numbers: np.ndarray, size: Size) -> Problem:
    """The label map is not of its image's size."""
    height, width = numbers.shape
    reason = f"is {width} x {height} pixels, but its image {pair.image} is {size[1]} x {size[0]} once upright"
    return Problem(pair.label_map, reason, "give both the same size")


def _attempt(read: Callable[[Path], Read], file: Path, missing: str, problems: list[Problem]) -> Read | None:
    """What a file holds, or None with the reason in `problems`."""
    if not file.is_file():
        problems.append(Problem(file, missing, "put it there, or name the images to use in the split's lists"))
        return None
    try:
        return read(file)
    except DataError as error:
        problems += error.problems
        return None


def _histogram(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The numbers that occur, ascending, and how often."""
    if numbers.dtype == np.uint8 and numbers.size:
        counts = np.array(Image.fromarray(numbers).histogram())  # a third of the time of NumPy's bincount
        values = np.flatnonzero(counts)
        return values, counts[values]
    values, counts = np.unique(numbers, return_counts=True)
    return values.astype(np.int64), counts


def _states(pair: Pair) -> _States | None:
    """None where a file is missing."""
    try:
        return state_of(pair.image), state_of(pair.label_map)
    except OSError:
        return None


def _name(pair: Pair) -> str:
    return f"{os.path.abspath(pair.image)}\0{os.path.abspath(pair.label_map)}"


def _lasting(
    pairs: Sequence[Pair], states: Sequence[_States | None], looks: Sequence[Look]
) -> Iterator[tuple[str, _States, Look]]:
    """What may be recalled: sound looks at files whose next change will show."""
    for pair, state, look in zip(pairs, states, looks):
        if state is not None and not look.problems and all(map(is_settled, state)):
            yield _name(pair), state, look


def _flat(lasting: Iterator[tuple[str, _States, Look]]) -> dict[str, np.ndarray]:
    """The looks in arrays, as `_recalled` reads them."""
    kept = list(lasting)
    names, numbers = ragged_text([name for name, _, _ in kept]), ragged([look.numbers for _, _, look in kept], np.int64)
    return {
        "names.values": names.values,
        "names.edges": names.edges,
        "states": np.array([state for _, state, _ in kept], np.int64).reshape(-1, 2, 3),
        "sizes": np.array([look.size for _, _, look in kept], np.int64).reshape(-1, 2),
        "numbers": numbers.values,
        "counts": ragged([look.counts for _, _, look in kept], np.int64).values,
        "edges": numbers.edges,
    }


def _recalled(found: Stored, pairs: Sequence[Pair], states: Sequence[_States | None]) -> list[Look | None]:
    """The look at each pair, None where there is none at the files as they are now."""
    arrays = found.arrays
    names = texts(Ragged(arrays["names.values"], arrays["names.edges"]))
    rows = {name: row for row, name in enumerate(names)}
    numbers, counts = (Ragged(arrays[name], arrays["edges"]) for name in ("numbers", "counts"))
    looks: list[Look | None] = []
    for pair, state in zip(pairs, states):
        row = rows.get(_name(pair))
        if row is None or state is None or arrays["states"][row].tolist() != list(state):
            looks.append(None)
        else:
            height, width = arrays["sizes"][row].tolist()
            looks.append(Look([], (height, width), numbers[row], counts[row]))
    return looks
