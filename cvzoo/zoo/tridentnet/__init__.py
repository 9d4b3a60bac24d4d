"""TridentNet (1901.01892): `model.py` is the method, `rows.py` its rows, `weights.py` whose weights it loads."""

from cvzoo.zoo.tridentnet.rows import SYSTEM

__all__ = ["SYSTEM"]
