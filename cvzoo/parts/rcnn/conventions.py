"""How toolboxes set the stages of an R-CNN, in whichever system: options under which their weights give their outputs.

Sources: torchvision 0.29 `models/detection/`; detectron2 0.6
`configs/{COCO-Detection,COCO-InstanceSegmentation}`; mmdetection 3 `configs/_base_/models/*_r50_fpn.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol, TypedDict, TypeVar, cast

from torch import Tensor

from cvzoo.nn.bodies import BodyConfig
from cvzoo.nn.fpn import FPNConfig
from cvzoo.nn.pixels import CAFFE, Pixels
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.nn.roi_pool import RoIPoolConfig
from cvzoo.ops.anchors import AnchorConfig
from cvzoo.ops.detect import DetectConfig
from cvzoo.parts.rcnn.box_head import BoxHeadConfig
from cvzoo.parts.rcnn.c4 import C4_BOX_HEAD, C4_MASK_HEAD, C4_RPN, C5_BODY, C5_BOX_HEAD
from cvzoo.parts.rcnn.detector import TwoStageConfig
from cvzoo.parts.rcnn.mask_head import MaskHeadConfig
from cvzoo.parts.rcnn.regions import ends_at_c4
from cvzoo.parts.rcnn.rpn import RPNConfig
from cvzoo.weights.conventions import (
    CAFFE_BODY,
    CAFFE_C4,
    LAST_COCO_ID,
    MMDETECTION_BODY,
    TORCHVISION_BODY,
    as_begun,
    coco_classes,
    fitted,
    torchvision_body,
)
from cvzoo.weights.keys import pyramid as pyramid_keys
from cvzoo.weights.source import Marker

Config = TypeVar("Config")


class Stages(TypedDict, total=False):
    """Options that all R-CNNs have."""

    num_classes: int
    class_ids: tuple[int, ...]
    backbone: BodyConfig
    fpn: FPNConfig | None
    pixels: Pixels
    rpn: RPNConfig
    box_head: BoxHeadConfig


DETECTRON2 = Stages(backbone=CAFFE_BODY, pixels=CAFFE)
"""`*_R_50_FPN_{1x,3x}`: our defaults on a caffe backbone."""
DETECTRON2_C4 = Stages(backbone=CAFFE_BODY, fpn=None, pixels=CAFFE_C4, rpn=C4_RPN, box_head=C4_BOX_HEAD)
"""`*_R_50_C4_{1x,3x}`."""
CAFFE_C5 = replace(C5_BODY, stride_in_1x1=True)
DETECTRON2_C5 = Stages(backbone=CAFFE_C5, fpn=None, pixels=CAFFE_C4, rpn=C4_RPN, box_head=C5_BOX_HEAD)
"""`*_R_50_DC5_{1x,3x}`."""
OF_MMDETECTION: dict[str, Any] = {
    "clamp_shrinking": True,
    "best_match": "truth",
    "best_match_from": 0.3,
    "valid_divisor": 32,
    "normaliser": "sampled_or_one",
}
"""Of the first stage, whatever it stands on."""
MMDETECTION_RPN = RPNConfig(anchors=replace(RPNConfig().anchors, order="ratio"), **OF_MMDETECTION)
MMDETECTION_REGIONS = BoxHeadConfig(clamp_shrinking=True, detect=DetectConfig(min_side=None))
MMDETECTION = Stages(
    backbone=MMDETECTION_BODY,
    rpn=MMDETECTION_RPN,
    box_head=MMDETECTION_REGIONS,
)
"""`*_r50_fpn_1x_coco`."""
MMDETECTION_C4_RPN = replace(C4_RPN, anchors=replace(C4_RPN.anchors, order="ratio"), **OF_MMDETECTION)
MMDETECTION_C4 = Stages(
    backbone=CAFFE_BODY,
    fpn=None,
    pixels=CAFFE,
    rpn=MMDETECTION_C4_RPN,
    box_head=replace(C4_BOX_HEAD, clamp_shrinking=True, detect=MMDETECTION_REGIONS.detect),
)
"""`faster-rcnn_r50-caffe_c4-1x_coco`."""
MMDETECTION_C5 = Stages(
    backbone=CAFFE_C5,
    fpn=None,
    pixels=CAFFE,
    rpn=MMDETECTION_C4_RPN,
    box_head=replace(C5_BOX_HEAD, clamp_shrinking=True, detect=MMDETECTION_REGIONS.detect),
)
"""`faster-rcnn_r50-caffe-dc5_1x_coco`."""
MMDETECTION_TYPES = ("StandardRoIHead", "PISARoIHead", "DynamicRoIHead")
"""Classes of a second stage that differ in training alone."""
MMDETECTION_MASKS = MaskHeadConfig(target="bitmap")
MMDETECTION_C4_MASKS = replace(C4_MASK_HEAD, target="bitmap")
TORCHVISION_RPN = RPNConfig(
    anchors=AnchorConfig(
        sizes=((32,), (64,), (128,), (256,), (512,)),
        strides=(4, 8, 16, 32, 64),
        rounded=True,
        stride_from_input=True,
    ),
    normaliser="sampled",
    smooth_l1_beta=1 / 9,
    post_nms_train=2000,
    min_side=1e-3,
)
TORCHVISION_REGIONS = BoxHeadConfig(
    pool=RoIPoolConfig(sampling=2, aligned=False),
    smooth_l1_beta=1 / 9,
    detect=DetectConfig(min_side=1e-2, drop_first=True),
)
TORCHVISION = Stages(
    num_classes=LAST_COCO_ID,
    class_ids=coco_classes(first_output=1),
    backbone=TORCHVISION_BODY,
    rpn=TORCHVISION_RPN,
    box_head=TORCHVISION_REGIONS,
)
"""`*rcnn_resnet50_fpn`: 90 outputs after the background is set apart, COCO category ids less one."""
TORCHVISION_V2 = Stages(
    num_classes=LAST_COCO_ID,
    class_ids=coco_classes(first_output=1),
    backbone=ResNetConfig(norm="batch"),
    fpn=FPNConfig(first_level=2, extra="pool", norm="batch"),
    rpn=replace(TORCHVISION_RPN, convs=2),
    box_head=replace(TORCHVISION_REGIONS, convs=4, conv_norm="batch", fcs=1),
)
"""`*rcnn_resnet50_fpn_v2`: trained norms everywhere, two convolutions in the first stage, four in the box head."""
TORCHVISION_MASKS = MaskHeadConfig(pool=RoIPoolConfig(size=14, sampling=2, aligned=False), target="soft")


def torchvision(v1: Config, v2: Config, state: Mapping[str, Tensor], row: Config) -> Config:
    """The version that a state is of: v2's box head begins with convolutions."""
    version: Any = v2 if "box_head.convs.0.conv.weight" in state else v1
    return fitted(replace(version, backbone=torchvision_body(state, version.backbone)), state, row)


def detectron2(convention: Config, state: Mapping[str, Tensor], row: Config) -> Config:
    """Its convention for what a state's body has begun from."""
    return fitted(as_begun(convention, state, row), state, row)


def on_c4(row: Any) -> bool:
    """Whether a row's only map is C4."""
    return ends_at_c4(row.backbone, row.fpn)


def on_c5(row: Any) -> bool:
    """Whether a row's only map is a dilated C5."""
    return row.fpn is None and not on_c4(row)


def on_pyramid(row: Any) -> bool:
    return row.fpn is not None


BOX_HEAD, HIDDEN = r"^box_head\.", r"^box_head\.fcs\."
MASK_HEAD = r"^mask_head\."
SURFACE_HEAD = r"^surface_head\."
OUR_STAGES = r"^rpn\.objectness\."
"""Our keys of the first stage and of the heads; those of pyramids are in `weights/keys/pyramid.py`."""
DETECTRON2_STAGES = r"^proposal_generator\."
DETECTRON2_BOX_HEAD = r"^roi_heads\.box_predictor\.(?!\d)"
DETECTRON2_MASK_HEAD = r"^roi_heads\.mask_head\."
DETECTRON2_OTHER_HEADS = r"^roi_heads\.(?!box_|res5\.)"
"""All but that for boxes: for masks, key points, surfaces."""
DETECTRON2_CASCADE = r"^roi_heads\.box_predictor\.\d\."
DETECTRON2_PYRAMID = r"^backbone\.bottom_up\."
DETECTRON2_C4_STAGE, DETECTRON2_C5_STAGE = r"^roi_heads\.res5\.", r"^backbone\.res5\."
NECK = r"^neck\."
MMDETECTION_BOX_HEAD = r"^roi_head\.bbox_head\.(?!\d)"
MMDETECTION_MASK_HEAD = r"^roi_head\.mask_head\."
MMDETECTION_C4_STAGE, MMDETECTION_C5_STAGE = r"^roi_head\.shared_head\.", r"^backbone\.layer4\."
MMDETECTION_CASCADE = r"^roi_head\.bbox_head\.\d\."
TORCHVISION_BOX_HEAD = r"^roi_heads\.box_predictor\.cls_score\."
TORCHVISION_MASK_HEAD = r"^roi_heads\.mask_predictor\."
OUR_C4 = Marker(has=(OUR_STAGES, BOX_HEAD), lacks=(pyramid_keys.OURS, HIDDEN, MASK_HEAD))
DETECTRON2_ON_C4 = Marker(
    has=(DETECTRON2_STAGES, DETECTRON2_BOX_HEAD, DETECTRON2_C4_STAGE), lacks=(DETECTRON2_PYRAMID, DETECTRON2_MASK_HEAD)
)
MMDETECTION_ON_C4 = Marker(has=(MMDETECTION_C4_STAGE, MMDETECTION_BOX_HEAD), lacks=(NECK, MMDETECTION_MASK_HEAD))
"""The networks of an R-CNN on C4 for boxes alone, which several systems share."""


class OnC4(TwoStageConfig, Protocol):
    """The config of a detector for boxes whose only map is C4."""

    @property
    def backbone(self) -> BodyConfig: ...


C4Config = TypeVar("C4Config", bound=OnC4)


def sharing_weights(config: OnC4, row: C4Config) -> C4Config:
    """The row's config for weights that another detector on C4 was saved with.

    The network and what it sees are the file's; how many proposals it is trained on is the row's.
    """
    own = row.box_head
    box_head = replace(
        config.box_head,
        samples=own.samples,
        positive_fraction=own.positive_fraction,
        append_truth=own.append_truth,
    )
    shared = {
        "num_classes": config.num_classes,
        "class_ids": config.class_ids,
        "backbone": config.backbone,
        "pixels": config.pixels,
        "rpn": replace(config.rpn, post_nms_train=row.rpn.post_nms_train),
        "box_head": box_head,
    }
    return cast(C4Config, replace(row, **shared))  # pyright: ignore[reportArgumentType]


def adopted_on_c4(config: Any, row: Any) -> Any | None:
    """`sharing_weights` where both are detectors on C4 for boxes; None otherwise."""
    return sharing_weights(config, row) if all(map(_is_on_c4, (config, row))) else None


def _is_on_c4(config: Any) -> bool:
    """No pyramid, one box head, no masks."""
    if not hasattr(config, "rpn") or not hasattr(config, "box_head"):
        return False
    return ends_at_c4(config.backbone, getattr(config, "fpn", None)) and getattr(config, "mask_head", None) is None
