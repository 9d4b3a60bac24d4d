"""The zoo: every row by name, with what the table says about it. Imports no torch, so `cvzoo list` starts at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from cvzoo.recipes import detection
from cvzoo.recipes.recipe import Recipe

Task = Literal["detection", "segmentation", "pose"]


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A figure somebody else published for the same system. It never mixes with ours."""

    name: str
    """Who: `detectron2`, `torchvision` ..."""
    results: dict[str, float]
    """Metric name (`box_AP` ...) to value in 0..1."""
    source: str
    """Address of the page that states it."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the zoo table; the recipe's function name is the row's name."""

    recipe: Callable[[], Recipe]
    task: Task = "detection"
    system: str
    """The published method, heading of its table."""
    paper: str
    """arXiv number."""
    backbone: str
    style: str = "pytorch"
    """`pytorch` (RGB, stride in the 3x3 convolution) or `caffe` (BGR, stride in the 1x1)."""
    lr_schd: str
    """Schedule as the field names it: 1x is 90 000 iterations of 16 images."""
    references: tuple[Reference, ...] = ()
    parity: tuple[str, ...] = ()
    """References whose weights give equal outputs here, proven by a test."""

    @property
    def name(self) -> str:
        return self.recipe.__name__


def _table(*rows: Row) -> dict[str, Row]:
    table = {row.name: row for row in rows}
    assert len(table) == len(rows), "two rows share a name"
    return table


ROWS = _table(
    Row(
        recipe=detection.retinanet_r18_fpn_shapes,
        system="RetinaNet",
        paper="1708.02002",
        backbone="R-18-FPN",
        lr_schd="500 it",
    ),
)
"""Every row of the zoo in the order of the table."""
