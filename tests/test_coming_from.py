"""docs/coming-from.md: every command, option, field, file and function of ours that it names exists."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import cvzoo
from cvzoo.cli import PLAIN_COMMANDS, ROW_COMMANDS, SHORTHANDS
from cvzoo.commands.data import Options
from cvzoo.predictor import How, Predictor
from cvzoo.recipes.codec import to_json
from cvzoo.tasks.detections import Detection, Detections
from cvzoo.tasks.labelled_pixels import LabelledPixels
from cvzoo.zoo import ROWS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "coming-from.md").read_text()
KINDS = {kind.__name__: kind for kind in (Detection, Detections, LabelledPixels, Predictor)}
ROW_TYPES = ("retinanet_r50_fpn_1x", "mask_rcnn_r50_fpn_1x", "deeplabv3plus_r50_d8_cityscapes")
"""Rows that between them have every field that the page names."""
GUIDES = [ROOT / "README.md", *(ROOT / "docs" / f"{name}.md" for name in ("own-data", "training"))]
FILES = {name for guide in GUIDES for name in re.findall(r"`([\w.]+\.\w+)`", guide.read_text())}
WORDS = {"ROW", "RUN", "DIR", "NEW", "W", "IMAGE", "IMAGES", "CHECKPOINT", "FILE", "fp16"}
"""What stands for something of the reader's, and values beside an option."""


def ours() -> list[str]:
    """The code in the last column of the tables, and outside of them."""
    lines = [line.rpartition(" | ")[2] if line.startswith("| ") else line for line in PAGE.splitlines()]
    return sorted(set(re.findall(r"`([^`]+)`", "\n".join(lines))) - WORDS)


def flat(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        yield from flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [prefix + name]


def fields() -> set[str]:
    """Every option that a recipe has."""
    names = {name for row in ROW_TYPES for name in flat(to_json(ROWS[row].recipe()))}
    return {f"--{name.replace('_', '-')}" for name in names} | set(SHORTHANDS)


def options_of(command: str) -> set[str]:
    """Every option that a command has."""
    if command in ROW_COMMANDS:
        own = {field.name for field in dataclasses.fields(ROW_COMMANDS[command][0])} - {"recipe"}
        return fields() | {f"--{name.replace('_', '-')}" for name in own}
    parameters = inspect.signature(PLAIN_COMMANDS[command]).parameters
    names = {*parameters, *(field.name for field in dataclasses.fields(Options))}
    return {f"--{name.replace('_', '-')}" for name in names}


def check_command(text: str) -> None:
    words = shlex.split(text[text.index("cvzoo ") :])[1:]
    if words == ["--version"]:
        return
    command = " ".join(words[:2]) if words[0] == "data" else words[0]
    assert command in {*PLAIN_COMMANDS, *ROW_COMMANDS}
    asked = {word for word in words if word.startswith("--")}
    if asked == {"--epochs"}:  # answered with ours
        return
    assert asked <= options_of(command)
    if set(words[1:2]) & set(ROWS):
        assert words[words.index("--weights") + 1] in [found.name for found in ROWS[words[1]].published]
    assert set(words[1:2]) <= {*ROWS, *WORDS, *command.split()}


def check_python(text: str) -> None:
    tree = ast.parse(text, mode="eval")
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner = {"cvzoo": cvzoo, "dataclasses": dataclasses, **KINDS}[node.value.id]
            annotated = {name for kind in getattr(owner, "__mro__", ()) for name in inspect.get_annotations(kind)}
            assert hasattr(owner, node.attr) or node.attr in annotated
        if isinstance(node, ast.Call):
            check_call(node)


def check_call(call: ast.Call) -> None:
    names = {keyword.arg for keyword in call.keywords}
    if isinstance(call.func, ast.Name):
        assert call.func.id == "predictor"
        assert names <= set(How.__annotations__)
        return
    assert isinstance(call.func, ast.Attribute)
    inspect.signature(getattr(cvzoo, call.func.attr)).bind(*call.args, **dict.fromkeys(filter(None, names)))
    row, *rest = [str(argument.value) for argument in call.args if isinstance(argument, ast.Constant)] or [None]
    if row is not None and not row.startswith("runs/"):
        assert set(rest) <= {found.name for found in ROWS[row].published}


@pytest.mark.parametrize("text", ours())
def test_what_we_call_it_exists(text: str) -> None:
    if text in ROWS or text in FILES:
        return
    if text.startswith("--"):
        assert {word for word in text.split() if word.startswith("--")} <= fields()
    elif re.search(r"(^|-m )cvzoo ", text):
        check_command(text)
    elif "/" in text and "(" not in text:
        assert (ROOT / text).exists()
    else:
        check_python(text)


@pytest.mark.parametrize("wrong", ["--optim.lrr", "cvzoo trian ROW", "cvzoo eval atss_r50_fpn_1x --weights caffe"])
def test_a_name_that_does_not_exist_is_found(wrong: str) -> None:
    with pytest.raises((AssertionError, KeyError)):
        test_what_we_call_it_exists(wrong)


@pytest.mark.parametrize("wrong", ["Detections.boxs", "predictor(source, confidence=0.3)", 'cvzoo.load("atss_r50")'])
def test_python_that_does_not_exist_is_found(wrong: str) -> None:
    with pytest.raises((AssertionError, KeyError)):
        test_what_we_call_it_exists(wrong)
