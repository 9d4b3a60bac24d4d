"""Cascade R-CNN (1712.00726): `model.py` is the method, `rows.py` its rows, `weights.py` whose weights it loads."""

from cvzoo.zoo.cascade_rcnn.rows import SYSTEM

__all__ = ["SYSTEM"]
