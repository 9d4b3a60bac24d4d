"""Loops compiled by Numba on first use, which is imported with this module and takes a while."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Without Python's lock, and kept on disk; compiled anew in every process where no folder can be written to."""
    try:
        return numba.njit(nogil=True, cache=True)(kernel)
    except RuntimeError:
        return numba.njit(nogil=True)(kernel)
