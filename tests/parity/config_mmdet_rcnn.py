"""The stages of an R-CNN from the resolved config of an mmdetection case. An option without a place here fails."""

from __future__ import annotations

from typing import Any

from parity.config_mmdet import box_weights_of, pixels_of, resnet_of
from parity.options import Options, must_be

from cvzoo.nn.fpn import FPNConfig
from cvzoo.nn.roi_pool import RoIPoolConfig
from cvzoo.ops.anchors import AnchorConfig
from cvzoo.ops.detect import DetectConfig
from cvzoo.parts.rcnn.box_head import BoxHeadConfig
from cvzoo.parts.rcnn.mask_head import MaskHeadConfig
from cvzoo.parts.rcnn.rpn import RPNConfig

WITHOUT_EFFECT = {"backbone.init_cfg": "the case has weights"}
"""Options that no field has, and why nothing follows from them."""


def stages_of(model: Options) -> dict[str, Any]:
    """What the configs of all R-CNNs have but for the second stage, whose form differs."""
    model.without_effect(WITHOUT_EFFECT)
    must_be(model["data_preprocessor"], pad_mask=True)
    backbone, fpn = resnet_of(model["backbone"]), fpn_of(model["neck"])
    must_be(model["neck"], in_channels=list(backbone.channels))
    return {
        "backbone": backbone,
        "fpn": fpn,
        "pixels": pixels_of(model["data_preprocessor"]),
        "rpn": rpn_of(model, fpn.channels),
    }


def fpn_of(neck: Options) -> FPNConfig:
    must_be(neck, type="FPN", start_level=0, num_outs=5, add_extra_convs=False)
    return FPNConfig(channels=neck["out_channels"], first_level=2, extra="pool")


def rpn_of(model: Options, channels: int) -> RPNConfig:
    head, train, test = model["rpn_head"], model["train_cfg"]["rpn"], model["test_cfg"]["rpn"]
    assigner, sampler, proposal = train["assigner"], train["sampler"], model["train_cfg"]["rpn_proposal"]
    must_be(head, type="RPNHead", num_convs=1, in_channels=channels, feat_channels=channels)
    must_be(head["loss_cls"], type="CrossEntropyLoss", use_sigmoid=True, loss_weight=1)
    must_be(train, pos_weight=-1, debug=False)
    must_be(assigner, type="MaxIoUAssigner", match_low_quality=True, ignore_iof_thr=-1)
    must_be(sampler, type="RandomSampler", neg_pos_ub=-1, add_gt_as_proposals=False)
    must_be(proposal["nms"], type="nms")
    must_be(test, nms=proposal["nms"], min_bbox_size=proposal["min_bbox_size"])
    inside_only = {0: True, -1: False}[train["allowed_border"]]
    return RPNConfig(
        anchors=anchors_of(head["anchor_generator"]),
        box_weights=box_weights_of(head["bbox_coder"]),
        clamp_shrinking=True,
        negative_below=assigner["neg_iou_thr"],
        positive_from=assigner["pos_iou_thr"],
        best_match="truth",
        best_match_from=assigner["min_pos_iou"],
        inside_only=inside_only,
        # what does not reach beyond the image does not lie beyond its padding either
        valid_divisor=None if inside_only else model["data_preprocessor"]["pad_size_divisor"],
        samples=sampler["num"],
        positive_fraction=sampler["pos_fraction"],
        normaliser="sampled_or_one",
        smooth_l1_beta=beta_of(head),
        box_loss_weight=head["loss_bbox"]["loss_weight"],
        pre_nms_train=proposal["nms_pre"],
        pre_nms_test=test["nms_pre"],
        post_nms_train=proposal["max_per_img"],
        post_nms_test=test["max_per_img"],
        nms_threshold=proposal["nms"]["iou_threshold"],
        min_side=proposal["min_bbox_size"],
    )


def anchors_of(anchors: Options) -> AnchorConfig:
    must_be(anchors, type="AnchorGenerator")
    return AnchorConfig(
        sizes=tuple(tuple(stride * scale for scale in anchors["scales"]) for stride in anchors["strides"]),
        ratios=(tuple(anchors["ratios"]),),
        strides=tuple(anchors["strides"]),
        order="ratio",
    )


def box_head_of(head: Options, extractor: Options, train: Options, test: Options) -> BoxHeadConfig:
    pool, assigner = pool_of(extractor), assigner_of(train)
    must_be(head, type="Shared2FCBBoxHead", in_channels=extractor["out_channels"], roi_feat_size=pool.size)
    must_be(head["loss_cls"], type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1)
    must_be(train, pos_weight=-1, debug=False)
    must_be(train["sampler"], type="RandomSampler", neg_pos_ub=-1)
    must_be(test, mask_thr_binary=0.5)
    must_be(test["nms"], type="nms")
    return BoxHeadConfig(
        pool=pool,
        fc_channels=head["fc_out_channels"],
        class_agnostic=head["reg_class_agnostic"],
        box_weights=box_weights_of(head["bbox_coder"]),
        clamp_shrinking=True,
        positive_from=assigner["pos_iou_thr"],
        best_match="truth" if assigner["match_low_quality"] else "none",
        samples=train["sampler"]["num"],
        positive_fraction=train["sampler"]["pos_fraction"],
        append_truth=train["sampler"]["add_gt_as_proposals"],
        smooth_l1_beta=beta_of(head),
        box_loss_weight=head["loss_bbox"]["loss_weight"],
        detect=DetectConfig(
            score_threshold=test["score_thr"],
            nms_threshold=test["nms"]["iou_threshold"],
            detections=test["max_per_img"],
            min_side=None,
        ),
    )


def assigner_of(train: Options) -> Options:
    """Of the second stage, where all that is no object is background."""
    assigner, positive = train["assigner"], train["assigner"]["pos_iou_thr"]
    must_be(assigner, type="MaxIoUAssigner", neg_iou_thr=positive, min_pos_iou=positive, ignore_iof_thr=-1)
    return assigner


def beta_of(head: Options) -> float:
    """Smooth L1's; L1 is 0."""
    loss = head["loss_bbox"]
    return {"SmoothL1Loss": loss.get("beta", 1.0), "L1Loss": 0.0}[loss["type"]]


def mask_head_of(roi: Options, train: Options, num_classes: int) -> MaskHeadConfig | None:
    """None where the case has no masks."""
    if "mask_head" not in roi:
        return None
    head, extractor, channels = roi["mask_head"], roi["mask_roi_extractor"], roi["mask_roi_extractor"]["out_channels"]
    pool = pool_of(extractor)
    must_be(head, type="FCNMaskHead", num_classes=num_classes, class_agnostic=False)
    must_be(head, in_channels=channels, conv_out_channels=channels)  # ours are as wide as the pooled features
    must_be(head["loss_mask"], type="CrossEntropyLoss", use_mask=True)
    must_be(train, mask_size=2 * pool.size)
    return MaskHeadConfig(
        pool=pool,
        convs=head["num_convs"],
        channels=head["conv_out_channels"],
        target="bitmap",
        loss_weight=head["loss_mask"]["loss_weight"],
    )


def pool_of(extractor: Options) -> RoIPoolConfig:
    layer = extractor["roi_layer"]
    must_be(extractor, type="SingleRoIExtractor")
    must_be(layer, type="RoIAlign")
    return RoIPoolConfig(
        size=layer["output_size"], strides=tuple(extractor["featmap_strides"]), sampling=layer["sampling_ratio"]
    )
