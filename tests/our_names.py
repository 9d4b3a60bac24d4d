"""Whether commands, options and Python that a guide names exist. AssertionError or KeyError where one does not."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import inspect
import shlex
from collections.abc import Iterator
from functools import cache
from typing import Any, get_type_hints

import cvzoo
from cvzoo.cli import OWN_COMMANDS, PLAIN_COMMANDS, ROW_COMMANDS, SHORTHANDS
from cvzoo.commands.serve import Options as ServeOptions
from cvzoo.predictor import How, Predictor
from cvzoo.recipes.codec import to_json
from cvzoo.tasks.detections import Detection, Detections
from cvzoo.tasks.labelled_pixels import LabelledPixels
from cvzoo.zoo import ROWS

KINDS = {kind.__name__: kind for kind in (Detection, Detections, LabelledPixels, Predictor)}
ROW_TYPES = ("retinanet_r50_fpn_1x", "mask_rcnn_r50_fpn_1x", "tensormask_r50_fpn_1x", "deeplabv3plus_r50_d8_cityscapes")
"""Rows that between them have every field that guides name."""
SPOKEN = {"--help", "--field"}
"""What every command has, and what stands for any option."""


def check_command(text: str) -> None:
    """A line of a shell that runs cvzoo, without its comment."""
    words = shlex.split(text[text.index("cvzoo ") :], comments=True)[1:]
    if words in (["--version"], ["--help"]):
        return
    command = " ".join(words[:2]) if words[0] == "data" and len(words) > 1 else words[0]
    assert command in {*PLAIN_COMMANDS, *ROW_COMMANDS, *OWN_COMMANDS, "data"}, command
    asked = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert asked <= options_of(command) | SPOKEN, asked - options_of(command)
    row = words[1] if len(words) > 1 and command in ROW_COMMANDS else "ROW"
    assert row in ROWS or "/" in row or not difflib.get_close_matches(row, ROWS, cutoff=0.8), row  # else a folder
    if row in ROWS and "--weights" in words:
        check_weights(row, words[words.index("--weights") + 1])


def check_weights(row: str, weights: str) -> None:
    """Published ones by name, or what is meant as a file."""
    named = [found.name for found in ROWS[row].published]
    assert weights in named or weights.isupper() or {"/", "."} & set(weights), weights


@cache
def fields() -> set[str]:
    """Every option that a recipe has."""
    names = {name for row in ROW_TYPES for name in flat(to_json(ROWS[row].recipe()))}
    timm = {"model.backbone", "model.backbone.name", "model.backbone.frozen_outputs"}
    return {option(name) for name in names | timm} | set(SHORTHANDS)


def flat(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Dotted names."""
    for name, value in values.items():
        yield from flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [prefix + name]


def options_of(command: str) -> set[str]:
    """Every option that a command has."""
    if command in ROW_COMMANDS:
        own = {field.name for field in dataclasses.fields(ROW_COMMANDS[command][0])} - {"recipe"}
        return fields() | set(map(option, own))
    if command in OWN_COMMANDS:
        return {"--weights", *map(option, of_class(ServeOptions))}
    hints = get_type_hints(PLAIN_COMMANDS[command]) if command in PLAIN_COMMANDS else {}
    parts = [of_class(kind) if dataclasses.is_dataclass(kind) else [name] for name, kind in hints.items()]
    return {option(name) for part in parts for name in part} | ({"--data.root"} if command == "prove" else set())


def option(name: str) -> str:
    """As the command line writes a field."""
    return f"--{name.replace('_', '-')}"


def of_class(kind: Any, prefix: str = "") -> Iterator[str]:
    """Dotted names of a dataclass' fields."""
    for name, hint in get_type_hints(kind).items():
        yield from of_class(hint, f"{prefix}{name}.") if dataclasses.is_dataclass(hint) else [prefix + name]


def check_python(text: str) -> None:
    """An expression on `cvzoo`, one of its kinds, or a predictor."""
    for node in ast.walk(ast.parse(text, mode="eval")):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner = {"cvzoo": cvzoo, "dataclasses": dataclasses, **KINDS}[node.value.id]
            annotated = {name for kind in getattr(owner, "__mro__", ()) for name in inspect.get_annotations(kind)}
            assert hasattr(owner, node.attr) or node.attr in annotated, node.attr
        if isinstance(node, ast.Call):
            _check_call(node)


def _check_call(call: ast.Call) -> None:
    names = {keyword.arg for keyword in call.keywords}
    if isinstance(call.func, ast.Name):
        assert call.func.id == "predictor"
        assert names <= set(How.__annotations__), names
        return
    assert isinstance(call.func, ast.Attribute)
    inspect.signature(getattr(cvzoo, call.func.attr)).bind(*call.args, **dict.fromkeys(filter(None, names)))
    row, *rest = [str(argument.value) for argument in call.args if isinstance(argument, ast.Constant)] or [None]
    if row is not None and not row.startswith("runs/"):
        assert set(rest) <= {found.name for found in ROWS[row].published}, rest
