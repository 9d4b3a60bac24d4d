"""Whose weights RetinaNet loads.

Sources: torchvision 0.29 `models/detection/retinanet.py`; detectron2 0.6 `configs/COCO-Detection/retinanet_*`;
mmdetection 3 `configs/_base_/models/retinanet_r50_fpn.py`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from cvzoo.nn.fpn import FPNConfig
from cvzoo.nn.pixels import CAFFE
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.ops.anchors import AnchorConfig
from cvzoo.ops.detect import DetectConfig
from cvzoo.weights.conventions import (
    CAFFE_BODY,
    LAST_COCO_ID,
    MMDETECTION_BODY,
    TORCHVISION_BODY,
    as_begun,
    coco_classes,
    counting_from_one,
    fitted,
    torchvision_body,
)
from cvzoo.weights.keys import dense, pyramid
from cvzoo.weights.keys.rename import Rules, State
from cvzoo.weights.source import Marker, Source, own
from cvzoo.zoo.retinanet.model import RetinaNetConfig

TORCHVISION = RetinaNetConfig(
    num_classes=LAST_COCO_ID + 1,
    class_ids=coco_classes(first_output=0),
    backbone=TORCHVISION_BODY,
    fpn=FPNConfig(extra_from="output"),
    anchors=AnchorConfig(
        sizes=tuple(tuple(int(base * 2 ** (i / 3)) for i in range(3)) for base in (32, 64, 128, 256, 512)),
        order="ratio",
        rounded=True,
        stride_from_input=True,
    ),
    normaliser="image",
    detect=DetectConfig(detections=300, min_side=None),
)
"""`retinanet_resnet50_fpn`: 91 outputs, the id of each COCO category, 0 unused."""
TORCHVISION_V2 = replace(
    TORCHVISION,
    backbone=ResNetConfig(norm="batch"),
    fpn=FPNConfig(extra_from="input"),
    tower_norm="group",
    box_loss="giou",
)
"""`retinanet_resnet50_fpn_v2`: trained norms, P6 from C5, group norm in the towers, GIoU loss."""
DETECTRON2 = RetinaNetConfig(backbone=CAFFE_BODY, pixels=CAFFE)
"""`retinanet_R_50_FPN_{1x,3x}`: our defaults on a caffe backbone."""
MMDETECTION = RetinaNetConfig(
    backbone=MMDETECTION_BODY,
    fpn=FPNConfig(extra_from="input", extra_relu=False),
    anchors=replace(RetinaNetConfig().anchors, order="ratio"),
    clamp_shrinking=True,
    best_match="truth",
    skip_padding=True,
    normaliser="batch",
    detect=DetectConfig(drop_first=True),
)
"""`retinanet_r50_fpn_1x_coco`."""
TOWERS: Rules = tuple((rf"^(head\.\w+_head\.conv)\.{2 * i}\.(weight|bias)$", rf"\1.{i}.0.\2") for i in range(4))
"""torchvision's from before 2022: convolution, ReLU, convolution ..."""


def from_torchvision(state: State) -> State:
    return dense.from_torchvision(state, TOWERS)


def torchvision(state: State, row: RetinaNetConfig) -> RetinaNetConfig:
    """v2 has norms in its towers."""
    version = TORCHVISION_V2 if "head.cls_tower.0.norm.weight" in state else TORCHVISION
    assert isinstance(version.backbone, ResNetConfig)
    version = replace(version, backbone=torchvision_body(state, version.backbone))
    return counting_from_one(fitted(version, state, row, ("tower_convs",)))


def detectron2(state: State, row: RetinaNetConfig) -> RetinaNetConfig:
    return fitted(as_begun(DETECTRON2, state, row), state, row, ("tower_convs",))


WHAT = "RetinaNet"
SOURCES = (
    own(
        WHAT,
        Marker(has=(pyramid.OURS, r"^head\.cls_tower\.", r"^positives$"), lacks=(r"^head\.centreness_out\.",)),
    ),
    Source(
        name="torchvision",
        what=WHAT,
        marker=Marker(
            has=(pyramid.TORCHVISION_MARK, r"^head\.classification_head\."),
            lacks=(r"^head\.regression_head\.bbox_ctrness\.",),
        ),
        translate=from_torchvision,
        config=torchvision,
    ),
    Source(
        name="detectron2",
        what=WHAT,
        marker=Marker(
            has=(pyramid.DETECTRON2_MARK, r"^head\.cls_subnet\."), lacks=(r"^head\.ctrness\.", dense.DETECTRON2_MASKS)
        ),
        translate=dense.from_detectron2,
        config=detectron2,
    ),
    Source(
        name="mmdetection",
        what=WHAT,
        marker=Marker(has=(pyramid.MMDETECTION_MARK, r"^bbox_head\.retina_cls\.")),
        translate=dense.anchor_head_of_mmdetection,
        config=partial(fitted, MMDETECTION, own=("tower_convs",)),
        types=("RetinaHead", "PISARetinaHead"),
    ),
)
