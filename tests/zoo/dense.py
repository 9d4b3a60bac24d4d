"""What the modules of the dense detectors share: how their rows become narrow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cvzoo.nn.bodies import BodyConfig
from cvzoo.nn.resnet import ResNetConfig

WIDTH, CHANNELS, GROUPS = 8, 16, 4
"""Of the body's layer1, of the pyramid, of its group norms."""


def narrow(config: Any) -> Any:
    """The config of any dense detector with few channels and three classes, scoring so low that it has detections."""
    return replace(
        config,
        num_classes=3,
        class_ids=(),
        backbone=narrow_body(config.backbone),
        fpn=replace(config.fpn, channels=CHANNELS, norm_groups=GROUPS),
        tower_convs=1,
        tower_norm_groups=GROUPS,
        detect=replace(config.detect, score_threshold=0.001),
    )


def narrow_body(body: BodyConfig) -> BodyConfig:
    """A ResNet with few channels and norms that do not move; timm's networks are as wide as they are."""
    return replace(body, width=WIDTH, norm="frozen") if isinstance(body, ResNetConfig) else body
