"""What the host does on a CUDA device, on one that computes nothing (`benchmarks/no_device`)."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from engine.tiny import ROOT

pytestmark = pytest.mark.skipif(
    not shutil.which("g++") or torch.version.cuda is None, reason="needs a C++ compiler and torch built for CUDA"
)


def run(*command: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks/no_device/build.py"), sys.executable, *command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_row_with_masks_is_trained_and_evaluated(tmp_path: Path) -> None:
    options = ["--data.shapes.val-images=4", "--schedule.iterations=4", "--schedule.batch=4", "--precision=fp16"]
    options += ["--run.log-every=2", "--run.cuda-graphs", "--data.workers=1"]
    told = run("-m", "cvzoo", "train", "mask_rcnn_r18_fpn_shapes", "--device=cuda", *options, folder=tmp_path)
    assert "1 x cuda, fp16" in told
    lines = (tmp_path / "runs/mask_rcnn_r18_fpn_shapes/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["iteration"] for line in lines][:2] == [2, 4]


def test_parts_are_captured_without_a_wait(tmp_path: Path) -> None:
    tests = str(ROOT / "tests/engine/test_cuda_graphs.py")
    options = ["-q", "-m", "gpu", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml")]
    assert "7 passed" in run("-m", "pytest", tests, *options, folder=tmp_path)
