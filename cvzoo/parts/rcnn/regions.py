"""What R-CNNs look at: the feature maps of an image, and the features of a region of it.

With a pyramid (1612.03144) the maps are P2..P6 and a region is pooled from the level that fits its size. Without one
the only map is C4, and the backbone's last stage runs on every pooled region (1512.03385, appendix A).
"""

from __future__ import annotations

from torch import Tensor

from cvzoo.nn.fpn import FPN, FPNConfig
from cvzoo.nn.resnet import ResNet, ResNetConfig
from cvzoo.nn.roi_pool import RoIPoolConfig, roi_pool
from cvzoo.nn.timm_backbone import TimmBackbone, TimmConfig

BodyConfig = ResNetConfig | TimmConfig
Body = ResNet | TimmBackbone


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


def channels(backbone: BodyConfig, fpn: FPNConfig | None) -> tuple[int, int]:
    """Of the maps, and of a region's features."""
    if fpn is not None:
        return fpn.channels, fpn.channels
    assert isinstance(backbone, ResNetConfig)
    return backbone.channels[2], backbone.channels[3]


def feature_maps(backbone: Body, neck: FPN | None, images_N3HW: Tensor) -> list[Tensor]:
    """[P2, ..., P6], or [C4], of normalised, padded images."""
    maps = backbone(images_N3HW)
    return maps[-1:] if neck is None else neck(maps)


def region_features(
    backbone: Body, neck: FPN | None, maps: list[Tensor], boxes: list[Tensor], pool: RoIPoolConfig
) -> Tensor:
    """(R, C, S, S): the features under the boxes of each image."""
    pooled_RCSS = roi_pool(maps, boxes, pool)
    if neck is not None:
        return pooled_RCSS
    assert isinstance(backbone, ResNet)
    return backbone.layer4(pooled_RCSS)
