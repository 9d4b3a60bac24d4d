"""TridentNet."""

from __future__ import annotations

from parity.config_detectron2_rcnn import mask_head_of, stages_of
from parity.golden import Case, Report
from parity.options import Options, must_be
from parity.run_rcnn import run_rcnn
from zoo.rcnn import R101, narrow
from zoo.systems import Fits, Golden

from cvzoo.zoo.tridentnet.model import TridentNetConfig

__all__ = ["GOLDEN", "MANIFESTS", "PARAMETERS", "narrow"]

FAST = "tridentnet_r50_c4_1x"
PARAMETERS = {FAST: 33_791_644}
"""detectron2's count, frozen stages included (spec two_stage.md 1.14)."""
MANIFESTS = {
    "detectron2/tridentnet_fast_R_50_C4_1x": Fits(FAST),
    "detectron2/tridentnet_fast_R_50_C4_3x": Fits(FAST),
    "detectron2/tridentnet_fast_R_101_C4_3x": Fits(FAST, body=R101),
}


def detectron2(options: Options) -> TridentNetConfig:
    model, trident = options["MODEL"], options["MODEL"]["TRIDENT"]
    stages, dilations = stages_of(options), tuple(trident["BRANCH_DILATIONS"])
    assert stages.pop("fpn") is None
    assert mask_head_of(model) is None
    must_be(trident, TRIDENT_STAGE="res4", NUM_BRANCH=len(dilations))
    all_branches = {-1: True, len(dilations) // 2: False}[trident["TEST_BRANCH_IDX"]]
    return TridentNetConfig(**stages, dilations=dilations, all_branches=all_branches)


def run_detectron2(case: Case) -> Report:
    return run_rcnn(case, detectron2(case.info["options"]))


GOLDEN = {"tridentnet": Golden("detectron2", run_detectron2)}
