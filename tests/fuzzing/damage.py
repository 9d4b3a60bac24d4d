"""Strategies that spoil what is sound: JSON values and the bytes of files."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

HUGE = st.sampled_from([2**31, 2**63, -(2**63) - 1, 10**30, 1e308, 1e-320, float("nan"), float("inf"), -float("inf")])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | HUGE | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
NUMBERS = (
    st.integers().map(str) | st.floats().map(str) | st.text("0123456789.eE+-_x, ", max_size=8) | st.text(max_size=6)
)
"""What may stand on a command line where a number should."""


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something is in a JSON value, itself first."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from places(item, (*path, key))


@st.composite
def spoilt_json(draw: st.DrawFn, sound: Any) -> Any:
    """`sound` with up to three of its values replaced, left out, doubled, or moved to another's place."""
    value = deepcopy(sound)
    for _ in range(draw(st.integers(0, 3))):
        known = list(places(value))
        path = draw(st.sampled_from(known))
        if not path:
            return draw(VALUES)
        holder = value
        for key in path[:-1]:
            holder = holder[key]
        match draw(st.sampled_from(["replace", "remove", "double", "swap"])):
            case "replace":
                holder[path[-1]] = draw(VALUES)
            case "remove":
                del holder[path[-1]]
            case "double" if isinstance(holder, list):
                holder.append(deepcopy(holder[path[-1]]))
            case "double":
                holder[draw(st.text(max_size=6))] = deepcopy(holder[path[-1]])
            case "swap":
                other = value
                for key in draw(st.sampled_from(known)):
                    other = other[key]
                holder[path[-1]] = deepcopy(other)
    return value


@st.composite
def spoilt_bytes(draw: st.DrawFn, sound: bytes) -> bytes:
    """`sound` cut off, with some bytes changed, inserted or taken out; or other bytes altogether."""
    if draw(st.integers(0, 19)) == 0:
        return draw(st.binary(max_size=64))
    content = bytearray(sound)
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, max(len(content) - 1, 0)) | st.integers(0, min(len(content), 64)))
        content[place : place + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(content[: draw(st.none() | st.integers(0, len(content)))])
