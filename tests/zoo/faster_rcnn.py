"""Faster R-CNN, with a pyramid and on C4."""

from __future__ import annotations

from parity.config_detectron2_rcnn import mask_head_of, stages_of
from parity.golden import Case, Report
from parity.run_rcnn import run_rcnn
from zoo.rcnn import R101, X101, narrow
from zoo.systems import Fits, Golden

from cvzoo.zoo.faster_rcnn.model import FasterRCNNConfig

__all__ = ["GOLDEN", "MANIFESTS", "PARAMETERS", "narrow"]

FPN, C4, DC5 = "faster_rcnn_r50_fpn_1x", "faster_rcnn_r50_c4_1x", "faster_rcnn_r50_dc5_1x"
VOC = "faster_rcnn_r50_c4_voc"
PARAMETERS = {FPN: 41_699_936, C4: 33_791_644}
"""detectron2's counts, frozen stages included (spec two_stage.md 1.14)."""
MANIFESTS = {
    "detectron2/faster_rcnn_R_50_FPN_1x": Fits(FPN),
    "detectron2/faster_rcnn_R_50_FPN_3x": Fits(FPN),
    "detectron2/faster_rcnn_R_101_FPN_3x": Fits(FPN, body=R101),
    "detectron2/faster_rcnn_X_101_32x8d_FPN_3x": Fits(FPN, body=X101),
    "detectron2/pascal_voc_faster_rcnn_R_50_FPN": Fits(FPN, classes=20),
    "detectron2/faster_rcnn_R_50_C4_1x": Fits(C4),
    "detectron2/faster_rcnn_R_50_C4_3x": Fits(C4),
    "detectron2/faster_rcnn_R_101_C4_3x": Fits(C4, body=R101),
    "detectron2/pascal_voc_faster_rcnn_R_50_C4": Fits(VOC, classes=20),
    "detectron2/faster_rcnn_R_50_DC5_1x": Fits(DC5),
    "detectron2/faster_rcnn_R_50_DC5_3x": Fits(DC5),
    "detectron2/faster_rcnn_R_101_DC5_3x": Fits(DC5, body=R101),
    "mmlab/faster-rcnn_r50_fpn_1x_coco": Fits(FPN),
}


def run_detectron2(case: Case) -> Report:
    options = case.info["options"]
    assert mask_head_of(options["MODEL"]) is None
    return run_rcnn(case, FasterRCNNConfig(**stages_of(options)))


GOLDEN = {"faster_rcnn": Golden("detectron2", run_detectron2)}
