"""The bodies a model can have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cvzoo.nn.resnet import ResNet, ResNetConfig
from cvzoo.nn.timm_backbone import TimmBackbone, TimmConfig


@dataclass(frozen=True, kw_only=True)
class OwnBody:
    """Of the user's own: a frozen dataclass derived from this one, the fields of which are its options.

    docs/models.md shows one.
    """

    def build(self) -> Any:
        """An nn.Module from (N, 3, H, W) float images to [C2, C3, C4, C5], maps at strides 4, 8, 16 and 32.

        Its attribute `channels` holds the channels of the four.
        """
        raise NotImplementedError(f"{type(self).__name__} needs a method build()")


BodyConfig = ResNetConfig | TimmConfig | OwnBody
"""A body's config; `build()` makes the body."""

Body = ResNet | TimmBackbone
"""Images to [C2, C3, C4, C5]; `channels` are those of the four maps."""
