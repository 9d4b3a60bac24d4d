"""Whose weights Cascade R-CNN loads, with masks or without.

Sources: detectron2 0.6 `configs/Misc/cascade_mask_rcnn_*`; mmdetection 3 `configs/_base_/models/cascade-*_r50_fpn.py`.
"""

from __future__ import annotations

from dataclasses import replace

from cvzoo.nn.pixels import CAFFE
from cvzoo.parts.rcnn import conventions as stages
from cvzoo.parts.rcnn.mask_head import MaskHeadConfig
from cvzoo.weights.conventions import CAFFE_BODY, MMDETECTION_BODY, as_begun, fitted
from cvzoo.weights.keys import pyramid, rcnn
from cvzoo.weights.keys.rename import State
from cvzoo.weights.source import Marker, Source, own
from cvzoo.zoo.cascade_rcnn.model import CascadeRCNNConfig, StageConfig

DETECTRON2 = CascadeRCNNConfig(backbone=CAFFE_BODY, pixels=CAFFE)
"""`cascade_mask_rcnn_R_50_FPN_{1x,3x}` without masks: our defaults on a caffe backbone."""
DETECTRON2_MASKS = replace(DETECTRON2, mask_head=MaskHeadConfig())
"""One mask head, the first stage's."""
STDS = ((0.1, 0.1, 0.2, 0.2), (0.05, 0.05, 0.1, 0.1), (0.033, 0.033, 0.067, 0.067))
MMDETECTION = CascadeRCNNConfig(
    backbone=MMDETECTION_BODY,
    rpn=replace(
        stages.MMDETECTION_RPN, inside_only=True, valid_divisor=None, smooth_l1_beta=1 / 9, post_nms_train=2000
    ),
    box_head=replace(stages.MMDETECTION_REGIONS, class_agnostic=True, smooth_l1_beta=1.0),
    stages=tuple(
        StageConfig(positive_from=iou, box_weights=(1 / x, 1 / y, 1 / w, 1 / h), loss_weight=weight)
        for iou, (x, y, w, h), weight in zip((0.5, 0.6, 0.7), STDS, (1.0, 0.5, 0.25))
    ),
    gradient_scale=1.0,
    resample=True,
    average="logits",
)
"""`cascade-rcnn_r50_fpn_1x_coco`: weighted losses, a new sample for each stage, scores from the mean logits."""
MMDETECTION_MASKS = replace(MMDETECTION, mask_head=stages.MMDETECTION_MASKS, mask_stages=3)
"""`cascade-mask-rcnn_r50_fpn_1x_coco`: every stage has a mask head."""


def detectron2(state: State, row: CascadeRCNNConfig) -> CascadeRCNNConfig:
    return fitted(as_begun(DETECTRON2_MASKS if row.mask_head else DETECTRON2, state, row), state, row)


def mmdetection(state: State, row: CascadeRCNNConfig) -> CascadeRCNNConfig:
    return fitted(MMDETECTION_MASKS if row.mask_head else MMDETECTION, state, row)


def with_masks(row: CascadeRCNNConfig) -> bool:
    return row.mask_head is not None


def without_masks(row: CascadeRCNNConfig) -> bool:
    return row.mask_head is None


WHAT, WITH_MASKS = "Cascade R-CNN", "Cascade Mask R-CNN"
OURS, OUR_MASKS = r"^box_heads\.\d\.", r"^mask_heads\.\d\."
DETECTRON2_KEYS = (stages.DETECTRON2_CASCADE, stages.DETECTRON2_PYRAMID)
SOURCES = (
    own(WHAT, Marker(has=(OURS, pyramid.OURS), lacks=(OUR_MASKS,)), without_masks),
    own(WITH_MASKS, Marker(has=(OURS, pyramid.OURS, OUR_MASKS)), with_masks),
    Source(
        name="detectron2",
        what=WHAT,
        marker=Marker(has=DETECTRON2_KEYS, lacks=(stages.DETECTRON2_MASK_HEAD,)),
        translate=rcnn.from_detectron2,
        config=detectron2,
        fits=without_masks,
    ),
    Source(
        name="detectron2",
        what=WITH_MASKS,
        marker=Marker(has=(*DETECTRON2_KEYS, stages.DETECTRON2_MASK_HEAD)),
        translate=rcnn.from_detectron2,
        config=detectron2,
        fits=with_masks,
    ),
    Source(
        name="mmdetection",
        what=WHAT,
        marker=Marker(
            has=(stages.MMDETECTION_CASCADE, pyramid.MMDETECTION_MARK), lacks=(stages.MMDETECTION_MASK_HEAD,)
        ),
        translate=rcnn.from_mmdetection,
        config=mmdetection,
        types=("CascadeRoIHead",),
        fits=without_masks,
    ),
    Source(
        name="mmdetection",
        what=WITH_MASKS,
        marker=Marker(has=(stages.MMDETECTION_CASCADE, pyramid.MMDETECTION_MARK, stages.MMDETECTION_MASK_HEAD)),
        translate=rcnn.from_mmdetection,
        config=mmdetection,
        types=("CascadeRoIHead",),
        fits=with_masks,
    ),
)
