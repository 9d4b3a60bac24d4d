"""What the modules of the networks for semantic segmentation share: how their rows become narrow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cvzoo.nn.bodies import BodyConfig
from cvzoo.nn.resnet import ResNetConfig

CLASSES, WIDTH, CHANNELS, AUX_CHANNELS, GROUPS = 4, 8, 16, 8, 4
"""Of what is scored, of the body's layer1, of the head, of the auxiliary head, of group norms."""


def narrow(config: Any) -> Any:
    """The config of any row with few channels and the classes of drawn images."""
    aux = None if config.aux is None else replace(config.aux, channels=AUX_CHANNELS)
    return replace(
        config,
        num_classes=CLASSES,
        backbone=narrow_body(config.backbone),
        channels=CHANNELS,
        norm_groups=GROUPS,
        aux=aux,
    )


def narrow_body(body: BodyConfig) -> BodyConfig:
    """A ResNet with few channels and no more blocks than ResNet-50; timm's networks are as wide as they are."""
    if not isinstance(body, ResNetConfig):
        return body
    stem = None if body.stem_channels is None else 2 * WIDTH  # one that is twice as wide as usual stays so
    return replace(body, depth=min(body.depth, 50), width=WIDTH, stem_channels=stem, norm_groups=GROUPS)
