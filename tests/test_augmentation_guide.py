"""The blocks of docs/augmentation.md, executed as they stand there, and its table against the fields there are."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from guides import execute

from cvzoo.data.config import Augmentation, Data
from cvzoo.data.own_transform import transformed
from cvzoo.data.shapes import draw

PAGE = Path(__file__).parents[1] / "docs" / "augmentation.md"
BLOCK = re.compile(r"<!-- tested(?:: ([\w.]+))? -->\n```(bash|python)\n(.*?)```", re.DOTALL)
WINDOWS = {"window_scales", "window_side", "window_border", "crop_max_share", "flip_uv_self_parts"}
"""Settings of key-point detectors, label maps and surfaces, which those rows bring along."""


def blocks() -> list[tuple[str, str, str]]:
    return BLOCK.findall(PAGE.read_text())


def test_every_field_has_its_line() -> None:
    named = set(re.findall(r"^\| `(\w+)", PAGE.read_text(), re.M))
    fields = {field.name for field in dataclasses.fields(Augmentation)}
    assert named == fields - WINDOWS | {"short_sides"}


def test_the_options_are_a_rows(tmp_path: Path) -> None:
    (text,) = [text for name, _, text in blocks() if name == "options"]
    shown, _ = json.JSONDecoder().raw_decode(execute("bash", text.replace("cvzoo train", "cvzoo show"), tmp_path))
    assert shown["data"]["rotation"] == [-15, 15]
    assert shown["data"]["mixed_until"] == 0.8


def test_the_command_trains(tmp_path: Path) -> None:
    own = {name: text for name, _, text in blocks()}
    (tmp_path / "own.py").write_text(own["own.py"])
    execute("bash", own[""], tmp_path)
    run = tmp_path / "runs" / "retinanet_r18_fpn_shapes"
    assert (run / "model.safetensors").exists()
    digest = hashlib.sha256(own["own.py"].encode()).hexdigest()
    assert json.loads((run / "env.json").read_text())["transform"]["sha256"] == digest


@pytest.mark.parametrize("file", ["own.py", "fog.py"])
def test_the_functions_work(file: str, tmp_path: Path) -> None:
    if file == "fog.py":
        pytest.importorskip("albumentations", reason="optional: pip install albumentations==2.0.8")
    (text,) = [text for name, _, text in blocks() if name == file]
    (tmp_path / file).write_text(text)
    data = Data(transform=f"{tmp_path / file}:augment")
    sample = draw(96, 96, 5, 2, masks=True)
    changed = [transformed(sample, data, 3, np.random.default_rng(seed)).image for seed in range(8)]
    assert 0 < sum(not image.equal(sample.image) for image in changed) < 8
