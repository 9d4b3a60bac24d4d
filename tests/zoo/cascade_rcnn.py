"""Cascade R-CNN, with masks and without."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from parity import config_detectron2_rcnn as of_detectron2
from parity import config_mmdet_rcnn as of_mmdetection
from parity.golden import Case, Report
from parity.options import Options, must_be
from parity.run_rcnn import run_rcnn
from parity.run_rcnn_mmdet import run_cascade
from zoo.rcnn import R101, narrow
from zoo.systems import Fits, Golden

from cvzoo.zoo.cascade_rcnn.model import CascadeRCNNConfig, StageConfig

__all__ = ["GOLDEN", "MANIFESTS", "PARAMETERS", "narrow"]

BOXES, MASKS = "cascade_rcnn_r50_fpn_1x", "cascade_mask_rcnn_r50_fpn_1x"
PARAMETERS = {MASKS: 71_984_926}
"""detectron2's count, frozen stages included (spec two_stage.md 1.14)."""
MANIFESTS = {
    "detectron2/cascade_mask_rcnn_R_50_FPN_1x": Fits(MASKS),
    "detectron2/cascade_mask_rcnn_R_50_FPN_3x": Fits(MASKS),
    "detectron2/cascade_mask_rcnn_X_152_32x8d_FPN_IN5k_gn_dconv": Fits(
        MASKS, body={"depth": 152, "groups": 32, "deform": "v1", "deform_groups": 1}
    ),
    "mmlab/cascade-rcnn_r50_fpn_1x_coco": Fits(BOXES),
    "mmlab/cascade-mask-rcnn_r50_fpn_1x_coco": Fits(MASKS),
    "mmlab/cascade-mask-rcnn_r101_fpn_1x_coco": Fits(MASKS, body=R101),
}


def detectron2(options: Options) -> CascadeRCNNConfig:
    model, cascade = options["MODEL"], options["MODEL"]["ROI_BOX_CASCADE_HEAD"]
    stages = tuple(
        StageConfig(positive_from=iou, box_weights=tuple(weights))
        for iou, weights in zip(cascade["IOUS"], cascade["BBOX_REG_WEIGHTS"], strict=True)
    )
    return CascadeRCNNConfig(
        **of_detectron2.stages_of(options), stages=stages, mask_head=of_detectron2.mask_head_of(model)
    )


def mmdetection(model: Options) -> CascadeRCNNConfig:
    roi, train, test = model["roi_head"], model["train_cfg"]["rcnn"], model["test_cfg"]["rcnn"]
    must_be(model, type="CascadeRCNN")
    must_be(roi, type="CascadeRoIHead", num_stages=len(train))
    pairs = zip(roi["bbox_head"], train, strict=True)
    heads = [of_mmdetection.box_head_of(head, roi["bbox_roi_extractor"], own, test) for head, own in pairs]
    num_classes = same([head["num_classes"] for head in roi["bbox_head"]])
    stages = tuple(
        StageConfig(positive_from=head.positive_from, box_weights=head.box_weights, loss_weight=weight)
        for head, weight in zip(heads, roi["stage_loss_weights"], strict=True)
    )
    return CascadeRCNNConfig(
        **of_mmdetection.stages_of(model),
        num_classes=num_classes,
        box_head=same([replace(head, positive_from=0.5, box_weights=(10.0, 10.0, 5.0, 5.0)) for head in heads]),
        stages=stages,
        gradient_scale=1.0,
        resample=True,
        average="logits",
        mask_head=same([of_mmdetection.mask_head_of(roi, own, num_classes) for own in train]),
        mask_stages=roi["num_stages"],
    )


def same(values: list[Any]) -> Any:
    """What all stages have."""
    assert all(value == values[0] for value in values), f"the stages differ: {values}"
    return values[0]


def run_detectron2(case: Case) -> Report:
    return run_rcnn(case, detectron2(case.info["options"]))


def run_mmdetection(case: Case) -> Report:
    return run_cascade(case, mmdetection(case.info["model"]))


GOLDEN = {
    "cascade_rcnn": Golden("detectron2", run_detectron2),
    "cascade_mask_rcnn_mmdet": Golden("mmdetection", run_mmdetection),
}
