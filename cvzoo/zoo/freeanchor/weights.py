"""Whose weights FreeAnchor loads: mmdetection 3 `configs/free_anchor`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from cvzoo.nn.fpn import FPNConfig
from cvzoo.weights.conventions import MMDETECTION_BODY, fitted
from cvzoo.weights.keys import dense, pyramid
from cvzoo.weights.source import Marker, Source, own
from cvzoo.zoo.freeanchor.model import FreeAnchorConfig

MMDETECTION = FreeAnchorConfig(
    backbone=MMDETECTION_BODY,
    fpn=FPNConfig(extra_from="input", extra_relu=False),
    anchors=replace(FreeAnchorConfig().anchors, order="ratio"),
    clamp_shrinking=True,
)
"""`freeanchor_r50_fpn_1x_coco`."""


WHAT = "FreeAnchor"
SOURCES = (
    own(
        WHAT,
        Marker(
            has=(pyramid.OURS, r"^head\.cls_tower\.", r"^head\.box_out\."),
            # the last counts the positives of a similar system
            lacks=(r"^head\.centreness_out\.", dense.MASKS, "^positives$"),
        ),
    ),
    Source(
        name="mmdetection",
        what=WHAT,
        marker=Marker(has=(pyramid.MMDETECTION_MARK, r"^bbox_head\.retina_cls\.")),
        translate=dense.anchor_head_of_mmdetection,
        config=partial(fitted, MMDETECTION, own=("tower_convs",)),
        types=("FreeAnchorRetinaHead",),
    ),
)
