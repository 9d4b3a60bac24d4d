"""DensePose R-CNN (1802.00434): `model.py` is the method, `rows.py` its rows, `weights.py` whose weights it loads."""

from cvzoo.zoo.densepose.rows import SYSTEM

__all__ = ["SYSTEM"]
