"""Faster R-CNN (1506.01497): `model.py` is the method, `rows.py` its rows, `weights.py` whose weights it loads."""

from cvzoo.zoo.faster_rcnn.rows import SYSTEM

__all__ = ["SYSTEM"]
