"""`cvzoo completion SHELL`: all that the tab key can offer, written out for a shell, which then asks no program.

The script holds one function from a question (`row retinanet_r50_fpn_1x`, `value --run.precision`) to the words that
answer it, and below it the file of its shell beside this module, which knows what to ask.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import tyro

from cvzoo.fields import hints_of
from cvzoo.recipes import Recipe
from cvzoo.zoo import ROWS

Shell = Literal["bash", "zsh", "fish"]
Answers = dict[str, list[str]]
"""Questions and the words that answer them."""
Option = tuple[str, list[str]]
"""An option with the words it takes, where they are a few; a positional argument has no name."""


def script(
    shell: Shell,
    plain: Mapping[str, Callable[..., Any]],
    of_rows: Mapping[str, tuple[Any, Any]],
    on_rows: Mapping[str, tuple[Any, Any]],
    shorthands: Mapping[str, str],
) -> str:
    """The script for a shell, given the tables of the command line: commands without a row, with one and its fields,
    and with rows alone.
    """
    own = {name: list(_parameters(function)) for name, function in plain.items()}
    own |= {name: list(_own_fields(kind)) for name, (kind, _) in {**of_rows, **on_rows}.items()}
    rows = {name: list(fields_of(row.recipe())) for name, row in ROWS.items()}
    every = [option for found in (*own.values(), *rows.values()) for option in found]
    every += [(short, words) for short, full in shorthands.items() for option, words in every if option == full]
    answers = _of_places(own) | _of_fields({name: _names(found) for name, found in rows.items()})
    answers |= {f"command {name}": _names(found) for name, found in own.items()}
    answers |= {f"after {name}": list(ROWS) for name in (*of_rows, *on_rows)}
    for name in of_rows:
        answers[f"command {name}"] += [*shorthands, *answers["fields"]]
    return _written(shell, answers | _of_values(every))


def _of_places(own: dict[str, list[Option]]) -> Answers:
    """What may stand first, and after a plain command."""
    first = dict.fromkeys(name.split()[0] for name in own)
    inner = {f"after {one}": [name.split()[1] for name in own if name.startswith(f"{one} ")] for one in first}
    fixed = {f"after {name}": words for name, found in own.items() for option, words in found if not option}
    return {"commands": [*first, "--help", "--version"]} | inner | fixed


def _of_fields(rows: dict[str, list[str]]) -> Answers:
    """Those of every row, and what a row has besides."""
    shared = set.intersection(*map(set, rows.values()))
    answers = {f"row {name}": [field for field in found if field not in shared] for name, found in rows.items()}
    return answers | {"fields": [field for field in next(iter(rows.values())) if field in shared]}


def _of_values(options: list[Option]) -> Answers:
    """What follows an option; where rows differ in that, the words of all."""
    values: dict[str, dict[str, None]] = {}
    for option, words in options:
        values.setdefault(f"value {option}", {}).update(dict.fromkeys(words))
    return {question: list(words) for question, words in values.items()}


def _names(options: list[Option]) -> list[str]:
    return [name for name, _ in options if name]


def _parameters(function: Callable[..., Any]) -> Iterator[Option]:
    """Options of a plain command."""
    hints = get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        kind = _bare(hints[name])
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            yield from _own_fields(kind)
        else:
            yield from _option(name, hints[name], parameter.default)


def _own_fields(kind: type) -> Iterator[Option]:
    """Options of a command; of one on a row, without the row's."""
    hints = hints_of(kind)
    for field in () if kind is Recipe else dataclasses.fields(kind):
        named = [one.name for one in getattr(hints[field.name], "__metadata__", ()) if getattr(one, "name", None)]
        if field.name != "recipe":
            yield from _option(named[0] if named else field.name, hints[field.name], field.default)


def fields_of(value: Any, prefix: str = "") -> Iterator[Option]:
    """Options of a dataclass and of all that are in it, as the command line names them."""
    hints = hints_of(type(value))
    for field in dataclasses.fields(value):
        yield from _option(prefix + field.name, hints[field.name], getattr(value, field.name))


def _option(name: str, hint: Any, value: Any) -> Iterator[Option]:
    if dataclasses.is_dataclass(value):
        yield from fields_of(value, f"{name}.")
    elif isinstance(value, tuple) and value and isinstance(value[0], tuple):
        for i, inner in enumerate(value):
            yield from _option(f"{name}.{i}", None, inner)
    elif tyro.conf.Positional in getattr(hint, "__metadata__", ()):
        yield "", _words(hint)
    else:
        *parents, last = name.replace("_", "-").split(".")
        names = [last, f"no-{last}"] if _bare(hint) is bool else [last]
        for one in names:
            yield "--" + ".".join([*parents, one]), [] if len(names) > 1 else _words(hint)


def _bare(hint: Any) -> Any:
    return _bare(get_args(hint)[0]) if hasattr(hint, "__metadata__") else hint


def _words(hint: Any) -> list[str]:
    """What may be typed, where that is a few words."""
    if get_origin(hint) is Literal:
        return [str(choice) for choice in get_args(hint)]
    if hint in (bool, type(None)):
        return ["True", "False"] if hint is bool else ["None"]
    return list(dict.fromkeys(word for argument in get_args(hint) for word in _words(argument)))


def _written(shell: Shell, answers: Answers) -> str:
    together: dict[str, list[str]] = {}
    for question, words in answers.items():
        if words:
            together.setdefault(" ".join(words), []).append(f"'{question}'")
    own = Path(__file__).with_name(f"cvzoo.{shell}").read_text()
    if shell == "fish":
        cases = [
            f"        case {' '.join(q)}\n            string split -- ' ' '{words}'" for words, q in together.items()
        ]
        return "\n".join(["function __cvzoo_answer", "    switch $argv[1]", *cases, "    end", "end", own])
    cases = [f"    {'|'.join(q)}) echo '{words}' ;;" for words, q in together.items()]
    lines = ["_cvzoo_answer() {", '  case "$1" in', *cases, "  esac", "}", own]
    return "\n".join(["#compdef cvzoo", *lines] if shell == "zsh" else lines)
