"""The Triton kernels without a GPU: interpreted they compute what PyTorch does, and they compile for one."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from packaging.version import Version

from cvzoo.ops.kernels import triton_kernels

MAP, WIDE, ROWS = "*bf16", "*fp32", "*i64"
NORM: dict[str, Any] = {"cells": "i32", "channels": "i32", "eps": "fp32", "rows": 4, "columns": 16, "relu": True}
GROUPS: dict[str, Any] = {"cells": "i32", "channels": "i32", "groups": "i32", "eps": "fp32", "relu": True}
TILE: dict[str, Any] = {"size": 8, "rows": 16, "columns": 8}
POOL: dict[str, Any] = {
    "boxes": WIDE, "images": ROWS, "levels": ROWS, "out": MAP, "level": "i32", "scale": "fp32", "height": "i32",
    "width": "i32", "channels": "i32", "size": 7, "sampling": 0, "aligned": True, "block": 32,
}  # fmt: skip
SWAP: dict[str, Any] = {
    "places": ROWS, "out": WIDE, "pixels": "i64", "windows": "i32", "height": "i32", "width": "i32", "pad": "fp32",
    "side": 3, "scale": 2, "block": 64,
}  # fmt: skip
FOCAL: dict[str, Any] = {
    "logits": MAP, "labels": ROWS, "loss": WIDE, "candidates": "i32", "of_positives": "fp32", "of_negatives": "fp32",
    "gamma": "fp32", "ignored": -2, "square": True, "classes": 5, "rows": 4, "columns": 8,
}  # fmt: skip
PAIRS: dict[str, Any] = dict.fromkeys(("boxes", "others", "out"), WIDE) | {"block": 64}
NMS: dict[str, Any] = {
    "words": "*i32", "boxes": WIDE, "count": "i32", "words_of_row": "i32", "threshold": "fp32", "block": 32,
}  # fmt: skip
PAIRS |= dict.fromkeys(("count", "own_count", "of_image"), "i32")
of_norm = dict.fromkeys(("weight", "bias", "mean", "var", "rstd", "sums"), WIDE)
of_maps = dict.fromkeys(("x", "shortcut", "out", "y", "grad", "grad_x", "grad_shortcut"), MAP)
KERNELS: list[tuple[str, str, dict[str, Any]]] = [
    ("frozen_norm", "_forward", NORM | {"added": True}),
    ("frozen_norm", "_backward", NORM | {"added": True}),
    ("group_norm", "_forward", GROUPS | TILE),
    ("group_norm", "_backward", GROUPS | TILE),
    ("focal_loss", "_loss", FOCAL),
    ("focal_loss", "_loss", FOCAL | {"square": False}),
    ("nms", "_overlaps", NMS),
    ("pairwise_iou", "_iou", PAIRS),
    ("roi_align", "_pool", POOL | {"x": MAP, "back": False}),
    ("roi_align", "_pool", POOL | {"x": WIDE, "back": True}),
    ("swap_align2nat", "_swap", SWAP | {"x": MAP, "back": False}),
    ("swap_align2nat", "_swap", SWAP | {"x": WIDE, "back": True}),
]


@pytest.mark.parametrize("interpreted", ["1", pytest.param("0", marks=pytest.mark.gpu)])
def test_they_compute_what_pytorch_does(interpreted: str, tmp_path: Path) -> None:
    """In a process of their own: whether kernels are interpreted is decided when Triton is imported."""
    triton = pytest.importorskip("triton")
    if (
        interpreted == "1"
        and Version(triton.__version__) < Version("3.7")
        and Version(np.__version__) >= Version("2.4")
    ):
        pytest.skip("Triton 3.6, of torch 2.11, interprets with a conversion that NumPy 2.4 refuses")
    environment = {"TRITON_INTERPRET": interpreted, "TRITON_CACHE_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    cases = str(Path(__file__).with_name("triton_cases.py"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", cases]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("smallest", [False, True])
@pytest.mark.parametrize(
    ("operation", "name", "arguments"), KERNELS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_they_compile_for_a_gpu(
    operation: str,
    name: str,
    arguments: dict[str, Any],
    smallest: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also for a map of one cell, since of a number that is 1 Triton makes a constant."""
    triton = pytest.importorskip("triton")
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    kernel = getattr(import_module(f"cvzoo.ops.{operation}_triton"), name)
    types = {argument: (of_maps | of_norm | arguments)[argument] for argument in kernel.arg_names}
    types |= {argument: 1 for argument, kind in types.items() if smallest and kind in ("i32", "i64")}
    constants = {argument: kind for argument, kind in types.items() if not isinstance(kind, str)}
    signature = types | dict.fromkeys(constants, "constexpr")
    compiled = triton.compile(ASTSource(kernel, signature, constants), target=GPUTarget("cuda", 90, 32))
    assert compiled.asm["cubin"]


def test_on_a_cpu_pytorchs_operations_are_used() -> None:
    assert triton_kernels("frozen_norm", torch.zeros(1)) is None


def test_a_compiled_kernel_is_used_again_only_for_arguments_that_are_alike_to_triton() -> None:
    pytest.importorskip("triton")
    kind = import_module("cvzoo.ops.launch_triton")._kind
    x = torch.zeros(64)
    assert len({kind(x), kind(x[1:]), kind(x.half()), kind(1), kind(15), kind(16), kind(2**31), kind(0.5)}) == 8
    assert kind(x) == kind(x[4:])
    assert kind(32) == kind(48)
