"""What each toolbox means by the same detector: full-width configs under which its published weights give its outputs.

Sources: torchvision 0.29 `models/detection/{retinanet,fcos,faster_rcnn,mask_rcnn,rpn,roi_heads}.py`; detectron2 0.6
`configs/{COCO-Detection,COCO-InstanceSegmentation,Misc}`, `configs/common/models/fcos.py` and `projects/TridentNet`;
mmdetection 3 `configs/_base_/models/{retinanet,faster-rcnn,mask-rcnn,cascade-rcnn,cascade-mask-rcnn}_r50_fpn.py` and
`configs/{fcos,atss,free_anchor,reppoints}`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from cvzoo.models.atss import ATSSConfig
from cvzoo.models.cascade_rcnn import CascadeRCNNConfig, StageConfig
from cvzoo.models.faster_rcnn import FasterRCNNConfig
from cvzoo.models.fcos import FCOSConfig
from cvzoo.models.freeanchor import FreeAnchorConfig
from cvzoo.models.mask_rcnn import MaskRCNNConfig
from cvzoo.models.rcnn.box_head import BoxHeadConfig
from cvzoo.models.rcnn.c4 import C4_BOX_HEAD, C4_MASK_HEAD, C4_RPN
from cvzoo.models.rcnn.mask_head import MaskHeadConfig
from cvzoo.models.rcnn.rpn import RPNConfig
from cvzoo.models.reppoints import RepPointsConfig
from cvzoo.models.retinanet import RetinaNetConfig
from cvzoo.models.tridentnet import TridentNetConfig
from cvzoo.nn.fpn import FPNConfig
from cvzoo.nn.pixels import CAFFE
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.nn.roi_pool import RoIPoolConfig
from cvzoo.ops.anchors import AnchorConfig
from cvzoo.ops.detect import DetectConfig
from cvzoo.ops.points import PointConfig
from cvzoo.weights.systems import DetectorConfig, ModelConfig, System

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
CAFFE_C4 = replace(CAFFE, divisor=1)
"""Their pixels where no pyramid asks for padding."""
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


def fcos_torchvision() -> FCOSConfig:
    """`fcos_resnet50_fpn`: 91 outputs as RetinaNet's; its published weights were trained with the norms' eps."""
    return FCOSConfig(
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


def fcos_detectron2() -> FCOSConfig:
    """`fcos_R_50_FPN_1x`: torchvision's was written after it."""
    return replace(
        fcos_torchvision(),
        num_classes=80,
        class_ids=(),
        backbone=CAFFE_BODY,
        pixels=CAFFE,
        points=PointConfig(),
        normaliser="moving",
        detect=DetectConfig(score_threshold=0.2, nms_threshold=0.6, clip_first=False),
    )


def fcos_mmdetection() -> FCOSConfig:
    """`fcos_r50-caffe_fpn_gn-head_1x_coco`, and `..._gn-head-center_1x_coco`, which learns at fewer locations."""
    return FCOSConfig(
        backbone=CAFFE_BODY,
        pixels=replace(CAFFE, mean=(102.9801, 115.9465, 122.7717)),
        tower_bias=None,
        detect=DetectConfig(drop_first=True),
    )


def fcos_mmdetection_improved() -> FCOSConfig:
    """`fcos_r50-caffe_fpn_gn-head-center-normbbox-centeronreg-giou_1x_coco`."""
    return FCOSConfig(
        backbone=CAFFE_BODY,
        pixels=CAFFE,
        distance="relu",
        centreness_on="box",
        centre_radius=1.5,
        box_loss="giou",
    )


def fcos_mmdetection_deformed() -> FCOSConfig:
    """`fcos_r50-dcn-caffe_fpn_gn-head-center-normbbox-centeronreg-giou_1x_coco`."""
    return replace(fcos_mmdetection_improved(), backbone=replace(CAFFE_BODY, deform="v2"), deform_last=True)


def atss_mmdetection() -> ATSSConfig:
    """`atss_r50_fpn_1x_coco`: our defaults."""
    return ATSSConfig(backbone=MMDETECTION_BODY, anchors=replace(ATSSConfig().anchors, order="ratio"))


def freeanchor_mmdetection() -> FreeAnchorConfig:
    """`freeanchor_r50_fpn_1x_coco`: the network of its RetinaNet."""
    retinanet = retinanet_mmdetection()
    return FreeAnchorConfig(
        backbone=MMDETECTION_BODY, fpn=retinanet.fpn, anchors=retinanet.anchors, clamp_shrinking=True
    )


def reppoints_mmdetection() -> RepPointsConfig:
    """`reppoints-moment_r50_fpn-gn_head-gn_{1x,2x}_coco`: our defaults."""
    return RepPointsConfig(backbone=MMDETECTION_BODY)


def reppoints_mmdetection_deformed() -> RepPointsConfig:
    """`reppoints-moment_r101-dconv-c3-c5_fpn-gn_head-gn_2x_coco`."""
    return RepPointsConfig(backbone=replace(MMDETECTION_BODY, depth=101, deform="v1"))


def reppoints_mmdetection_without_norm() -> RepPointsConfig:
    """`reppoints-moment_r50_fpn_1x_coco`."""
    config = reppoints_mmdetection()
    return replace(config, fpn=replace(config.fpn, norm=None, extra_norm=None), tower_norm=None)


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
        fpn=FPNConfig(first_level=2, extra="pool", norm="batch"),
        rpn=replace(v1.rpn, convs=2),
        box_head=replace(v1.box_head, convs=4, conv_norm="batch", fcs=1),
    )


def faster_rcnn_detectron2() -> FasterRCNNConfig:
    """`faster_rcnn_R_50_FPN_{1x,3x}`: our defaults on a caffe backbone."""
    return FasterRCNNConfig(backbone=CAFFE_BODY, pixels=CAFFE)


def faster_rcnn_c4_detectron2() -> FasterRCNNConfig:
    """`faster_rcnn_R_50_C4_{1x,3x}`."""
    return FasterRCNNConfig(backbone=CAFFE_BODY, fpn=None, pixels=CAFFE_C4, rpn=C4_RPN, box_head=C4_BOX_HEAD)


def tridentnet_detectron2() -> TridentNetConfig:
    """`tridentnet_fast_R_50_C4_{1x,3x}`: our defaults on a caffe backbone."""
    return TridentNetConfig(backbone=CAFFE_BODY, pixels=CAFFE_C4)


def on_resnext(detectron2: DetectorConfig) -> DetectorConfig:
    """detectron2's `X_101_32x8d` variant of a system: that body is Caffe2's, not the MSRA's."""
    pixels = replace(detectron2.pixels, std=(57.375, 57.12, 58.395))
    return replace(detectron2, backbone=replace(detectron2.backbone, stride_in_1x1=False), pixels=pixels)


def faster_rcnn_mmdetection() -> FasterRCNNConfig:
    """`faster-rcnn_r50_fpn_1x_coco`."""
    return FasterRCNNConfig(
        backbone=MMDETECTION_BODY,
        rpn=RPNConfig(
            anchors=replace(RPNConfig().anchors, order="ratio"),
            clamp_shrinking=True,
            best_match="truth",
            best_match_from=0.3,
            valid_divisor=32,
            normaliser="sampled_or_one",
        ),
        box_head=BoxHeadConfig(clamp_shrinking=True, detect=DetectConfig(min_side=None)),
    )


def _with_masks(config: FasterRCNNConfig, mask_head: MaskHeadConfig) -> MaskRCNNConfig:
    """Mask R-CNN with the options of a Faster R-CNN."""
    return MaskRCNNConfig(**vars(config), mask_head=mask_head)


def mask_rcnn_torchvision() -> MaskRCNNConfig:
    """`maskrcnn_resnet50_fpn`."""
    pool = RoIPoolConfig(size=14, sampling=2, aligned=False)
    return _with_masks(faster_rcnn_torchvision(), MaskHeadConfig(pool=pool, target="soft"))


def mask_rcnn_torchvision_v2() -> MaskRCNNConfig:
    """`maskrcnn_resnet50_fpn_v2`: Faster R-CNN's v2, and BN in the mask head."""
    mask_head = replace(mask_rcnn_torchvision().mask_head, conv_norm="batch")
    return _with_masks(faster_rcnn_torchvision_v2(), mask_head)


def mask_rcnn_detectron2() -> MaskRCNNConfig:
    """`mask_rcnn_R_50_FPN_{1x,3x}`."""
    return _with_masks(faster_rcnn_detectron2(), MaskHeadConfig())


def mask_rcnn_c4_detectron2() -> MaskRCNNConfig:
    """`mask_rcnn_R_50_C4_{1x,3x}`: the mask head only upsamples what it shares with the box head."""
    return _with_masks(faster_rcnn_c4_detectron2(), C4_MASK_HEAD)


def mask_rcnn_mmdetection() -> MaskRCNNConfig:
    """`mask-rcnn_r50_fpn_1x_coco`."""
    return _with_masks(faster_rcnn_mmdetection(), MaskHeadConfig(target="bitmap"))


def cascade_rcnn_detectron2() -> CascadeRCNNConfig:
    """`cascade_mask_rcnn_R_50_FPN_{1x,3x}` without masks: our defaults on a caffe backbone."""
    return CascadeRCNNConfig(backbone=CAFFE_BODY, pixels=CAFFE)


def cascade_mask_rcnn_detectron2() -> CascadeRCNNConfig:
    """`cascade_mask_rcnn_R_50_FPN_{1x,3x}`: one mask head, the first stage's."""
    return replace(cascade_rcnn_detectron2(), mask_head=MaskHeadConfig())


def cascade_rcnn_mmdetection() -> CascadeRCNNConfig:
    """`cascade-rcnn_r50_fpn_1x_coco`: weighted losses, a new sample for each stage, scores from the mean logits."""
    stds = ((0.1, 0.1, 0.2, 0.2), (0.05, 0.05, 0.1, 0.1), (0.033, 0.033, 0.067, 0.067))
    faster = faster_rcnn_mmdetection()
    return CascadeRCNNConfig(
        backbone=MMDETECTION_BODY,
        rpn=replace(faster.rpn, inside_only=True, valid_divisor=None, smooth_l1_beta=1 / 9, post_nms_train=2000),
        box_head=replace(faster.box_head, class_agnostic=True, smooth_l1_beta=1.0),
        stages=tuple(
            StageConfig(positive_from=iou, box_weights=(1 / x, 1 / y, 1 / w, 1 / h), loss_weight=weight)
            for iou, (x, y, w, h), weight in zip((0.5, 0.6, 0.7), stds, (1.0, 0.5, 0.25))
        ),
        gradient_scale=1.0,
        resample=True,
        average="logits",
    )


def cascade_mask_rcnn_mmdetection() -> CascadeRCNNConfig:
    """`cascade-mask-rcnn_r50_fpn_1x_coco`: every stage has a mask head."""
    return replace(cascade_rcnn_mmdetection(), mask_head=MaskHeadConfig(target="bitmap"), mask_stages=3)


Dialects = Mapping[System, Callable[[], ModelConfig]]
DIALECTS: dict[str, Dialects] = {
    "torchvision": {
        "RetinaNet": retinanet_torchvision,
        "FCOS": fcos_torchvision,
        "Faster R-CNN": faster_rcnn_torchvision,
        "Mask R-CNN": mask_rcnn_torchvision,
    },
    "detectron2": {
        "RetinaNet": retinanet_detectron2,
        "FCOS": fcos_detectron2,
        "Faster R-CNN": faster_rcnn_detectron2,
        "Faster R-CNN on C4": faster_rcnn_c4_detectron2,
        "Mask R-CNN": mask_rcnn_detectron2,
        "Mask R-CNN on C4": mask_rcnn_c4_detectron2,
        "Cascade R-CNN": cascade_rcnn_detectron2,
        "Cascade Mask R-CNN": cascade_mask_rcnn_detectron2,
    },
    "mmlab": {
        "RetinaNet": retinanet_mmdetection,
        "FCOS": fcos_mmdetection,
        "ATSS": atss_mmdetection,
        "FreeAnchor": freeanchor_mmdetection,
        "RepPoints": reppoints_mmdetection,
        "RepPoints with moments": reppoints_mmdetection,
        "Faster R-CNN": faster_rcnn_mmdetection,
        "Mask R-CNN": mask_rcnn_mmdetection,
        "Mask R-CNN with context blocks": mask_rcnn_mmdetection,  # their ratio is the row's
        "Cascade R-CNN": cascade_rcnn_mmdetection,
        "Cascade Mask R-CNN": cascade_mask_rcnn_mmdetection,
    },
}
"""By toolbox; what is not here, cvzoo knows no conventions of."""
VARIANTS: dict[str, dict[str, Dialects]] = {
    "torchvision": {
        "head.cls_tower.0.norm.weight": {"RetinaNet": retinanet_torchvision_v2},
        "box_head.convs.0.conv.weight": {
            "Faster R-CNN": faster_rcnn_torchvision_v2,
            "Mask R-CNN": mask_rcnn_torchvision_v2,
        },
    },
    "mmlab": {
        "head.cls_tower.0.conv.bias": {
            "FCOS": fcos_mmdetection_improved,
            "RepPoints": reppoints_mmdetection_without_norm,
            "RepPoints with moments": reppoints_mmdetection_without_norm,
        },
    },
}
"""By toolbox and a key (ours) that only their files have: other versions of these systems."""
