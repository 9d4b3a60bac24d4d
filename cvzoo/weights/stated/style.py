"""How images enter a network: caffe's convention or PyTorch's."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Literal

from cvzoo.nn.pixels import CAFFE, CAFFE2, IMAGENET
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.weights.stated.section import with_fields

Style = Literal["caffe", "pytorch"]


def styled(config: Any, style: Style) -> Any:
    """The model's config with the body and the pixels of caffe's or PyTorch's ResNets."""
    pixels = CAFFE if style == "caffe" else IMAGENET
    changed = with_fields(config.pixels, mean=pixels.mean, std=pixels.std, bgr=pixels.bgr)
    body = with_fields(config.backbone, stride_in_1x1=style == "caffe")
    return replace(config, pixels=changed, backbone=body)


def named_style(config: Any, record: str) -> Any:
    """The config with the style that mmdetection's name of a file tells: `fcos_r50-caffe_fpn_...`, `fcos_x101_...`."""
    name = record.partition("\n")[0]
    if not isinstance(config.backbone, ResNetConfig) or re.search(r"[-_][rx]\d+[-_].*_coco", name) is None:
        return config
    if re.search(r"[-_]x101[-_]32x8d[-_]", name):  # Caffe2's body
        return replace(config, pixels=with_fields(config.pixels, mean=CAFFE2.mean, std=CAFFE2.std, bgr=CAFFE2.bgr))
    style: Style = "caffe" if "caffe" in name else "pytorch"
    return config if config.backbone.stride_in_1x1 == (style == "caffe") else styled(config, style)


def style_of(config: Any) -> str:
    """How images enter a network, in words; also how fine a segmenter's last map is, and what a detector keeps."""
    p, body = config.pixels, config.backbone
    words = f"{'BGR' if p.bgr else 'RGB'}, mean {p.mean}, std {p.std}"
    if isinstance(body, ResNetConfig):
        words += f", stride in the {'1x1' if body.stride_in_1x1 else '3x3'}"
        if hasattr(config, "align_corners"):
            words += f", output stride {body.output_stride} (--model.backbone.output-stride)"
    detect = getattr(getattr(config, "box_head", config), "detect", None)
    if detect is None:
        return words
    return f"{words}, at most {detect.detections} detections of a score above {detect.score_threshold}"
