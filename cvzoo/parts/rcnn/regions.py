"""The body of an R-CNN: with a pyramid (1612.03144), ending at C4 (1512.03385, appendix A), or with a dilated C5.

With a pyramid a region is pooled from the level that fits its size. Without one there is a single map at stride 16: C4,
and the backbone's last stage runs on every pooled region; or C5 of a backbone that dilates its last stage (1703.06211).
"""

from __future__ import annotations

from cvzoo.nn.bodies import Body, BodyConfig
from cvzoo.nn.fpn import FPN, FPNConfig
from cvzoo.nn.resnet import ResNet, ResNetConfig
from cvzoo.nn.timm_backbone import TimmConfig


def check_body(backbone: BodyConfig, fpn: FPNConfig | None) -> None:
    """ValueError for a combination that cannot be built."""
    if fpn is not None:
        return
    if not isinstance(backbone, ResNetConfig):
        name = backbone.name if isinstance(backbone, TimmConfig) else type(backbone).__name__
        raise ValueError(f"without a pyramid the backbone must be a ResNet, not {name}; choose an FPN row")
    if backbone.output_stride == 8:
        raise ValueError("model.backbone.output-stride 8: without a pyramid take 32, which is C4, or 16, a dilated C5")


def ends_at_c4(backbone: BodyConfig, fpn: FPNConfig | None) -> bool:
    """Whether the only map is C4: there is no pyramid, and the last stage does not dilate."""
    return fpn is None and isinstance(backbone, ResNetConfig) and backbone.output_stride == 32


def build_body(backbone: BodyConfig, fpn: FPNConfig | None) -> tuple[Body, FPN | None]:
    """Backbone and pyramid; one that ends at C4 leaves its `layer4` for the regions."""
    if ends_at_c4(backbone, fpn):
        assert isinstance(backbone, ResNetConfig)
        return ResNet(backbone, stages=3), None
    body = backbone.build()
    return body, None if fpn is None else FPN(fpn, body.channels)
