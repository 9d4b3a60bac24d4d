"""Our model configuration from the options a detectron2 case was made with. An option without a place here fails."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from cvzoo.nn.fpn import FPNConfig
from cvzoo.nn.layers import Norm
from cvzoo.nn.pixels import Pixels
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.nn.roi_pool import RoIPoolConfig
from cvzoo.ops.anchors import AnchorConfig
from cvzoo.ops.detect import DetectConfig
from cvzoo.ops.points import PointConfig
from cvzoo.parts.rcnn.box_head import BoxHeadConfig
from cvzoo.parts.rcnn.mask_head import MaskHeadConfig
from cvzoo.parts.rcnn.rpn import RPNConfig
from cvzoo.parts.semantic.logits import PixelLossConfig
from cvzoo.zoo.cascade_rcnn.model import CascadeRCNNConfig, StageConfig
from cvzoo.zoo.deeplabv3plus.model import DeepLabV3PlusConfig
from cvzoo.zoo.faster_rcnn.model import FasterRCNNConfig
from cvzoo.zoo.fcos.model import FCOSConfig
from cvzoo.zoo.mask_rcnn.model import MaskRCNNConfig
from cvzoo.zoo.retinanet.model import RetinaNetConfig
from cvzoo.zoo.tridentnet.model import TridentNetConfig

NORMS: dict[str, Norm | None] = {"": None, "GN": "group", "BN": "batch", "FrozenBN": "frozen"}
STRIDES = {f"p{level}": 2**level for level in range(2, 8)} | {f"res{level}": 2**level for level in range(2, 6)}


def retinanet(case: dict[str, Any]) -> RetinaNetConfig:
    model, tests = case["options"]["MODEL"], case["options"]
    head, fpn = model["RETINANET"], model["FPN"]
    assert head["IOU_LABELS"] == [0, -1, 1]
    assert fpn["IN_FEATURES"] == ["res3", "res4", "res5"]
    negative, positive = head["IOU_THRESHOLDS"]
    return RetinaNetConfig(
        num_classes=head["NUM_CLASSES"],
        backbone=_resnet(model),
        fpn=FPNConfig(
            channels=fpn["OUT_CHANNELS"], extra_from="input", norm=NORMS[fpn["NORM"]], fuse=_fuse(fpn["FUSE_TYPE"])
        ),
        pixels=_pixels(case["options"], divisor=32),
        anchors=_anchors(model, head["IN_FEATURES"]),
        tower_convs=head["NUM_CONVS"],
        tower_norm=NORMS[head["NORM"]],
        tower_bias=True,
        prior=head["PRIOR_PROB"],
        box_weights=tuple(head["BBOX_REG_WEIGHTS"]),
        negative_below=negative,
        positive_from=positive,
        focal_alpha=head["FOCAL_LOSS_ALPHA"],
        focal_gamma=head["FOCAL_LOSS_GAMMA"],
        box_loss=head["BBOX_REG_LOSS_TYPE"],
        smooth_l1_beta=head["SMOOTH_L1_LOSS_BETA"],
        candidates=head["TOPK_CANDIDATES_TEST"],
        detect=DetectConfig(
            score_threshold=head["SCORE_THRESH_TEST"],
            nms_threshold=head["NMS_THRESH_TEST"],
            detections=tests["TEST.DETECTIONS_PER_IMAGE"],
            clip_first=False,
        ),
    )


def fcos(case: dict[str, Any]) -> FCOSConfig:
    """That case has no configuration of the reference, but a list of options."""
    options = case["options"]
    body = "R-50 (stride in 1x1, FrozenBN), stem 8, stage outputs 16 32 64 128, bottlenecks 8 16 32 64"
    assert options["backbone"] == f"{body}; FPN p3-p5 16 channels, p6 and p7 from p5"
    assert options["head_norm"] == "GroupNorm(4, 16)"
    return FCOSConfig(
        num_classes=options["num_classes"],
        backbone=ResNetConfig(width=8, stem_channels=8, out_channels=16, stride_in_1x1=True),
        fpn=FPNConfig(channels=16),
        pixels=Pixels(mean=tuple(options["pixel_mean"]), std=tuple(options["pixel_std"]), bgr=True),
        points=PointConfig(strides=tuple(options["strides"])),
        tower_convs=options["head_convs"],
        level_scales=False,
        distance="relu",
        centreness_on="box",
        closed_ranges=False,
        centre_radius=options["center_sampling_radius"],
        focal_alpha=options["focal_loss_alpha"],
        focal_gamma=options["focal_loss_gamma"],
        box_loss="giou",
        central_boxes=False,
        normaliser="moving",
        candidates=options["test_topk_candidates"],
        score="root",
        detect=DetectConfig(
            score_threshold=options["test_score_thresh"],
            nms_threshold=options["test_nms_thresh"],
            detections=options["max_detections_per_image"],
            clip_first=False,
        ),
    )


def deeplab(case: dict[str, Any]) -> DeepLabV3PlusConfig:
    options, model = case["options"], case["options"]["MODEL"]
    head, stride = model["SEM_SEG_HEAD"], {1: 16, 2: 8}[model["RESNETS"]["RES4_DILATION"]]
    assert head["NAME"] == "DeepLabV3PlusHead"
    assert head["IN_FEATURES"] == ["res2", "res5"]
    assert head["PROJECT_FEATURES"] == ["res2"]
    assert head["COMMON_STRIDE"] == 4
    assert head["ASPP_CHANNELS"] == head["CONVS_DIM"]
    assert head["LOSS_TYPE"] == "hard_pixel_mining"
    assert head["LOSS_WEIGHT"] == 1
    assert head["IGNORE_VALUE"] == 255
    assert not head["USE_DEPTHWISE_SEPARABLE_CONV"]
    assert options["INPUT.CROP"]["ENABLED"]
    height, width = options["INPUT.CROP"]["SIZE"]
    norm, (low,) = NORMS[head["NORM"]], head["PROJECT_CHANNELS"]
    assert norm is not None
    return DeepLabV3PlusConfig(
        num_classes=head["NUM_CLASSES"],
        backbone=_dilated_resnet(model, stride),
        pixels=_pixels(options, divisor=1),
        channels=head["CONVS_DIM"],
        dilations=tuple(head["ASPP_DILATIONS"]),
        separable=False,
        fuse_kernel=1,
        pool_norm=False,
        pool_window=(height // stride, width // stride),
        aspp_dropout=head["ASPP_DROPOUT"],
        low_channels=low,
        norm=norm,
        dropout=0.0,
        aux=None,
        loss=PixelLossConfig(hardest=0.2),
    )


def rcnn(case: dict[str, Any]) -> FasterRCNNConfig | MaskRCNNConfig | CascadeRCNNConfig | TridentNetConfig:
    """The system is told by the names of the reference's parts."""
    model = case["options"]["MODEL"]
    roi = model["ROI_HEADS"]
    assert roi["NAME"] in ("StandardROIHeads", "Res5ROIHeads", "CascadeROIHeads", "TridentRes5ROIHeads")
    on_c4 = "Res5" in roi["NAME"]
    common: dict[str, Any] = {
        "num_classes": roi["NUM_CLASSES"],
        "backbone": _resnet(model),
        "pixels": _pixels(case["options"], divisor=1 if on_c4 else 32),
        "rpn": _rpn(model),
        "box_head": _box_head(model, case["options"]["TEST.DETECTIONS_PER_IMAGE"]),
    }
    if "TRIDENT" in model:
        trident = model["TRIDENT"]
        assert trident["TRIDENT_STAGE"] == "res4"
        assert trident["TEST_BRANCH_IDX"] in (-1, 1)
        dilations = tuple(trident["BRANCH_DILATIONS"])
        return TridentNetConfig(**common, dilations=dilations, all_branches=trident["TEST_BRANCH_IDX"] == -1)
    common["fpn"] = None if on_c4 else _rcnn_fpn(model["FPN"])
    if roi["NAME"] == "CascadeROIHeads":
        cascade = model["ROI_BOX_CASCADE_HEAD"]
        stages = tuple(
            StageConfig(positive_from=iou, box_weights=tuple(weights))
            for iou, weights in zip(cascade["IOUS"], cascade["BBOX_REG_WEIGHTS"])
        )
        return CascadeRCNNConfig(**common, stages=stages, mask_head=_mask_head(model) if model["MASK_ON"] else None)
    return MaskRCNNConfig(**common, mask_head=_mask_head(model)) if model["MASK_ON"] else FasterRCNNConfig(**common)


def _rcnn_fpn(fpn: dict[str, Any]) -> FPNConfig:
    assert fpn["IN_FEATURES"] == ["res2", "res3", "res4", "res5"]
    return FPNConfig(
        channels=fpn["OUT_CHANNELS"], first_level=2, extra="pool", norm=NORMS[fpn["NORM"]], fuse=_fuse(fpn["FUSE_TYPE"])
    )


def _mask_head(model: dict[str, Any]) -> MaskHeadConfig:
    head = model["ROI_MASK_HEAD"]
    assert not head["CLS_AGNOSTIC_MASK"]
    return MaskHeadConfig(
        pool=_pool(head, model["ROI_HEADS"]["IN_FEATURES"]),
        convs=head["NUM_CONV"],
        conv_norm=NORMS[head["NORM"]],
        channels=head["CONV_DIM"],
    )


def _pool(head: dict[str, Any], levels: list[str]) -> RoIPoolConfig:
    return RoIPoolConfig(
        size=head["POOLER_RESOLUTION"],
        strides=tuple(STRIDES[name] for name in levels),
        sampling=head["POOLER_SAMPLING_RATIO"],
        aligned={"ROIAlign": False, "ROIAlignV2": True}[head["POOLER_TYPE"]],
    )


def _rpn(model: dict[str, Any]) -> RPNConfig:
    rpn = model["RPN"]
    assert rpn["IOU_LABELS"] == [0, -1, 1]
    assert rpn["BOUNDARY_THRESH"] == -1
    assert set(rpn["CONV_DIMS"]) == {-1}
    negative, positive = rpn["IOU_THRESHOLDS"]
    return RPNConfig(
        anchors=_anchors(model, rpn["IN_FEATURES"]),
        convs=len(rpn["CONV_DIMS"]),
        box_weights=tuple(rpn["BBOX_REG_WEIGHTS"]),
        negative_below=negative,
        positive_from=positive,
        samples=rpn["BATCH_SIZE_PER_IMAGE"],
        positive_fraction=rpn["POSITIVE_FRACTION"],
        box_loss=rpn["BBOX_REG_LOSS_TYPE"],
        smooth_l1_beta=rpn["SMOOTH_L1_BETA"],
        loss_weight=rpn["LOSS_WEIGHT"],
        box_loss_weight=rpn["BBOX_REG_LOSS_WEIGHT"],
        pre_nms_train=rpn["PRE_NMS_TOPK_TRAIN"],
        pre_nms_test=rpn["PRE_NMS_TOPK_TEST"],
        post_nms_train=rpn["POST_NMS_TOPK_TRAIN"],
        post_nms_test=rpn["POST_NMS_TOPK_TEST"],
        nms_threshold=rpn["NMS_THRESH"],
        min_side=model["PROPOSAL_GENERATOR"]["MIN_SIZE"],
    )


def _box_head(model: dict[str, Any], detections: int) -> BoxHeadConfig:
    head, roi = model["ROI_BOX_HEAD"], model["ROI_HEADS"]
    assert not head["USE_FED_LOSS"]
    assert not head["USE_SIGMOID_CE"]
    assert not head["TRAIN_ON_PRED_BOXES"]
    (positive,) = roi["IOU_THRESHOLDS"]
    return BoxHeadConfig(
        pool=_pool(head, roi["IN_FEATURES"]),
        convs=head["NUM_CONV"],
        conv_norm=NORMS[head["NORM"]],
        fcs=head["NUM_FC"],
        fc_channels=head["FC_DIM"],
        class_agnostic=head["CLS_AGNOSTIC_BBOX_REG"],
        box_weights=tuple(head["BBOX_REG_WEIGHTS"]),
        positive_from=positive,
        samples=roi["BATCH_SIZE_PER_IMAGE"],
        positive_fraction=roi["POSITIVE_FRACTION"],
        append_truth=roi["PROPOSAL_APPEND_GT"],
        box_loss=head["BBOX_REG_LOSS_TYPE"],
        smooth_l1_beta=head["SMOOTH_L1_BETA"],
        box_loss_weight=head["BBOX_REG_LOSS_WEIGHT"],
        detect=DetectConfig(
            score_threshold=roi["SCORE_THRESH_TEST"], nms_threshold=roi["NMS_THRESH_TEST"], detections=detections
        ),
    )


def _dilated_resnet(model: dict[str, Any], output_stride: Literal[8, 16]) -> ResNetConfig:
    resnet = model["RESNETS"]
    assert resnet["STEM_TYPE"] == "deeplab"
    plain = _resnet({**model, "RESNETS": {**resnet, "RES5_DILATION": 1}})
    multi_grid = tuple(resnet["RES5_DILATION"] * factor for factor in resnet["RES5_MULTI_GRID"])
    return replace(plain, deep_stem=True, output_stride=output_stride, multi_grid=multi_grid)


def _resnet(model: dict[str, Any]) -> ResNetConfig:
    resnet = model["RESNETS"]
    assert not any(resnet["DEFORM_ON_PER_STAGE"])
    assert resnet["RES5_DILATION"] == 1
    norm = NORMS[resnet["NORM"]]
    assert norm is not None
    return ResNetConfig(
        depth=resnet["DEPTH"],
        width=resnet["WIDTH_PER_GROUP"] * resnet["NUM_GROUPS"],
        stem_channels=resnet["STEM_OUT_CHANNELS"],
        out_channels=resnet["RES2_OUT_CHANNELS"],
        groups=resnet["NUM_GROUPS"],
        stride_in_1x1=resnet["STRIDE_IN_1X1"],
        norm=norm,
        frozen_stages=model["BACKBONE"]["FREEZE_AT"],
    )


def _anchors(model: dict[str, Any], levels: list[str]) -> AnchorConfig:
    anchors = model["ANCHOR_GENERATOR"]
    assert anchors["NAME"] == "DefaultAnchorGenerator"
    return AnchorConfig(
        sizes=tuple(tuple(sizes) for sizes in anchors["SIZES"]),
        ratios=tuple(tuple(ratios) for ratios in anchors["ASPECT_RATIOS"]),
        strides=tuple(STRIDES[name] for name in levels),
        offset=anchors["OFFSET"],
    )


def _pixels(options: dict[str, Any], divisor: int) -> Pixels:
    mean, std = options["MODEL"]["PIXEL_MEAN"], options["MODEL"]["PIXEL_STD"]
    return Pixels(mean=tuple(mean), std=tuple(std), bgr=options["INPUT.FORMAT"] == "BGR", divisor=divisor)


def _fuse(name: str) -> Any:
    return {"sum": "sum", "avg": "mean"}[name]
