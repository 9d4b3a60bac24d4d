"""RepPoints (1904.11490): `model.py` is the method, `rows.py` its rows, `weights.py` whose weights it loads."""

from cvzoo.zoo.reppoints.rows import SYSTEM

__all__ = ["SYSTEM"]
