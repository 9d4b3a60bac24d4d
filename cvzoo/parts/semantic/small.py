"""The options of networks for semantic segmentation as small rows have them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from cvzoo.data import class_names
from cvzoo.nn.pixels import MINUS_ONE_TO_ONE
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.nn.timm_backbone import TimmConfig
from cvzoo.parts.semantic.head import AuxiliaryConfig

OutputStride = Literal[8, 16, 32]


def lite0(output_stride: OutputStride = 16) -> dict[str, Any]:
    """EfficientNet-Lite0, ImageNet's up to C3, and thin heads for the classes of CamVid."""
    return {
        "num_classes": len(class_names.CAMVID),
        "backbone": TimmConfig(name="tf_efficientnet_lite0", output_stride=output_stride, frozen_outputs=2),
        "pixels": replace(MINUS_ONE_TO_ONE, divisor=1),
        "channels": 128,
        "aux": AuxiliaryConfig(channels=64),
    }


def resnet(output_stride: OutputStride = 8) -> dict[str, Any]:
    """A thin ResNet-18 and thin heads for drawn shapes, trained from random weights."""
    return {
        "num_classes": 4,
        "backbone": ResNetConfig(depth=18, width=32, norm="batch", frozen_stages=0, output_stride=output_stride),
        "channels": 64,
        "aux": AuxiliaryConfig(channels=32),
    }
