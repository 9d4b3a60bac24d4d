"""Commands that hand models on: mirror."""

from __future__ import annotations

from pathlib import Path

import tyro

import cvzoo
from cvzoo.zoo import ROWS


def mirror(folder: tyro.conf.Positional[Path], rows: tyro.conf.Positional[tuple[str, ...]] = ()) -> None:
    """Fill a folder with published weights, for machines without a network.

    Args:
        folder: the mirror; files that are there and whole stay.
        rows: weights of these rows, and of their backbones; without, of all.
    """
    from cvzoo.share.mirror import fill

    for line in fill(folder, [ROWS[cvzoo.recipe(row).row] for row in rows] or list(ROWS.values())):
        print(line, flush=True)
