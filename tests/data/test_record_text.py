"""Annotations are read out of JSON's text as Python's own parser reads them, to the last bit."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvzoo.data.record_text import Records, records_in

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


PLAIN = {"id": "3", "image_id": "-4", "category_id": "123456789012345678", "bbox": "[1, 2.5, 1e1, 0.1]"}


def records(texts: list[dict[str, str]], masks: bool = True) -> Records:
    """What is read of records whose keys have such texts."""
    written = ["{" + ", ".join(f'"{key}": {text}' for key, text in record.items()) + "}" for record in texts]
    return records_in([msgspec.Raw(text.encode()) for text in written], masks)


def read(texts: list[str]) -> list[list[list[float]]]:
    """Polygons of segmentations."""
    found = records([PLAIN | {"segmentation": text} for text in texts])
    assert found.plain_N.all()
    polygons, objects = found.segments.polygons, found.segments.objects.tolist()
    return [[polygons[n].tolist() for n in range(start, end)] for start, end in pairwise(objects)]


def expected(text: str) -> Any:
    return (
        []
        if text in OTHERS
        else [[float(number) for number in polygon] for polygon in json.loads(text, parse_int=float)]
    )


@given(st.lists(segmentations() | st.sampled_from(OTHERS), min_size=1, max_size=6))
def test_every_number_is_that_of_pythons_parser(texts: list[str]) -> None:
    found = read(texts)
    assert str(found) == str([expected(text) for text in texts])  # tells -0.0 from 0.0


@pytest.mark.parametrize("text", OTHERS)
def test_what_are_no_polygons_leaves_those_around_it_alone(text: str) -> None:
    assert read(["[[1.5, 2]]", text, "[[3, -4.25]]"]) == [[[1.5, 2.0]], [], [[3.0, -4.25]]]


SPELT = (
    st.sampled_from(WRITTEN)
    | st.integers(-(2**70), 2**70).map(str)
    | st.floats(allow_nan=False, allow_infinity=False).map(str)
)
VALUES = SPELT | st.sampled_from(["true", "false", "null", '"7"', "[]", "{}", "[1, 2, 3, 4]", "[1, [2], 3, 4]"])
BOXES = st.lists(SPELT, min_size=3, max_size=5).map(lambda numbers: f"[{', '.join(numbers)}]")
OTHER_KEYS = st.dictionaries(
    st.text('aid"\\]{,é', max_size=3), st.recursive(st.text() | st.integers(), st.lists), max_size=2
)


def is_whole(text: str, digits: int = 18) -> bool:
    return text.removeprefix("-").isdigit() and len(text.removeprefix("-")) <= digits


def is_finite(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


@given(
    st.lists(st.tuples(VALUES, VALUES, BOXES | VALUES, VALUES, VALUES, OTHER_KEYS), min_size=1, max_size=5), st.data()
)
def test_records_are_those_of_pythons_parser(drawn: list[Any], data: st.DataObject) -> None:
    """Whatever the order of their keys; and what is not of the right kind is left."""
    texts = []
    for one, other, box, crowd, area, more in drawn:
        keys = {"id": one, "image_id": "5", "category_id": other, "bbox": box, "iscrowd": crowd, "area": area}
        keys |= {json.dumps(key)[1:-1]: json.dumps(value) for key, value in more.items() if key not in keys}
        texts.append(dict(data.draw(st.permutations(list(keys.items())))))
    found = records(texts, masks=False)
    for n, text in enumerate(texts):
        record = json.loads("{" + ", ".join(f'"{key}": {value}' for key, value in text.items()) + "}")
        box = record["bbox"]
        numbers = isinstance(box, list) and len(box) == 4 and all(type(number) in (int, float) for number in box)
        plain = (
            is_whole(text["id"])
            and is_whole(text["category_id"])
            and text["iscrowd"] in ("0", "1", "-0", "true", "false")
        )
        plain &= numbers and all(is_finite(str(number)) for number in box) and is_finite(text["area"])
        escaped = any("\\" in key for key in text)
        assert found.plain_N[n] == (plain and not escaped)
        if found.plain_N[n]:
            whole = [record["id"], 5, record["category_id"], record["iscrowd"]]
            assert found.whole_N4[n].tolist() == whole
            assert str(found.boxes_N4[n].tolist()) == str(json.loads(text["bbox"], parse_int=float))  # -0 is a whole 0
            assert str(found.areas_N[n]) == str(float(text["area"]))
