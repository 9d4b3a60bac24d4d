"""Loops compiled by Numba on first use, which is imported with this module and takes a while."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numba
from numba.core.caching import FunctionCache


class _Cache(FunctionCache):
    """Where the disk is full, nothing is kept: Numba's own would end the program."""

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(OSError):
            super().save_overload(sig, data)


def compiled(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Without Python's lock, and kept on disk; compiled anew in every process where no folder can be written to."""
    loop: Any = numba.njit(nogil=True)(kernel)
    with suppress(RuntimeError):  # no folder
        loop._cache = _Cache(kernel)  # as cache=True does
    return loop
