"""Annotations out of the text of COCO's JSON, straight into flat arrays: no Python object for each of 43 million numbers.

The text is of records that a JSON parser has found sound, so that only what kind of JSON it is remains to be seen.
Compiled by Numba on first use. Shape suffix: N records.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from cvzoo.data.ragged import Ragged, edges_of
from cvzoo.data.segments import Segments, outlined
from cvzoo.ops.compiled import compiled

Text = NDArray[np.uint8]

EXACT = 2**53
"""Whole numbers up to here are floats, and so are the powers of ten below; their quotient is rounded once, rightly."""
POWERS = 10.0 ** np.arange(23)
LONGEST = 18
"""Characters, digits and point, of the longest numbers that are read here; any number of so many has 64 bits."""
NAMES = ("id", "image_id", "category_id", "iscrowd", "area", "bbox", "segmentation")
"""Of the keys that are read, in the order of their numbers."""
CROWD, AREA, BOX, SEGMENTATION, OTHER = range(3, 8)
"""Numbers of keys; those before are whole numbers that a record must have, and it must have a box."""
NEEDED = 1 << 0 | 1 << 1 | 1 << 2 | 1 << BOX
"""A bit for each key that must be there."""
KEYS = np.array([list(f'{name}"'.encode().ljust(16, b"\0")) for name in NAMES], np.uint8)
"""Each name with the quote that ends it."""
BLANK, QUOTE, COMMA, MINUS, POINT, ZERO, NINE = b' ",-.09'
OPEN_LIST, BACKSLASH, CLOSE_LIST, FALSE, TRUE, OPEN, CLOSE, E = b"[\\]ft{}e"
FOUND, POLYGONS, LEFT = range(3)
"""What is counted: values and polygons, and the numbers that are left to Python."""


class Records(NamedTuple):
    """What annotations say."""

    plain_N: NDArray[np.bool_]
    """Whether a record is one that can be read here: each key is there once, without escapes, and of its kind. Of all
    others nothing is known."""
    whole_N4: NDArray[np.int64]
    """Id, image id, category id and iscrowd, which is 0 or 1, and 0 where it is not given."""
    boxes_N4: NDArray[np.float64]
    """Finite numbers."""
    areas_N: NDArray[np.float64]
    """Finite numbers, 0 where none is given."""
    segments: Segments
    """Polygons as they are written; none where a segmentation is no list of lists of numbers."""


class _Arrays(NamedTuple):
    """What is filled."""

    whole_N4: NDArray[np.int64]
    numbers: NDArray[np.float64]
    """Five of each record, box and area."""
    values: NDArray[np.float64]
    """x0, y0, x1, y1, ... of every polygon, one after the other."""
    lengths: NDArray[np.int64]
    """How many of the values are each polygon's."""
    counts_N: NDArray[np.int64]
    """How many of the polygons are each record's."""
    left: NDArray[np.int64]
    """Of each number that is left to Python whether it is among `values`, its place there or in `numbers`, and where
    its text starts and ends. Those have an exponent, or more digits than can be rounded rightly here."""
    made: NDArray[np.int64]
    """The counts."""


def records_in(texts: Sequence[msgspec.Raw], masks: bool) -> Records:
    """Annotations of which these are the texts, with polygons or without."""
    text, count = b"".join(texts), len(texts)
    characters = np.frombuffer(text, np.uint8)
    closed = np.count_nonzero(characters == CLOSE_LIST) if masks else 0
    room = np.count_nonzero(characters == COMMA) + closed if masks else 0
    numbers_N5, plain_N = np.zeros((count, 5)), np.zeros(count, bool)
    arrays = _Arrays(
        whole_N4=np.zeros((count, 4), np.int64),
        numbers=numbers_N5.reshape(-1),
        values=np.empty(room),
        lengths=np.empty(closed, np.int64),
        counts_N=np.zeros(count, np.int64),
        left=np.empty((room + numbers_N5.size, 4), np.int64),
        made=np.zeros(3, np.int64),
    )
    _read(characters, edges_of([len(one) for one in texts]), masks, plain_N, arrays)
    found, closed, leftover = arrays.made.tolist()
    for of_polygon, place, start, end in arrays.left[:leftover].tolist():
        value = float(text[start:end])
        if of_polygon:
            arrays.values[place] = value
        elif math.isfinite(value):
            arrays.numbers[place] = value
        else:
            plain_N[place // 5] = False
    polygons = Ragged(arrays.values[:found], edges_of(arrays.lengths[:closed]))
    segments = outlined(polygons, edges_of(arrays.counts_N))
    return Records(plain_N, arrays.whole_N4, numbers_N5[:, :4], numbers_N5[:, 4], segments)


@compiled
def _read(text: Text, edges_N: NDArray[np.int64], masks: bool, plain_N: NDArray[np.bool_], arrays: _Arrays) -> None:
    """Fill the arrays with the records of which the text consists."""
    made = arrays.made
    for n in range(len(plain_N)):
        found, polygons, leftover = made[FOUND], made[POLYGONS], made[LEFT]
        plain_N[n] = _record(text, edges_N[n], n, masks, arrays)
        if not plain_N[n]:
            made[FOUND], made[POLYGONS], made[LEFT] = found, polygons, leftover
            arrays.counts_N[n] = 0


@compiled
def _record(text: Text, at: int, n: int, masks: bool, arrays: _Arrays) -> bool:
    """Read the record that starts at `at`; whether it is plain."""
    if text[at] != OPEN:
        return False
    seen = 0
    at = _after_blanks(text, at + 1)
    while text[at] != CLOSE:
        key, at = _key(text, at)
        if key < 0 or seen >> key & 1:
            return False
        if key < CROWD:
            arrays.whole_N4[n, key], at = _whole(text, at)
        elif key == CROWD:
            arrays.whole_N4[n, key], at = _crowd(text, at)
        elif key == AREA:
            arrays.numbers[5 * n + 4], exact, end = _number(text, at)
            if end >= 0 and not exact:
                _leave(False, 5 * n + 4, at, end, arrays.left, arrays.made)
            at = end
        elif key == BOX:
            count, at = _numbers(text, at, arrays.numbers, 5 * n, 4, False, arrays.left, arrays.made)
            at = at if count == 4 else -1
        elif key == SEGMENTATION and masks:
            at = _polygons(text, at, n, arrays)
        else:
            at = _after_value(text, at)
        if at < 0:
            return False
        seen |= 1 << key if key != OTHER else 0
        at = _after_comma(text, at)
    return seen & NEEDED == NEEDED


@compiled
def _key(text: Text, at: int) -> tuple[int, int]:
    """The number of the key whose quote is at `at`, -1 of one with escapes; and where its value starts."""
    at += 1
    found = OTHER
    for key in range(OTHER):
        same = 0
        while KEYS[key, same] != QUOTE and KEYS[key, same] == text[at + same]:
            same += 1
        if KEYS[key, same] == text[at + same]:
            found = key
            break
    while text[at] != QUOTE:
        if text[at] == BACKSLASH:
            return -1, at
        at += 1
    at = _after_blanks(text, at + 1)  # at the colon
    return found, _after_blanks(text, at + 1)


@compiled
def _polygons(text: Text, at: int, n: int, arrays: _Arrays) -> int:
    """Read the segmentation of record `n`, of which nothing is kept unless it is a list of lists of numbers; its end."""
    made, start = arrays.made, at
    found, polygons, leftover = made[FOUND], made[POLYGONS], made[LEFT]
    sound = text[at] == OPEN_LIST
    at = _after_blanks(text, at + 1)
    while sound and text[at] != CLOSE_LIST:
        count, at = _numbers(text, at, arrays.values, made[FOUND], len(arrays.values), True, arrays.left, made)
        sound = count >= 0
        if sound:
            arrays.lengths[made[POLYGONS]] = count
            made[POLYGONS] += 1
            made[FOUND] += count
            at = _after_comma(text, at)
    if sound:
        arrays.counts_N[n] = made[POLYGONS] - polygons
        return at + 1
    made[FOUND], made[POLYGONS], made[LEFT] = found, polygons, leftover
    return _after_value(text, start)


@compiled
def _numbers(
    text: Text,
    at: int,
    into: NDArray[np.float64],
    place: int,
    limit: int,
    of_polygon: bool,
    left: NDArray[np.int64],
    made: NDArray[np.int64],
) -> tuple[int, int]:
    """Read a list of at most `limit` numbers; how many, -1 where it is something else, and its end."""
    if text[at] != OPEN_LIST:
        return -1, at
    count = 0
    at += 1
    while True:
        while text[at] <= BLANK or text[at] == COMMA:
            at += 1
        if text[at] == CLOSE_LIST:
            return count, at + 1
        value, exact, end = _number(text, at)
        if end < 0 or count == limit:
            return -1, at
        if exact:
            into[place + count] = value
        else:
            _leave(of_polygon, place + count, at, end, left, made)
        count += 1
        at = end


@compiled
def _leave(
    of_polygon: bool, place: int, start: int, end: int, left: NDArray[np.int64], made: NDArray[np.int64]
) -> None:
    """Let Python read a number."""
    row = made[LEFT]
    left[row, 0], left[row, 1], left[row, 2], left[row, 3] = of_polygon, place, start, end
    made[LEFT] += 1


@compiled
def _number(text: Text, at: int) -> tuple[float, bool, int]:
    """A number, whether it is exact, and its end, -1 where it is something else."""
    start = at
    at += text[at] == MINUS
    first, whole, point = at, 0, 0
    while True:
        digit = text[at] - ZERO
        if 0 <= digit <= 9:
            whole = 10 * whole + digit
        elif text[at] == POINT:
            point = at
        else:
            break
        at += 1
    if at == first:
        return 0.0, False, -1
    if at - first > LONGEST or whole > EXACT or text[at] | 32 == E:
        while text[at] > BLANK and text[at] not in (COMMA, CLOSE_LIST, CLOSE):
            at += 1
        return 0.0, False, at
    value = whole / POWERS[at - point - 1 if point else 0]
    return value if first == start else -value, True, at


@compiled
def _whole(text: Text, at: int) -> tuple[int, int]:
    """A whole number and its end, -1 where it is something else, or may have more than 64 bits."""
    start = at
    at += text[at] == MINUS
    first, whole = at, 0
    while ZERO <= text[at] <= NINE:
        whole = 10 * whole + (text[at] - ZERO)
        at += 1
    if at == first or at - first > LONGEST or text[at] == POINT or text[at] | 32 == E:
        return 0, -1
    return whole if first == start else -whole, at


@compiled
def _crowd(text: Text, at: int) -> tuple[int, int]:
    """0 or 1, or false or true, and its end, -1 where it is something else."""
    if text[at] == TRUE:
        return 1, at + 4
    if text[at] == FALSE:
        return 0, at + 5
    whole, end = _whole(text, at)
    return whole, end if 0 <= whole <= 1 else -1


@compiled
def _after_value(text: Text, at: int) -> int:
    """The end of a value in an object: the comma or bracket that is none of its own."""
    depth = 0
    while True:
        if text[at] == QUOTE:
            at += 1
            while text[at] != QUOTE:
                at += 1 + (text[at] == BACKSLASH)
        elif text[at] in (OPEN, OPEN_LIST):
            depth += 1
        elif depth == 0 and text[at] in (COMMA, CLOSE):
            return at
        elif text[at] in (CLOSE, CLOSE_LIST):
            depth -= 1
        at += 1


@compiled
def _after_comma(text: Text, at: int) -> int:
    """The next character that means something, behind a comma if there is one."""
    at = _after_blanks(text, at)
    return _after_blanks(text, at + 1) if text[at] == COMMA else at


@compiled
def _after_blanks(text: Text, at: int) -> int:
    while text[at] <= BLANK:
        at += 1
    return at
