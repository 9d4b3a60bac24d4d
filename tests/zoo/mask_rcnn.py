"""Mask R-CNN, with a pyramid and on C4."""

from __future__ import annotations

from parity.config_detectron2_rcnn import mask_head_of, stages_of
from parity.golden import Case, Report
from parity.options import Options
from parity.run_rcnn import run_rcnn
from zoo.rcnn import R101, X101, narrow
from zoo.systems import Fits, Golden

from cvzoo.zoo.mask_rcnn.model import MaskRCNNConfig

__all__ = ["GOLDEN", "MANIFESTS", "PARAMETERS", "narrow"]

FPN, C4, DC5 = "mask_rcnn_r50_fpn_1x", "mask_rcnn_r50_c4_1x", "mask_rcnn_r50_dc5_1x"
CITYSCAPES, LVIS_V05 = "mask_rcnn_r50_fpn_cityscapes", "mask_rcnn_r50_fpn_lvis_v05_1x"
DEFORM = {"deform": "v1"}
GROUP_NORMS, BATCH_NORMS = {"norm": "group"}, {"norm": "batch"}
PARAMETERS = {FPN: 44_343_216}
"""detectron2's count, frozen stages included (spec two_stage.md 1.14)."""
MANIFESTS = {
    "detectron2/mask_rcnn_R_50_C4_1x": Fits(C4),
    "detectron2/mask_rcnn_R_50_C4_3x": Fits(C4),
    "detectron2/mask_rcnn_R_101_C4_3x": Fits(C4, body=R101),
    "detectron2/mask_rcnn_R_50_DC5_1x": Fits(DC5),
    "detectron2/mask_rcnn_R_50_DC5_3x": Fits(DC5),
    "detectron2/mask_rcnn_R_101_DC5_3x": Fits(DC5, body=R101),
    "detectron2/mask_rcnn_R_50_FPN_1x": Fits(FPN),
    "detectron2/mask_rcnn_R_50_FPN_3x": Fits(FPN),
    "detectron2/mask_rcnn_R_50_FPN_1x_giou": Fits(FPN),
    "detectron2/mask_rcnn_R_50_FPN_1x_cls_agnostic": Fits(FPN),
    "detectron2/mask_rcnn_R_50_FPN_3x_gn": Fits(FPN, body=GROUP_NORMS),
    "detectron2/mask_rcnn_R_50_FPN_3x_syncbn": Fits(FPN, body=BATCH_NORMS),
    "detectron2/scratch_mask_rcnn_R_50_FPN_3x_gn": Fits(FPN, body=GROUP_NORMS),
    "detectron2/scratch_mask_rcnn_R_50_FPN_9x_gn": Fits(FPN, body=GROUP_NORMS),
    "detectron2/scratch_mask_rcnn_R_50_FPN_9x_syncbn": Fits(FPN, body=BATCH_NORMS),
    "detectron2/mask_rcnn_R_50_FPN_1x_dconv_c3-c5": Fits(FPN, body=DEFORM),
    "detectron2/mask_rcnn_R_50_FPN_3x_dconv_c3-c5": Fits(FPN, body=DEFORM),
    "detectron2/mask_rcnn_R_101_FPN_3x": Fits(FPN, body=R101),
    "detectron2/mask_rcnn_X_101_32x8d_FPN_3x": Fits(FPN, body=X101),
    "detectron2/cityscapes_mask_rcnn_R_50_FPN": Fits(CITYSCAPES, classes=8),
    "detectron2/lvis_v0.5_mask_rcnn_R_50_FPN_1x": Fits(LVIS_V05, classes=1230),
    "detectron2/lvis_v0.5_mask_rcnn_R_101_FPN_1x": Fits(LVIS_V05, body=R101, classes=1230),
    "detectron2/lvis_v0.5_mask_rcnn_X_101_32x8d_FPN_1x": Fits(LVIS_V05, body=X101, classes=1230),
    "mmlab/mask-rcnn_r50_fpn_1x_coco": Fits(FPN),
    "mmlab/mask-rcnn_r50-syncbn_fpn_1x_coco": Fits(FPN),
    "mmlab/mask-rcnn_r101_fpn_1x_coco": Fits(FPN, body=R101),
}


def detectron2(options: Options) -> MaskRCNNConfig:
    mask_head = mask_head_of(options["MODEL"])
    assert mask_head is not None
    return MaskRCNNConfig(**stages_of(options), mask_head=mask_head)


def run_detectron2(case: Case) -> Report:
    return run_rcnn(case, detectron2(case.info["options"]))


GOLDEN = {"mask_rcnn": Golden("detectron2", run_detectron2)}
