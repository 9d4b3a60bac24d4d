"""What the modules of the R-CNNs share: how their rows become narrow, and a network that two systems have."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from parity.config_mmdet_rcnn import box_head_of, mask_head_of, stages_of
from parity.golden import Case, Report
from parity.options import Options, must_be
from parity.run_rcnn_mmdet import run_mask_rcnn
from zoo.dense import CHANNELS, GROUPS, narrow_body

from cvzoo.zoo.mask_rcnn.model import MaskRCNNConfig

FEW = {"pre_nms_train": 100, "post_nms_train": 50, "pre_nms_test": 100, "post_nms_test": 50}
"""Proposals."""
R101 = {"depth": 101}
X101 = {"depth": 101, "groups": 32, "width": 256, "stem_channels": 64, "out_channels": 256}
"""In what a file's body differs from R-50."""


def narrow(config: Any) -> Any:
    """The config of any R-CNN with few channels, proposals and classes, scoring so low that it has detections."""
    parts: dict[str, Any] = {
        "num_classes": 3,
        "class_ids": (),
        "backbone": narrow_body(config.backbone),
        "rpn": replace(config.rpn, **FEW),
        "box_head": replace(
            config.box_head,
            fc_channels=CHANNELS,
            conv_norm_groups=GROUPS,
            samples=32,
            detect=replace(config.box_head.detect, score_threshold=0.01, detections=100),
        ),
    }
    if getattr(config, "fpn", None) is not None:
        parts["fpn"] = replace(config.fpn, channels=CHANNELS, norm_groups=GROUPS)
    if getattr(config, "mask_head", None) is not None:
        parts["mask_head"] = replace(config.mask_head, channels=CHANNELS, conv_norm_groups=GROUPS)
    return replace(config, **parts)


def run_mmdetections_mask_rcnn(case: Case) -> Report:
    """A Mask R-CNN of mmdetection; the body may be another system's."""
    return run_mask_rcnn(case, mmdetections_mask_rcnn(case.info["model"]))


def mmdetections_mask_rcnn(model: Options) -> MaskRCNNConfig:
    roi, train, test = model["roi_head"], model["train_cfg"]["rcnn"], model["test_cfg"]["rcnn"]
    must_be(model, type="MaskRCNN")
    must_be(roi, type="StandardRoIHead")
    num_classes = roi["bbox_head"]["num_classes"]
    mask_head = mask_head_of(roi, train, num_classes)
    assert mask_head is not None
    return MaskRCNNConfig(
        **stages_of(model),
        num_classes=num_classes,
        box_head=box_head_of(roi["bbox_head"], roi["bbox_roi_extractor"], train, test),
        mask_head=mask_head,
    )
