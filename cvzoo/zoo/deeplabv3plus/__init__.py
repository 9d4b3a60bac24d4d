"""DeepLab v3+ (1802.02611): `model.py` is the method, `rows.py` its rows, `weights.py` whose weights it loads."""

from cvzoo.zoo.deeplabv3plus.rows import SYSTEM

__all__ = ["SYSTEM"]
