"""How images enter a network: caffe's convention or PyTorch's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from cvzoo.nn.pixels import CAFFE, IMAGENET
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.weights.stated.section import with_fields

Style = Literal["caffe", "pytorch"]


def styled(config: Any, style: Style) -> Any:
    """The model's config with the body and the pixels of caffe's or PyTorch's ResNets."""
    pixels = CAFFE if style == "caffe" else IMAGENET
    changed = with_fields(config.pixels, mean=pixels.mean, std=pixels.std, bgr=pixels.bgr)
    body = with_fields(config.backbone, stride_in_1x1=style == "caffe")
    return replace(config, pixels=changed, backbone=body)


def style_of(config: Any) -> str:
    """How images enter a network, in words; of a segmenter also how fine its last map is."""
    p, body = config.pixels, config.backbone
    words = f"{'BGR' if p.bgr else 'RGB'}, mean {p.mean}, std {p.std}"
    if not isinstance(body, ResNetConfig):
        return words
    words += f", stride in the {'1x1' if body.stride_in_1x1 else '3x3'}"
    segments = hasattr(config, "align_corners")
    return f"{words}, output stride {body.output_stride} (--model.backbone.output-stride)" if segments else words
