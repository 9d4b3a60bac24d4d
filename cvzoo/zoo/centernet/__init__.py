"""CenterNet (1904.07850): `model.py` is the method, `rows.py` its rows, `weights.py` whose weights it loads."""

from cvzoo.zoo.centernet.rows import SYSTEM

__all__ = ["SYSTEM"]
