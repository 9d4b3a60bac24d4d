"""GCNet (1904.11492): `model.py` is the method, `rows.py` its rows, `weights.py` whose weights it loads."""

from cvzoo.zoo.gcnet.rows import SYSTEM

__all__ = ["SYSTEM"]
