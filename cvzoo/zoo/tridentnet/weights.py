"""Whose weights TridentNet loads: its branches share theirs, so that they are those of any R-CNN on C4.

Source: detectron2 0.6 `projects/TridentNet`.
"""

from __future__ import annotations

from dataclasses import replace

from cvzoo.parts.rcnn import conventions as stages
from cvzoo.weights.conventions import CAFFE_BODY, CAFFE_C4, as_begun, fitted
from cvzoo.weights.keys import rcnn
from cvzoo.weights.keys.rename import State
from cvzoo.weights.source import Source, own
from cvzoo.weights.stated.text import model_of
from cvzoo.zoo.tridentnet.model import TridentNetConfig

DETECTRON2 = TridentNetConfig(backbone=CAFFE_BODY, pixels=CAFFE_C4)
"""`tridentnet_fast_R_50_C4_{1x,3x}`: our defaults on a caffe backbone."""


def detectron2(state: State, row: TridentNetConfig) -> TridentNetConfig:
    return fitted(as_begun(DETECTRON2, state, row), state, row)


def branches(config: TridentNetConfig, record: str) -> TridentNetConfig:
    """How the branches dilate and which of them infer, no key tells: the file's config does."""
    part = model_of(record, "TRIDENT")
    dilations, one = tuple(part.get("BRANCH_DILATIONS", config.dilations)), part.get("TEST_BRANCH_IDX")
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
        config=detectron2,
        told=branches,
    ),
)
ADOPT = stages.adopted_on_c4
"""Weights of another detector on C4 are this one's, too."""
