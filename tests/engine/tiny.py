"""A recipe that trains in a second: narrow RetinaNet, drawn images of 64 pixels, no batch statistics."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import cvzoo
from cvzoo.engine.train import train
from cvzoo.recipes import Recipe
from cvzoo.recipes.codec import to_json
from cvzoo.zoo import ROWS

ROOT = Path(cvzoo.__file__).parents[1]


def tiny(out: Path, row: str = "retinanet_r18_fpn_shapes", **changed: Any) -> Recipe[Any]:
    """The recipe with fields changed by dotted name, a double underscore for each dot: `optim__lr=0.1`."""
    fields: dict[str, Any] = {
        "run__out": out,
        "run__device": "cpu",
        "run__log_every": 1,
        "run__checkpoint_every": 5,
        "model__backbone__width": 8,
        "model__backbone__norm": "frozen",
        "model__fpn__channels": 16,
        "model__tower_convs": 1,
        "model__normaliser": "batch",
        "data__shapes__size": 64,
        "data__shapes__val_images": 4,
        "data__short_sides": (64,),
        "data__test_short_side": 64,
        "data__max_long_side": 64,
        "data__canvas": (64, 64),
        "optim__name": "sgd",
        "optim__lr": 0.01,
        "schedule__iterations": 12,
        "schedule__batch": 4,
        "schedule__base_batch": 4,
        "schedule__warmup_iterations": 5,
    }
    if "rcnn" in row:
        del fields["model__tower_convs"], fields["model__normaliser"]
    if ROWS[row].task == "segmentation":
        del fields["model__fpn__channels"], fields["model__tower_convs"], fields["model__normaliser"]
        fields |= {"model__channels": 16, "model__aux__channels": 8}
    recipe = cvzoo.recipe(row)
    for name, value in (fields | changed).items():
        recipe = _replaced(recipe, name.split("__"), value)
    return recipe


def whole_run(folders: pytest.TempPathFactory, *row: str, **changed: Any) -> Path:
    """The folder of a tiny run from its first iteration to its last."""
    torch.set_num_threads(1)
    folder = folders.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return train(tiny(folder / "runs", *row, **changed)).folder


def _replaced(node: Any, names: list[str], value: Any) -> Any:
    inner = _replaced(getattr(node, names[0]), names[1:], value) if len(names) > 1 else value
    return dataclasses.replace(node, **{names[0]: inner})


def command(
    recipe: Recipe[Any], folder: Path, *launcher: str, start_new_session: bool = False
) -> subprocess.Popen[str]:
    """Start `cvzoo train` on the recipe in a process of its own, with one thread."""
    file = folder / "wanted.json"
    file.write_text(json.dumps(to_json(recipe)))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, *launcher, "-m", "cvzoo", "train", str(file)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=start_new_session,
    )


def logged(folder: Path) -> list[dict[str, float]]:
    """The lines of metrics.jsonl without what depends on the clock and the machine."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    measured = ("seconds", "data_seconds", "memory_gb")
    return [{name: value for name, value in line.items() if name not in measured} for line in lines]


def losses(folder: Path) -> list[dict[str, float]]:
    """Of those lines what is known of training."""
    lines = [line for line in logged(folder) if "loss" in line]
    return [{name: value for name, value in line.items() if not name.startswith("val/")} for line in lines]
