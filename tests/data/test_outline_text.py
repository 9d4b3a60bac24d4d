"""Polygons are read out of JSON's text as Python's own parser reads them, to the last bit."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvzoo.data.outline_text import outlines_in

WRITTEN = [
    "0",
    "-0",
    "-0.0",
    "7",
    "480.25",
    "1e3",
    "1E-5",
    "-2.5e+2",
    "0.1",
    "0.30000000000000004",
    "123456789.123456789",
]
WRITTEN += ["9007199254740993", "9007199254740992", "90071992547409930", "0.0000000000000000000000001", "4.35", "1e400"]
NUMBERS = st.sampled_from(WRITTEN) | st.floats(allow_nan=False, allow_infinity=False).map(repr) | st.integers().map(str)
BLANKS = st.sampled_from(["", " ", "\n ", "\t"])
OTHERS = [
    "null",
    "[]",
    "[1, 2]",
    "[[1, [2]]]",
    '"[[1]]"',
    '{"size": [1, 2], "counts": 7}',
    "[[true, 1]]",
    "[[1], 2]",
    "5",
]
OTHERS += ['{"a": {"b": 5, "c": 6, "d": 7}}', '[["1e5"]]', "[[[]]]", "[{}]"]


@st.composite
def segmentations(draw: st.DrawFn) -> str:
    polygons = draw(st.lists(st.lists(NUMBERS, max_size=4), min_size=1, max_size=3))
    blank = draw(BLANKS)
    return f"[{blank}{f',{blank}'.join(f'[{blank}' + f'{blank},'.join(p) + f'{blank}]' for p in polygons)}{blank}]"


def read(texts: list[str]) -> list[list[list[float]]]:
    values, lengths, counts = outlines_in([msgspec.Raw(text.encode()) for text in texts])
    polygons = np.split(values, np.cumsum(lengths)[:-1]) if len(lengths) else []
    objects = np.cumsum(counts)
    return [[p.tolist() for p in polygons[end - count : end]] for end, count in zip(objects, counts)]


def expected(text: str) -> Any:
    return (
        []
        if text in OTHERS
        else [[float(number) for number in polygon] for polygon in json.loads(text, parse_int=float)]
    )


@settings(deadline=None)  # the first call compiles
@given(st.lists(segmentations() | st.sampled_from(OTHERS), min_size=1, max_size=6))
def test_every_number_is_that_of_pythons_parser(texts: list[str]) -> None:
    found = read(texts)
    assert str(found) == str([expected(text) for text in texts])  # tells -0.0 from 0.0


@pytest.mark.parametrize("text", OTHERS)
def test_what_are_no_polygons_leaves_those_around_it_alone(text: str) -> None:
    assert read(["[[1.5, 2]]", text, "[[3, -4.25]]"]) == [[[1.5, 2.0]], [], [[3.0, -4.25]]]
