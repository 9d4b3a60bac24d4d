"""TensorMask (1903.12174): `model.py` is the method, `rows.py` its rows, `weights.py` whose weights it loads."""

from cvzoo.zoo.tensormask.rows import SYSTEM

__all__ = ["SYSTEM"]
