"""Our model configuration from the resolved config of an mmdetection case. An option without a place here fails."""

from __future__ import annotations

from typing import Any

from cvzoo.models.retinanet import RetinaNetConfig
from cvzoo.nn.fpn import FPNConfig
from cvzoo.nn.layers import Norm
from cvzoo.nn.pixels import Pixels
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.ops.anchors import AnchorConfig
from cvzoo.ops.detect import DetectConfig


def retinanet(case: dict[str, Any]) -> RetinaNetConfig:
    model = case["model"]
    head, train, test = model["bbox_head"], model["train_cfg"], model["test_cfg"]
    assigner, anchors, coder = train["assigner"], head["anchor_generator"], head["bbox_coder"]
    assert assigner["type"] == "MaxIoUAssigner"
    assert assigner["min_pos_iou"] == 0
    assert assigner["ignore_iof_thr"] == -1
    assert train["allowed_border"] == -1
    assert train["pos_weight"] == -1
    assert head["loss_cls"]["type"] == "FocalLoss"
    assert head["loss_cls"]["loss_weight"] == 1
    kinds = {"L1Loss": "smooth_l1", "SmoothL1Loss": "smooth_l1", "GIoULoss": "giou"}
    assert head.get("reg_decoded_bbox", False) == (head["loss_bbox"]["type"] == "GIoULoss")
    assert head["loss_bbox"]["loss_weight"] == 1
    assert coder["target_means"] == [0, 0, 0, 0]
    return RetinaNetConfig(
        num_classes=head["num_classes"],
        backbone=_resnet(model["backbone"]),
        fpn=_fpn(model["neck"]),
        pixels=_pixels(model["data_preprocessor"]),
        anchors=_anchors(anchors),
        tower_convs=head["stacked_convs"],
        box_weights=tuple(1 / std for std in coder["target_stds"]),
        clamp_shrinking=True,
        negative_below=assigner["neg_iou_thr"],
        positive_from=assigner["pos_iou_thr"],
        best_match="truth",
        skip_padding=True,
        focal_alpha=head["loss_cls"]["alpha"],
        focal_gamma=head["loss_cls"]["gamma"],
        box_loss=kinds[head["loss_bbox"]["type"]],  # type: ignore[arg-type]
        smooth_l1_beta=head["loss_bbox"].get("beta", 1.0) if head["loss_bbox"]["type"] == "SmoothL1Loss" else 0.0,
        normaliser="batch",
        candidates=test["nms_pre"],
        detect=DetectConfig(
            score_threshold=test["score_thr"],
            nms_threshold=test["nms"]["iou_threshold"],
            detections=test["max_per_img"],
            clip_first=True,
            min_side=test["min_bbox_size"],
            drop_first=True,
        ),
    )


def _resnet(backbone: dict[str, Any]) -> ResNetConfig:
    norm: Norm = "affine" if backbone["norm_eval"] else "batch"
    if not backbone["norm_cfg"]["requires_grad"]:
        norm = "frozen"
    return ResNetConfig(
        depth=backbone["depth"],
        width=backbone.get("base_channels", 64),
        stem_channels=backbone.get("stem_channels"),
        stride_in_1x1=backbone["style"] == "caffe",
        norm=norm,
        frozen_stages=backbone["frozen_stages"] + 1,
    )


def _fpn(neck: dict[str, Any]) -> FPNConfig:
    assert neck["start_level"] == 1
    assert neck["num_outs"] == 5
    return FPNConfig(
        channels=neck["out_channels"],
        extra_from={"on_input": "input", "on_output": "output"}[neck["add_extra_convs"]],  # type: ignore[arg-type]
        extra_relu=neck.get("relu_before_extra_convs", False),
        norm={None: None, "GN": "group"}[neck.get("norm_cfg", {}).get("type")],  # type: ignore[arg-type]
    )


def _anchors(anchors: dict[str, Any]) -> AnchorConfig:
    octaves = anchors["scales_per_octave"]
    scales = [anchors["octave_base_scale"] * 2 ** (i / octaves) for i in range(octaves)]
    return AnchorConfig(
        sizes=tuple(tuple(stride * scale for scale in scales) for stride in anchors["strides"]),
        ratios=(tuple(anchors["ratios"]),),
        strides=tuple(anchors["strides"]),
        offset=anchors.get("center_offset", 0.0),
        order="ratio",
    )


def _pixels(pixels: dict[str, Any]) -> Pixels:
    return Pixels(
        mean=tuple(pixels["mean"]),
        std=tuple(pixels["std"]),
        bgr=not pixels["bgr_to_rgb"],
        divisor=pixels["pad_size_divisor"],
    )
