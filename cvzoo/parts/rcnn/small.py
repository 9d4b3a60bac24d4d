"""The stages of an R-CNN as small rows have them: few proposals and samples, thin layers."""

from __future__ import annotations

from cvzoo.nn.fpn import FPNConfig
from cvzoo.nn.layers import Norm
from cvzoo.nn.roi_pool import RoIPoolConfig
from cvzoo.ops.anchors import AnchorConfig
from cvzoo.parts.rcnn.box_head import BoxHeadConfig
from cvzoo.parts.rcnn.mask_head import MaskHeadConfig
from cvzoo.parts.rcnn.rpn import RPNConfig

BOX_HEAD = BoxHeadConfig(fc_channels=256, samples=64)
"""A second stage with few samples and a thin hidden layer."""
C4_BOX_HEAD = BoxHeadConfig(pool=RoIPoolConfig(size=7, strides=(16,)), fcs=0, samples=32)
"""The same without a pyramid, on regions half as fine as usual."""
MASK_HEAD = MaskHeadConfig(convs=2, channels=64)
"""A thin mask branch."""


def pyramid(norm: Norm | None = None) -> FPNConfig:
    """A thin P2..P6."""
    return FPNConfig(first_level=2, extra="pool", channels=64, norm=norm)


def rpn(sizes: tuple[float, ...]) -> RPNConfig:
    """A first stage with few proposals: one anchor size on each of P2..P6."""
    return _rpn(AnchorConfig(sizes=tuple((size,) for size in sizes), strides=(4, 8, 16, 32, 64)))


def c4_rpn(sizes: tuple[float, ...]) -> RPNConfig:
    """A first stage with few proposals: all anchor sizes on C4."""
    return _rpn(AnchorConfig(sizes=(sizes,), strides=(16,)))


def _rpn(anchors: AnchorConfig) -> RPNConfig:
    return RPNConfig(
        anchors=anchors, samples=64, pre_nms_train=200, post_nms_train=200, pre_nms_test=200, post_nms_test=200
    )
