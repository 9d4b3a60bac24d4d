"""Pickles of arrays, without running anything that is in them. Imports no torch."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

ADMITTED = {
    *(("numpy", name) for name in ("ndarray", "dtype")),
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    *(("_codecs", "encode"), ("__builtin__", "bytes"), ("builtins", "bytes")),
    ("collections", "OrderedDict"),
}
"""All that an array needs to come out of a pickle of any protocol; the fourth line is how old ones write its bytes."""


class ArrayUnpickler(pickle.Unpickler):
    """Builds containers, scalars, strings and numpy arrays, and refuses every other class or function."""

    def __init__(self, file: Any, refuse: Callable[[str], Exception]) -> None:
        """`refuse` words the error for the name of what a pickle asks for."""
        super().__init__(file, encoding="latin1")  # old files are of Python 2's making
        self.refuse = refuse

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ADMITTED:
            raise self.refuse(f"{module}.{name}")
        return super().find_class(module, name)
