"""Mask R-CNN (1703.06870): `model.py` is the method, `rows.py` its rows, `weights.py` whose weights it loads."""

from cvzoo.zoo.mask_rcnn.rows import SYSTEM

__all__ = ["SYSTEM"]
