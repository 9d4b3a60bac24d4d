"""The body of an R-CNN: with a pyramid (1612.03144), or ending at C4 (1512.03385, appendix A).

With a pyramid a region is pooled from the level that fits its size. Without one the only map is C4, and the backbone's
last stage runs on every pooled region.
"""

from __future__ import annotations

from cvzoo.nn.bodies import Body, BodyConfig
from cvzoo.nn.fpn import FPN, FPNConfig
from cvzoo.nn.resnet import ResNet, ResNetConfig
from cvzoo.nn.timm_backbone import TimmConfig


def check_body(backbone: BodyConfig, fpn: FPNConfig | None) -> None:
    """ValueError for a combination that cannot be built."""
    if fpn is None and isinstance(backbone, TimmConfig):
        raise ValueError(f"without a pyramid the backbone must be a ResNet, not {backbone.name}; choose an FPN row")


def build_body(backbone: BodyConfig, fpn: FPNConfig | None) -> tuple[Body, FPN | None]:
    """Backbone and pyramid; without a pyramid the backbone ends at C4 and its `layer4` is left for the regions."""
    if fpn is None:
        assert isinstance(backbone, ResNetConfig)
        return ResNet(backbone, stages=3), None
    body = backbone.build()
    return body, FPN(fpn, body.channels)
