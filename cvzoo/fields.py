"""What the fields of recipes may hold, declared at the field: `lr: Positive`, `milestones: tuple[Natural, ...]`.

One check serves the command line, recipe.json and Python alike. Imports no torch.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints


@dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`."""

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    """Without `low` itself."""
    below: bool = False
    """Without `high` itself."""

    def __contains__(self, number: float) -> bool:
        low = number > self.low if self.above else number >= self.low
        return low and (number < self.high if self.below else number <= self.high)

    def __str__(self) -> str:
        parts = [f"above {self.low:g}" if self.above else f"of at least {self.low:g}"] if self.low > -math.inf else []
        parts += [f"below {self.high:g}" if self.below else f"of at most {self.high:g}"] if self.high < math.inf else []
        return " and ".join(parts)


class Needs:
    """Declared at a field that has no effect unless one of these holds: `mosaic` is set, `policy=step` has that value.

    The fields are of the same dataclass or, where that has none of the name, of the recipe.
    """

    def __init__(self, *conditions: str) -> None:
        self.conditions = conditions


Positive = Annotated[float, Range(0, above=True)]
NotNegative = Annotated[float, Range(0)]
Share = Annotated[float, Range(0, 1)]
Fraction = Annotated[float, Range(0, 1, above=True, below=True)]
"""A share that is neither none nor all."""
Degrees = Annotated[float, Range(-180, 180)]
Natural = Annotated[int, Range(0)]
Count = Annotated[int, Range(1)]
ClassId = Annotated[int, Range(-1)]
"""A class of the data set; -1 is none."""
Pixels = Annotated[int, Range(32)]
"""The side of an image, in pixels: no body makes a map of less."""

WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", Path: "a path"}


def recipe_problems(value: Any, prefix: str = "") -> list[str]:
    """What is wrong with a dataclass and all those in it, each with its dotted name."""
    values = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    problems = field_problems(type(value), values, prefix)
    for name, inner in values.items():
        if dataclasses.is_dataclass(inner) and not isinstance(inner, type):
            problems += recipe_problems(inner, f"{prefix}{name}.")
    return problems


def field_problems(kind: type, values: dict[str, Any], prefix: str = "") -> list[str]:
    """What is wrong with values for the fields of a dataclass, not with what is inside of them."""
    hints = hints_of(kind)
    found = ((name, _problem(value, hints[name])) for name, value in values.items() if name in hints)
    return [f"{(prefix + name).replace('_', '-')} {problem}" for name, problem in found if problem]


def idle_problems(asked: Any, own: Any) -> list[str]:
    """Fields of a recipe which somebody has set, unlike the row's `own`, and which have no effect as the others are."""
    return list(_idle(asked, own, "", asked))


def _idle(part: Any, own: Any, prefix: str, whole: Any) -> Iterator[str]:
    for field in dataclasses.fields(part):
        value, before = getattr(part, field.name), getattr(own, field.name)
        if value == before or value == field.default:
            continue
        needs = [x for x in get_args(hints_of(type(part))[field.name]) if isinstance(x, Needs)]
        if needs and not any(_holds(condition, part, whole) for condition in needs[0].conditions):
            wanted = " or ".join(_worded(condition, part, prefix) for condition in needs[0].conditions)
            name = f"{prefix}{field.name}".replace("_", "-")
            yield f"{name} has no effect unless {wanted}; leave it out, or change that too"
        elif dataclasses.is_dataclass(value) and type(value) is type(before):
            yield from _idle(value, before, f"{prefix}{field.name}.", whole)


def _holds(condition: str, part: Any, whole: Any) -> bool:
    name, equals, wanted = condition.partition("=")
    holder = part if _has(part, name) else whole
    value = attrgetter(name)(holder)
    return str(value) == wanted if equals else value != getattr(type(holder), name)


def _has(part: Any, name: str) -> bool:
    """Whether a field that a condition names is of this dataclass, and not of the recipe."""
    return name.partition(".")[0] in hints_of(type(part))


def _worded(condition: str, part: Any, prefix: str) -> str:
    name, equals, wanted = condition.partition("=")
    shown = f"{prefix if _has(part, name) else ''}{name}".replace("_", "-")
    if not equals:
        return f"{shown} is set"
    return f"{shown} is {'not set' if wanted in ('()', 'None') else wanted}"


@cache
def hints_of(kind: type) -> dict[str, Any]:
    """The types of a dataclass's fields, with their ranges."""
    return get_type_hints(kind, include_extras=True)


def _problem(value: Any, hint: Any) -> str | None:
    """What is wrong with a value, `None` if nothing is."""
    if _fits(value, hint):
        return None
    near = difflib.get_close_matches(str(value).lower(), choices := _choices(hint), n=1)
    meant = f"; did you mean {near[0]}?" if near and isinstance(value, str) else ""
    shown = repr(str(value)) if isinstance(value, Path) else repr(value)
    return f"must be {_words(hint)}, not {shown:.60}{meant}" if choices or _words(hint) else f"cannot be {shown:.60}"


def _fits(value: Any, hint: Any) -> bool:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any or isinstance(hint, TypeVar):
        return True
    if origin is Annotated:
        ranges = [limit for limit in arguments[1:] if isinstance(limit, Range)]
        return _fits(value, arguments[0]) and all(value in limit for limit in ranges)
    if origin in (Union, types.UnionType):
        return any(_fits(value, argument) for argument in arguments)
    if origin is Literal:
        return any(value == choice and type(value) is type(choice) for choice in arguments)
    if origin is tuple:
        return isinstance(value, tuple) and _entries_fit(value, arguments)
    if hint is float:
        return isinstance(value, float | int) and not isinstance(value, bool) and math.isfinite(value)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, origin or hint)


def _entries_fit(values: tuple[Any, ...], hints: tuple[Any, ...]) -> bool:
    if len(hints) == 2 and hints[1] is Ellipsis:
        return all(_fits(value, hints[0]) for value in values)
    return len(values) == len(hints) and all(_fits(value, hint) for value, hint in zip(values, hints))


def _choices(hint: Any) -> list[str]:
    """The words that a field may hold."""
    if get_origin(hint) is Literal:
        return [str(choice) for choice in get_args(hint)]
    return [choice for argument in get_args(hint) if get_origin(hint) is not tuple for choice in _choices(argument)]


def _words(hint: Any) -> str:
    """What a field may hold, in words."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is types.NoneType:
        return "None"
    if origin is Annotated:
        limits = " ".join(str(limit) for limit in arguments[1:] if isinstance(limit, Range))
        return f"{_words(arguments[0])} {limits}".strip()
    if origin in (Union, types.UnionType):
        return " or ".join(_words(argument) for argument in arguments)
    if origin is Literal:
        return " or ".join(str(choice) for choice in arguments)
    if origin is tuple:
        count = "" if arguments[-1] is Ellipsis else f" of {len(arguments)}"
        return f"a list{count}, each {_words(arguments[0])}"
    return WORDS.get(hint, getattr(hint, "__name__", ""))
