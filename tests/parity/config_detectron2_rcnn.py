"""The stages of an R-CNN from the options a detectron2 case was made with. An option without a place here fails."""

from __future__ import annotations

from typing import Any

from parity.config_detectron2 import NORMS, STRIDES, anchors_of, fuse_of, pixels_of, resnet_of
from parity.options import Options, must_be

from cvzoo.nn.fpn import FPNConfig
from cvzoo.nn.roi_pool import RoIPoolConfig
from cvzoo.ops.detect import DetectConfig
from cvzoo.parts.rcnn.box_head import BoxHeadConfig
from cvzoo.parts.rcnn.mask_head import MaskHeadConfig
from cvzoo.parts.rcnn.rpn import RPNConfig

WITHOUT_EFFECT = {
    "MODEL.ROI_BOX_HEAD.FED_LOSS_FREQ_WEIGHT_POWER": "of the federated loss, which is off",
    "MODEL.ROI_BOX_HEAD.FED_LOSS_NUM_CLASSES": "of the federated loss, which is off",
}
"""Options that no field has, and why nothing follows from them."""
ON_C4 = {"MODEL.FPN": "there is no pyramid"}
WITHOUT_CONVS = {"CONV_DIM": "the head has no convolutions"}
HEADS = {
    "StandardROIHeads": False,
    "CascadeROIHeads": False,
    "DensePoseROIHeads": False,
    "Res5ROIHeads": True,
    "TridentRes5ROIHeads": True,
}
"""The reference's second stages, and whether they are on C4."""
BACKBONES = {False: ["build_resnet_fpn_backbone"], True: ["build_resnet_backbone", "build_trident_resnet_backbone"]}
"""Its bodies with a pyramid, and on C4."""


def stages_of(options: Options) -> dict[str, Any]:
    """What the configs of all R-CNNs have: the body, `fpn` (None on C4), both stages."""
    model = options["MODEL"]
    on_c4 = HEADS[model["ROI_HEADS"]["NAME"]]
    options.without_effect(WITHOUT_EFFECT | (ON_C4 if on_c4 else {}))
    must_be(model, META_ARCHITECTURE="GeneralizedRCNN", KEYPOINT_ON=False)
    must_be(model["RESNETS"], OUT_FEATURES=["res4"] if on_c4 else model["FPN"]["IN_FEATURES"])
    assert model["BACKBONE"]["NAME"] in BACKBONES[on_c4]
    return {
        "num_classes": model["ROI_HEADS"]["NUM_CLASSES"],
        "backbone": resnet_of(model),
        "fpn": None if on_c4 else fpn_of(model["FPN"]),
        "pixels": pixels_of(options, divisor=1 if on_c4 else 32),
        "rpn": rpn_of(model),
        "box_head": box_head_of(model, options["TEST.DETECTIONS_PER_IMAGE"]),
    }


def fpn_of(fpn: Options) -> FPNConfig:
    must_be(fpn, IN_FEATURES=["res2", "res3", "res4", "res5"])
    norm, fuse = NORMS[fpn["NORM"]], fuse_of(fpn["FUSE_TYPE"])
    return FPNConfig(channels=fpn["OUT_CHANNELS"], first_level=2, extra="pool", norm=norm, fuse=fuse)


def rpn_of(model: Options) -> RPNConfig:
    rpn = model["RPN"]
    must_be(rpn, HEAD_NAME="StandardRPNHead", IOU_LABELS=[0, -1, 1], BOUNDARY_THRESH=-1)
    assert model["PROPOSAL_GENERATOR"]["NAME"] in ("RPN", "TridentRPN")
    assert set(rpn["CONV_DIMS"]) == {-1}
    negative, positive = rpn["IOU_THRESHOLDS"]
    return RPNConfig(
        anchors=anchors_of(model, rpn["IN_FEATURES"]),
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


def box_head_of(model: Options, detections: int) -> BoxHeadConfig:
    head, roi = model["ROI_BOX_HEAD"], model["ROI_HEADS"]
    must_be(head, USE_FED_LOSS=False, USE_SIGMOID_CE=False, TRAIN_ON_PRED_BOXES=False)
    must_be(head, NAME="" if HEADS[roi["NAME"]] else "FastRCNNConvFCHead")
    must_be(roi, IOU_LABELS=[0, 1])
    check_convs(head, model)
    (positive,) = roi["IOU_THRESHOLDS"]
    return BoxHeadConfig(
        pool=pool_of(head, roi["IN_FEATURES"]),
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


def mask_head_of(model: Options) -> MaskHeadConfig | None:
    """None where the case has no masks."""
    if not model["MASK_ON"]:
        return None
    head = model["ROI_MASK_HEAD"]
    must_be(head, NAME="MaskRCNNConvUpsampleHead", CLS_AGNOSTIC_MASK=False)
    check_convs(head, model)
    return MaskHeadConfig(
        pool=pool_of(head, model["ROI_HEADS"]["IN_FEATURES"]),
        convs=head["NUM_CONV"],
        conv_norm=NORMS[head["NORM"]],
        channels=head["CONV_DIM"],
    )


def check_convs(head: Options, model: Options) -> None:
    """Ours are as wide as the pooled features."""
    if head["NUM_CONV"]:
        must_be(head, CONV_DIM=model["FPN"]["OUT_CHANNELS"])
    else:
        head.without_effect(WITHOUT_CONVS)


def pool_of(head: Options, levels: list[str]) -> RoIPoolConfig:
    return RoIPoolConfig(
        size=head["POOLER_RESOLUTION"],
        strides=tuple(STRIDES[name] for name in levels),
        sampling=head["POOLER_SAMPLING_RATIO"],
        aligned={"ROIAlign": False, "ROIAlignV2": True}[head["POOLER_TYPE"]],
    )
