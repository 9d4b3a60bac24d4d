"""Tree filter (1909.12513): `model.py` is the method, `rows.py` its rows, `weights.py` whose weights it loads."""

from cvzoo.zoo.treefilter.rows import SYSTEM

__all__ = ["SYSTEM"]
