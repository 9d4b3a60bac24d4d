"""The text of a toolbox's config as plain values."""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from typing import Any

import yaml

from cvzoo.weights.stated.lazy import as_options

Settings = dict[str, Any]


@lru_cache(maxsize=8)
def settings_of(record: str) -> Settings:
    """The variables of a Python config that has a `model`, or the entries of a YAML one; none of any other text.

    `record` is the file's name and, from the next line on, the text. Do not write into the result.
    """
    text = record.partition("\n")[2]
    try:
        if re.search(r"^model\s*=", text, re.MULTILINE):
            found = _assigned(text)
            return found if isinstance(found["model"], dict) else {}
        found = yaml.load(text, _Loader) if re.search(r"^(MODEL|model)\s*:", text, re.MULTILINE) else {}
    except (SyntaxError, yaml.YAMLError):
        return {}
    if isinstance(found, dict) and isinstance(found.get("model"), dict) and "_target_" in found["model"]:
        return as_options(found["model"])
    return _decoded(found) if isinstance(found, dict) and isinstance(found.get("MODEL"), dict) else {}


class _Loader(yaml.SafeLoader):
    """Plain values, and plain ones for the tuples, names and objects of Python that detectron2 marks in its files."""


def _plain(loader: _Loader, kind: str, node: yaml.Node) -> Any:
    """What is in an object, or a thing's name."""
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    return (
        loader.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode) else kind.rpartition(":")[2]
    )


_Loader.add_multi_constructor("tag:yaml.org,2002:python/", _plain)


def _decoded(value: Any) -> Any:
    """Values with those as numbers that yacs writes as text: `(6, 12, 18)`."""
    if isinstance(value, dict):
        return {key: _decoded(inner) for key, inner in value.items()}
    if isinstance(value, str) and re.fullmatch(r"[(\[][-+\d., e()\[\]]*[)\]]", value):
        return ast.literal_eval(value)
    return value


def model_of(record: str, name: str) -> Settings:
    """A part of the model in a text; nothing where there is none."""
    settings = settings_of(record)
    part = (settings.get("MODEL") or settings.get("model") or {}).get(name)
    return part if isinstance(part, dict) else {}


def head_of(record: str) -> str | None:
    """The class of the part that makes OpenMMLab's networks or detectron2's R-CNNs what they are, if a text tells."""
    types = [model_of(record, name).get("type") for name in ("roi_head", "bbox_head", "decode_head")]
    return next((kind for kind in (*types, model_of(record, "ROI_HEADS").get("NAME")) if isinstance(kind, str)), None)


def _assigned(text: str) -> Settings:
    found = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = _value(node.value)
    return found


def _value(node: ast.expr) -> Any:
    """Literals and dict(...); of anything else the source, as a string, which is no value that anybody expects."""
    match node:
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords):
            return {keyword.arg: _value(keyword.value) for keyword in keywords if keyword.arg}
        case ast.Dict(keys=keys, values=values):
            return {_value(key): _value(value) for key, value in zip(keys, values) if key is not None}
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return [_value(element) for element in elements]
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)
