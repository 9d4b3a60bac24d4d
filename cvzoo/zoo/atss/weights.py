"""Whose weights ATSS loads: mmdetection 3 `configs/atss`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from cvzoo.weights.conventions import MMDETECTION_BODY, fitted
from cvzoo.weights.keys import dense, pyramid
from cvzoo.weights.keys.rename import State
from cvzoo.weights.source import Marker, Source, own
from cvzoo.zoo.atss.model import ATSSConfig

MMDETECTION = ATSSConfig(backbone=MMDETECTION_BODY, anchors=replace(ATSSConfig().anchors, order="ratio"))
"""`atss_r50_fpn_1x_coco`: our defaults."""
NAMES = tuple(
    (rf"^bbox_head\.atss_{theirs}\.", f"head.{ours}_out.")
    for theirs, ours in (("cls", "cls"), ("reg", "box"), ("centerness", "centreness"))
)


def from_mmdetection(state: State) -> State:
    return dense.from_mmdetection(state, *NAMES)


WHAT = "ATSS"
SOURCES = (
    own(
        WHAT,
        Marker(
            has=(pyramid.OURS, r"^head\.centreness_out\.", r"^head\.scales\."),
            lacks=("^positives$",),  # which counts the positives of a similar system
        ),
    ),
    Source(
        name="mmdetection",
        what=WHAT,
        marker=Marker(has=(pyramid.MMDETECTION_MARK, r"^bbox_head\.atss_cls\.")),
        translate=from_mmdetection,
        config=partial(fitted, MMDETECTION, own=("tower_convs",)),
        types=("ATSSHead",),
    ),
)
