"""FCN (1411.4038): `model.py` is the method, `rows.py` its rows, `weights.py` whose weights it loads."""

from cvzoo.zoo.fcn.rows import SYSTEM

__all__ = ["SYSTEM"]
