"""The zoo: every system in the order of the table, and every row by name. Imports no torch."""

from __future__ import annotations

from cvzoo.zoo import (
    atss,
    cascade_rcnn,
    centernet,
    cornernet,
    deeplabv3plus,
    densepose,
    faster_rcnn,
    fcn,
    fcos,
    freeanchor,
    gcnet,
    mask_rcnn,
    pspnet,
    reppoints,
    retinanet,
    tensormask,
    treefilter,
    tridentnet,
)
from cvzoo.zoo.system import Row, System

SYSTEMS: tuple[System, ...] = (
    faster_rcnn.SYSTEM,
    mask_rcnn.SYSTEM,
    cascade_rcnn.SYSTEM,
    tridentnet.SYSTEM,
    retinanet.SYSTEM,
    fcos.SYSTEM,
    freeanchor.SYSTEM,
    reppoints.SYSTEM,
    atss.SYSTEM,
    tensormask.SYSTEM,
    centernet.SYSTEM,
    cornernet.SYSTEM,
    fcn.SYSTEM,
    pspnet.SYSTEM,
    deeplabv3plus.SYSTEM,
    gcnet.SYSTEM,
    treefilter.SYSTEM,
    densepose.SYSTEM,
)
ROWS: dict[str, Row] = {row.name: row for system in SYSTEMS for row in system.rows}
"""Every row by name, in the order of the table."""
assert len(ROWS) == sum(len(system.rows) for system in SYSTEMS), "two rows share a name"


def system_of(row: str) -> System:
    """The system of a row of the zoo."""
    return next(system for system in SYSTEMS if any(own.name == row for own in system.rows))
