"""PSPNet (1612.01105): `model.py` is the method, `rows.py` its rows, `weights.py` whose weights it loads."""

from cvzoo.zoo.pspnet.rows import SYSTEM

__all__ = ["SYSTEM"]
