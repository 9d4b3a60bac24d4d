"""The bodies a model can have."""

from __future__ import annotations

from cvzoo.nn.resnet import ResNet, ResNetConfig
from cvzoo.nn.timm_backbone import TimmBackbone, TimmConfig

BodyConfig = ResNetConfig | TimmConfig
"""A body's config; `build()` makes the body."""

Body = ResNet | TimmBackbone
"""Images to [C2, C3, C4, C5]; `channels` are those of the four maps."""
