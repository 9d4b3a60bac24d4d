"""CornerNet (1808.01244): `model.py` is the method, `head.py` its maps, `rows.py` its rows, `weights.py` whose weights
it loads.
"""

from cvzoo.zoo.cornernet.rows import SYSTEM

__all__ = ["SYSTEM"]
