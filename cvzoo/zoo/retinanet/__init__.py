"""RetinaNet (1708.02002): `model.py` is the method, `rows.py` its rows, `weights.py` whose weights it loads."""

from cvzoo.zoo.retinanet.rows import SYSTEM

__all__ = ["SYSTEM"]
