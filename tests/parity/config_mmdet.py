"""Our model configuration from the resolved config of an mmdetection case. An option without a place here fails."""

from __future__ import annotations

from typing import Any

from parity.options import Options, must_be

from cvzoo.nn.fpn import FPNConfig
from cvzoo.nn.layers import Norm
from cvzoo.nn.pixels import Pixels
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.ops.anchors import AnchorConfig
from cvzoo.ops.detect import DetectConfig

WITHOUT_EFFECT = {
    "backbone.init_cfg": "the case has weights",
    "train_cfg.debug": "no part of mmdetection reads it",
    "train_cfg.init.debug": "as above",
    "train_cfg.refine.debug": "as above",
}
"""Options that are read, and why nothing follows from them."""


def dense_of(model: Options) -> dict[str, Any]:
    """What all dense detectors have in common."""
    model.without_effect(WITHOUT_EFFECT)
    head, neck, test = model["bbox_head"], model["neck"], model["test_cfg"]
    backbone = resnet_of(model["backbone"])
    must_be(neck, in_channels=list(backbone.channels))
    must_be(head, in_channels=neck["out_channels"], feat_channels=neck["out_channels"])
    return {
        "num_classes": head["num_classes"],
        "backbone": backbone,
        "fpn": fpn_of(neck),
        "pixels": pixels_of(model["data_preprocessor"]),
        "tower_convs": head["stacked_convs"],
        "candidates": test["nms_pre"],
        "detect": detect_of(test),
    }


def focal_of(head: Options) -> dict[str, float]:
    must_be(head["loss_cls"], type="FocalLoss", use_sigmoid=True, loss_weight=1)
    return {"focal_alpha": head["loss_cls"]["alpha"], "focal_gamma": head["loss_cls"]["gamma"]}


def check_centreness(head: Options) -> None:
    """Its loss has no options of ours."""
    must_be(head["loss_centerness"], type="CrossEntropyLoss", use_sigmoid=True, loss_weight=1)


def detect_of(test: Options) -> DetectConfig:
    must_be(test["nms"], type="nms")
    return DetectConfig(
        score_threshold=test["score_thr"],
        nms_threshold=test["nms"]["iou_threshold"],
        detections=test["max_per_img"],
        min_side=test["min_bbox_size"],
        drop_first=True,
    )


def norm_of(norm: Options | None, prefix: str = "") -> dict[str, Any]:
    """The fields of a `norm_cfg`, whose names begin with `prefix`."""
    if norm is None:
        return {f"{prefix}norm": None}
    must_be(norm, requires_grad=True)
    if norm["type"] == "GN":
        return {f"{prefix}norm": "group", f"{prefix}norm_groups": norm["num_groups"]}
    must_be(norm, type="BN")
    return {f"{prefix}norm": "batch"}


def resnet_of(backbone: Options) -> ResNetConfig:
    must_be(backbone, type="ResNet", num_stages=4, out_indices=[0, 1, 2, 3], deep_stem=False, avg_down=False)
    must_be(backbone["norm_cfg"], type="BN")
    norm: Norm = "affine" if backbone["norm_eval"] else "batch"
    if not backbone["norm_cfg"]["requires_grad"]:
        must_be(backbone, norm_eval=True)
        norm = "frozen"
    return ResNetConfig(
        depth=backbone["depth"],
        width=backbone.get("base_channels", 64),
        stem_channels=backbone.get("stem_channels"),
        stride_in_1x1={"caffe": True, "pytorch": False}[backbone["style"]],
        norm=norm,
        frozen_stages=backbone["frozen_stages"] + 1,
        context_ratio=context_ratio_of(backbone.get("plugins", [])),
        **deform_of(backbone),
    )


def deform_of(backbone: Options) -> dict[str, Any]:
    if backbone.get("dcn") is None:
        return {}
    must_be(backbone, stage_with_dcn=[False, True, True, True])
    must_be(backbone["dcn"], fallback_on_stride=False)
    kind = {"DCN": "v1", "DCNv2": "v2"}[backbone["dcn"]["type"]]
    return {"deform": kind, "deform_groups": backbone["dcn"]["deform_groups"]}


def context_ratio_of(plugins: list[Options]) -> float | None:
    if not plugins:
        return None
    (plugin,) = plugins
    must_be(plugin, position="after_conv3", stages=[False, True, True, True])
    must_be(plugin["cfg"], type="ContextBlock", pooling_type="att", fusion_types=["channel_add"])
    return plugin["cfg"]["ratio"]


def fpn_of(neck: Options) -> FPNConfig:
    must_be(neck, type="FPN", start_level=1, end_level=-1, num_outs=5, no_norm_on_lateral=False)
    must_be(neck, upsample_cfg={"mode": "nearest"})
    norm = norm_of(neck.get("norm_cfg"))
    return FPNConfig(
        channels=neck["out_channels"],
        extra_from={True: "input", "on_input": "input", "on_output": "output"}[neck["add_extra_convs"]],  # type: ignore[arg-type]
        extra_relu=neck.get("relu_before_extra_convs", False),
        extra_norm=norm["norm"],
        **norm,
    )


def anchors_of(anchors: Options) -> AnchorConfig:
    must_be(anchors, type="AnchorGenerator", base_sizes=None)
    octaves = anchors["scales_per_octave"]
    scales = [anchors["octave_base_scale"] * 2 ** (i / octaves) for i in range(octaves)]
    return AnchorConfig(
        sizes=tuple(tuple(stride * scale for scale in scales) for stride in anchors["strides"]),
        ratios=(tuple(anchors["ratios"]),),
        strides=tuple(anchors["strides"]),
        offset=anchors.get("center_offset", 0.0),
        order="ratio" if anchors.get("scale_major", True) else "size",
    )


def pixels_of(pixels: Options) -> Pixels:
    must_be(pixels, type="DetDataPreprocessor")
    return Pixels(
        mean=tuple(pixels["mean"]),
        std=tuple(pixels["std"]),
        bgr=not pixels["bgr_to_rgb"],
        divisor=pixels["pad_size_divisor"],
    )


def box_weights_of(coder: Options) -> Any:
    must_be(coder, type="DeltaXYWHBBoxCoder", target_means=[0, 0, 0, 0], add_ctr_clamp=False)
    return tuple(1 / std for std in coder["target_stds"])
