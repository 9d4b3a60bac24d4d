"""Whose weights FCOS loads.

Sources: torchvision 0.29 `models/detection/fcos.py`; detectron2 0.6 `configs/common/models/fcos.py`; mmdetection 3
`configs/fcos`.
"""

from __future__ import annotations

import re
from dataclasses import replace

from cvzoo.nn.pixels import CAFFE
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.ops.detect import DetectConfig
from cvzoo.ops.points import PointConfig
from cvzoo.weights.conventions import (
    CAFFE_BODY,
    LAST_COCO_ID,
    as_begun,
    coco_classes,
    counting_from_one,
    fitted,
    torchvision_body,
)
from cvzoo.weights.keys import dense, pyramid
from cvzoo.weights.keys.rename import Rules, State
from cvzoo.weights.source import Marker, Source, own
from cvzoo.zoo.fcos.model import FCOSConfig

SIZES = ("tower_convs", "deform_last")
"""Options that are the row's."""
TORCHVISION = FCOSConfig(
    num_classes=LAST_COCO_ID + 1,
    class_ids=coco_classes(first_output=0),
    points=PointConfig(offset=0.0, stride_from_input=True),
    level_scales=False,
    distance="relu",
    centreness_on="box",
    closed_ranges=False,
    centre_radius=1.5,
    box_loss="giou",
    central_boxes=False,
    score="root",
    detect=DetectConfig(score_threshold=0.2, nms_threshold=0.6, min_side=None),
)
"""`fcos_resnet50_fpn`: 91 outputs, COCO's category ids; its published weights were trained with the norms' eps."""
DETECTRON2 = replace(
    TORCHVISION,
    num_classes=80,
    class_ids=(),
    backbone=CAFFE_BODY,
    pixels=CAFFE,
    points=PointConfig(),
    normaliser="moving",
    detect=DetectConfig(score_threshold=0.2, nms_threshold=0.6, clip_first=False),
)
"""`fcos_R_50_FPN_1x`: torchvision's was written after it."""
MMDETECTION = FCOSConfig(
    backbone=CAFFE_BODY,
    pixels=replace(CAFFE, mean=(102.9801, 115.9465, 122.7717)),
    tower_bias=None,
    detect=DetectConfig(drop_first=True),
)
"""`fcos_r50-caffe_fpn_gn-head_1x_coco`, and `..._gn-head-center_1x_coco`, which learns at fewer locations."""
MMDETECTION_IMPROVED = FCOSConfig(
    backbone=CAFFE_BODY,
    pixels=CAFFE,
    distance="relu",
    centreness_on="box",
    centre_radius=1.5,
    box_loss="giou",
)
"""`fcos_r50[-dcn]-caffe_fpn_gn-head-center-normbbox-centeronreg-giou_1x_coco`."""
RADIUS = 1.5
"""mmdetection's default where only locations near a centre learn."""
FILE_NAMES = r"\bfcos_center[-_]|gn[-_]head[-_]center"
"""How files are named whose locations do."""
TOWERS: Rules = tuple(
    (rf"^(head\.\w+_head\.conv)\.{3 * i + part}\.", rf"\1.{i}.{part}.") for i in range(4) for part in (0, 1)
)
"""torchvision's: convolution, norm, ReLU, convolution ..."""
VERSION_1 = tuple(
    (rf"^bbox_head\.fcos_{theirs}\.", f"head.{ours}_out.")
    for theirs, ours in (("cls", "cls"), ("reg", "box"), ("centerness", "centreness"))
)
"""Names of mmdetection 1."""


def from_torchvision(state: State) -> State:
    return dense.from_torchvision(state, TOWERS)


def torchvision(state: State, row: FCOSConfig) -> FCOSConfig:
    assert isinstance(TORCHVISION.backbone, ResNetConfig)
    config = replace(TORCHVISION, backbone=torchvision_body(state, TORCHVISION.backbone))
    return counting_from_one(fitted(config, state, row, SIZES))


def detectron2(state: State, row: FCOSConfig) -> FCOSConfig:
    return fitted(as_begun(DETECTRON2, state, row), state, row, SIZES)


def from_mmdetection(state: State) -> State:
    return dense.from_mmdetection(state, *VERSION_1)


def mmdetection(state: State, row: FCOSConfig) -> FCOSConfig:
    """The improved version has a bias beside the norms of its towers."""
    version = MMDETECTION_IMPROVED if "head.cls_tower.0.conv.bias" in state else MMDETECTION
    return fitted(version, state, row, SIZES)


def centre_sampling(config: FCOSConfig, record: str) -> FCOSConfig:
    """Whether only locations near an object's centre learn it, no key tells: a config's text or a name does."""
    stated = re.search(r"\bcenter_sampling=(True|False)", record)
    if stated is not None and stated[1] == "False":
        return replace(config, centre_radius=None)
    if stated is None and re.search(FILE_NAMES, record) is None:
        return config
    radius = re.search(r"\bcenter_sample_radius=([\d.]+)", record)
    return replace(config, centre_radius=float(radius[1]) if radius else RADIUS)


WHAT = "FCOS"
SOURCES = (
    own(WHAT, Marker(has=(pyramid.OURS, r"^head\.centreness_out\.", r"^positives$"))),
    Source(
        name="torchvision",
        what=WHAT,
        marker=Marker(has=(pyramid.TORCHVISION_MARK, r"^head\.regression_head\.bbox_ctrness\.")),
        translate=from_torchvision,
        config=torchvision,
    ),
    Source(
        name="detectron2",
        what=WHAT,
        marker=Marker(has=(pyramid.DETECTRON2_MARK, r"^head\.ctrness\.")),
        translate=dense.from_detectron2,
        config=detectron2,
    ),
    Source(
        name="mmdetection",
        what=WHAT,
        marker=Marker(
            has=(pyramid.MMDETECTION_MARK, r"^bbox_head\.(conv|fcos)_cls\.", r"^bbox_head\.(conv|fcos)_centerness\.")
        ),
        translate=from_mmdetection,
        config=mmdetection,
        told=centre_sampling,
        types=("FCOSHead",),
    ),
)
