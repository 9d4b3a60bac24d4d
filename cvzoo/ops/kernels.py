"""Which operations have Triton kernels of their own on CUDA, and where these can be used.

Whatever has one does the same by PyTorch's operations elsewhere. A kernel's module, `<operation>_triton.py`, imports
Triton, which is missing on some systems; so it is imported when it is needed. Kernels compute in float32.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor


def triton_kernels(operation: str, x: Tensor) -> Any:
    """The module of an operation's Triton kernels where `x` is on CUDA and Triton is installed; else None.

    None, too, while torch.compile traces, which makes kernels of PyTorch's operations itself.
    """
    if not x.is_cuda or x.dtype == torch.float64 or torch.compiler.is_compiling() or not _installed():
        return None
    return import_module(f"cvzoo.ops.{operation}_triton")


@cache
def _installed() -> bool:
    return find_spec("triton") is not None
