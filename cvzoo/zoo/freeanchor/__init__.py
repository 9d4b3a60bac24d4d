"""FreeAnchor (1909.02466): `model.py` is the method, `rows.py` its rows, `weights.py` whose weights it loads."""

from cvzoo.zoo.freeanchor.rows import SYSTEM

__all__ = ["SYSTEM"]
