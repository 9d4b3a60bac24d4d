"""Polygons out of the text of COCO's JSON, straight into flat arrays: no Python object for each of 43 million numbers.

It is called with text that a JSON parser has found sound, so that only what kind of JSON it is remains to be seen.
Compiled by Numba on first use.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from cvzoo.ops.compiled import compiled

EXACT = 2**53
"""Whole numbers up to here are floats, and so are the powers of ten below; their quotient is rounded once, rightly."""
POWERS = 10.0 ** np.arange(23)
END = b"\0"
"""Of an object's text; a zero byte is in none that is JSON."""


class Outlines(NamedTuple):
    """The polygons of many objects."""

    values: NDArray[np.float64]
    """x0, y0, x1, y1, ... of every polygon, one after the other."""
    lengths: NDArray[np.int64]
    """How many of the values are each polygon's."""
    counts: NDArray[np.int64]
    """How many of the polygons are each object's; none where its text is no list of lists of numbers."""


def outlines_in(texts: Sequence[msgspec.Raw]) -> Outlines:
    """The polygons of objects whose segmentations are these texts."""
    text = END.join([*texts, b""])
    closed = text.count(b"]")
    values = np.empty(text.count(b",") + closed, np.float64)
    lengths, counts = np.empty(closed, np.int64), np.zeros(len(texts), np.int64)
    left = np.empty((len(values), 3), np.int64)
    found, polygons, leftover = _read(np.frombuffer(text, np.uint8), values, lengths, counts, left, POWERS)
    for place, start, end in left[:leftover].tolist():
        values[place] = float(text[start:end])
    return Outlines(values[:found], lengths[:polygons], counts)


@compiled
def _read(
    text: NDArray[np.uint8],
    values: NDArray[np.float64],
    lengths: NDArray[np.int64],
    counts: NDArray[np.int64],
    left: NDArray[np.int64],
    powers: NDArray[np.float64],
) -> tuple[int, int, int]:
    """Fill the arrays; how many values, polygons, and numbers that are left to Python: place, start and end in `left`.

    Those have an exponent, or more digits than can be rounded rightly here.
    """
    found = polygons = leftover = number = 0
    found_before = polygons_before = leftover_before = first = depth = 0
    sound = True
    start, whole, decimals, negative, point, exact = -1, 0, 0, False, False, True
    for at in range(len(text)):
        character = text[at]
        if character == 0:  # the end of an object
            if sound:
                counts[number] = polygons - polygons_before
            else:
                found, polygons, leftover = found_before, polygons_before, leftover_before
            number += 1
            found_before, polygons_before, leftover_before, depth, sound = found, polygons, leftover, 0, True
            start, whole, decimals, negative, point, exact = -1, 0, 0, False, False, True
        elif not sound:
            continue
        elif 48 <= character <= 57:  # a digit
            start = at if start < 0 else start
            exact &= whole <= EXACT
            whole = whole * 10 + character - 48 if exact else whole
            decimals += point
        elif character == 46:  # .
            point = True
        elif character == 45 and start < 0:  # -
            start, negative = at, True
        elif character in (43, 45, 69, 101):  # + - E e
            exact = False
        else:
            if start >= 0:
                sound = depth == 2
                if exact and whole <= EXACT and decimals < len(powers):
                    value = whole / powers[decimals]
                    values[found] = -value if negative else value
                else:
                    left[leftover, 0], left[leftover, 1], left[leftover, 2] = found, start, at
                    leftover += 1
                found += 1
                start, whole, decimals, negative, point, exact = -1, 0, 0, False, False, True
            if character == 91:  # [
                depth += 1
                first = found
                sound &= depth < 3
            elif character == 93:  # ]
                if depth == 2:
                    lengths[polygons] = found - first
                    polygons += 1
                depth -= 1
            elif character != 44 and character > 32:  # neither a comma nor white space
                sound = False
    return found, polygons, leftover
