"""FCOS (1904.01355): `model.py` is the method, `rows.py` its rows, `weights.py` whose weights it loads."""

from cvzoo.zoo.fcos.rows import SYSTEM

__all__ = ["SYSTEM"]
