"""Whose weights TridentNet loads: its branches share theirs, so that they are those of any R-CNN on C4.

Sources: detectron2 0.6 `projects/TridentNet`; mmdetection 3 `configs/tridentnet`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from cvzoo.nn.pixels import CAFFE
from cvzoo.parts.rcnn import conventions as stages
from cvzoo.weights.conventions import CAFFE_BODY, CAFFE_C4, fitted
from cvzoo.weights.keys import rcnn
from cvzoo.weights.source import Source, own
from cvzoo.weights.stated.text import model_of
from cvzoo.zoo.tridentnet.model import TridentNetConfig

DETECTRON2 = TridentNetConfig(backbone=CAFFE_BODY, pixels=CAFFE_C4)
"""`tridentnet_fast_R_50_C4_{1x,3x}`: our defaults on a caffe backbone."""
MMDETECTION = TridentNetConfig(
    backbone=CAFFE_BODY,
    pixels=CAFFE,
    rpn=replace(stages.MMDETECTION_C4_RPN, post_nms_train=500),
    box_head=replace(DETECTRON2.box_head, clamp_shrinking=True, detect=stages.MMDETECTION_REGIONS.detect),
)
"""`tridentnet_r50-caffe_1x_coco`."""


def branches(config: TridentNetConfig, record: str) -> TridentNetConfig:
    """How the branches dilate and which of them infer, no key tells: the file's config does."""
    part, body = model_of(record, "TRIDENT"), model_of(record, "backbone")
    dilations = tuple(part.get("BRANCH_DILATIONS", body.get("trident_dilations", config.dilations)))
    one = part.get("TEST_BRANCH_IDX", body.get("test_branch_idx"))
    if one is None or one == -1:
        return replace(config, dilations=dilations, all_branches=config.all_branches if one is None else True)
    if one != len(dilations) // 2:
        dilations = dilations[one : one + 1]
    return replace(config, dilations=dilations, all_branches=False)


WHAT = "TridentNet"
SOURCES = (
    own(WHAT, stages.OUR_C4),
    Source(
        name="detectron2",
        what=WHAT,
        marker=stages.DETECTRON2_ON_C4,
        translate=rcnn.from_detectron2,
        config=partial(stages.detectron2, DETECTRON2),
        told=branches,
        types=("TridentRes5ROIHeads",),
    ),
    Source(
        name="mmdetection",
        what=WHAT,
        marker=stages.MMDETECTION_ON_C4,
        translate=rcnn.from_mmdetection,
        config=partial(fitted, MMDETECTION),
        told=branches,
        types=("TridentRoIHead",),
    ),
)
ADOPT = stages.adopted_on_c4
"""Weights of another detector on C4 are this one's, too."""
