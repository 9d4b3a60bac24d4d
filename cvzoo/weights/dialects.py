"""What each toolbox means by the same system: full-width configs under which its published weights give its outputs.

Sources: torchvision 0.29 `models/detection/{retinanet,faster_rcnn,rpn,roi_heads}.py`, detectron2 0.6
`configs/COCO-Detection`, mmdetection 3 `configs/_base_/models/{retinanet_r50_fpn,faster-rcnn_r50_fpn}.py`.
"""

from __future__ import annotations

from dataclasses import replace

from cvzoo.models.faster_rcnn import FasterRCNNConfig
from cvzoo.models.rcnn.box_head import BoxHeadConfig
from cvzoo.models.rcnn.rpn import RPNConfig
from cvzoo.models.retinanet import RetinaNetConfig
from cvzoo.nn.fpn import FPNConfig
from cvzoo.nn.pixels import CAFFE
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.nn.roi_pool import RoIPoolConfig
from cvzoo.ops.anchors import AnchorConfig
from cvzoo.ops.detect import DetectConfig

UNUSED_COCO_IDS = frozenset({12, 26, 29, 30, 45, 66, 68, 69, 71, 83})
"""COCO's category ids are 1..90 without these; class k of the zoo is the k-th of them."""
LAST_COCO_ID = 90

TORCHVISION_BODY = ResNetConfig(norm_eps=0.0)
"""torchvision sets eps to 0 when it loads COCO_V1 weights: they were trained when its frozen norm ignored eps."""
TORCHVISION_RPN_ANCHORS = AnchorConfig(
    sizes=((32,), (64,), (128,), (256,), (512,)), strides=(4, 8, 16, 32, 64), rounded=True, stride_from_input=True
)
CAFFE_BODY = ResNetConfig(stride_in_1x1=True)
"""The MSRA ResNets detectron2 starts from."""
MMDETECTION_BODY = ResNetConfig(norm="affine")


def coco_classes(first_output: int) -> tuple[int, ...]:
    """`class_ids` of a network with one output per COCO category id, from `first_output` to 90."""
    used = [i for i in range(1, LAST_COCO_ID + 1) if i not in UNUSED_COCO_IDS]
    return tuple(used.index(i) if i in used else -1 for i in range(first_output, LAST_COCO_ID + 1))


def retinanet_torchvision() -> RetinaNetConfig:
    """`retinanet_resnet50_fpn`: 91 outputs, the id of each COCO category, 0 unused."""
    sizes = tuple(tuple(int(base * 2 ** (i / 3)) for i in range(3)) for base in (32, 64, 128, 256, 512))
    return RetinaNetConfig(
        num_classes=LAST_COCO_ID + 1,
        class_ids=coco_classes(first_output=0),
        backbone=TORCHVISION_BODY,
        fpn=FPNConfig(extra_from="output"),
        anchors=AnchorConfig(sizes=sizes, order="ratio", rounded=True, stride_from_input=True),
        normaliser="image",
        detect=DetectConfig(detections=300, min_side=None),
    )


def retinanet_torchvision_v2() -> RetinaNetConfig:
    """`retinanet_resnet50_fpn_v2`: trained BN, P6 from C5, group norm in the towers, GIoU loss."""
    return replace(
        retinanet_torchvision(),
        backbone=ResNetConfig(norm="batch"),
        fpn=FPNConfig(extra_from="input"),
        tower_norm="group",
        box_loss="giou",
    )


def retinanet_detectron2() -> RetinaNetConfig:
    """`retinanet_R_50_FPN_{1x,3x}`: our defaults on a caffe backbone."""
    return RetinaNetConfig(backbone=CAFFE_BODY, pixels=CAFFE)


def retinanet_mmdetection() -> RetinaNetConfig:
    """`retinanet_r50_fpn_1x_coco`."""
    default = RetinaNetConfig()
    return RetinaNetConfig(
        backbone=MMDETECTION_BODY,
        fpn=FPNConfig(extra_from="input", extra_relu=False),
        anchors=replace(default.anchors, order="ratio"),
        clamp_shrinking=True,
        best_match="truth",
        skip_padding=True,
        normaliser="batch",
        detect=DetectConfig(drop_first=True),
    )


def faster_rcnn_torchvision() -> FasterRCNNConfig:
    """`fasterrcnn_resnet50_fpn`: 90 outputs after the background is set apart, COCO category ids less one."""
    return FasterRCNNConfig(
        num_classes=LAST_COCO_ID,
        class_ids=coco_classes(first_output=1),
        backbone=TORCHVISION_BODY,
        rpn=RPNConfig(
            anchors=TORCHVISION_RPN_ANCHORS,
            normaliser="sampled",
            smooth_l1_beta=1 / 9,
            post_nms_train=2000,
            min_side=1e-3,
        ),
        box_head=BoxHeadConfig(
            pool=RoIPoolConfig(sampling=2, aligned=False),
            smooth_l1_beta=1 / 9,
            detect=DetectConfig(min_side=1e-2, drop_first=True),
        ),
    )


def faster_rcnn_torchvision_v2() -> FasterRCNNConfig:
    """`fasterrcnn_resnet50_fpn_v2`: trained BN everywhere, two RPN convolutions, four in the box head."""
    v1 = faster_rcnn_torchvision()
    return replace(
        v1,
        backbone=ResNetConfig(norm="batch"),
        fpn=replace(v1.fpn, norm="batch"),
        rpn=replace(v1.rpn, convs=2),
        box_head=replace(v1.box_head, convs=4, conv_norm="batch", fcs=1),
    )


def faster_rcnn_detectron2() -> FasterRCNNConfig:
    """`faster_rcnn_R_50_FPN_{1x,3x}`: our defaults on a caffe backbone."""
    return FasterRCNNConfig(backbone=CAFFE_BODY, pixels=CAFFE)


def faster_rcnn_mmdetection() -> FasterRCNNConfig:
    """`faster-rcnn_r50_fpn_1x_coco`."""
    return FasterRCNNConfig(
        backbone=MMDETECTION_BODY,
        rpn=RPNConfig(clamp_shrinking=True, best_match="truth", normaliser="sampled"),
        box_head=BoxHeadConfig(clamp_shrinking=True, detect=DetectConfig(min_side=None)),
    )
