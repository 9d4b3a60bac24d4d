"""ATSS (1912.02424): `model.py` is the method, `rows.py` its rows, `weights.py` whose weights it loads."""

from cvzoo.zoo.atss.rows import SYSTEM

__all__ = ["SYSTEM"]
