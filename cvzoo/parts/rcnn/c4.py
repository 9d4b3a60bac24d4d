"""How the stages of an R-CNN are set without a pyramid: one level with all anchor sizes on it (detectron2).

It is C4, and the backbone's last stage runs on the regions; or C5 of a backbone that dilates it (DC5).
"""

from __future__ import annotations

from dataclasses import replace

from cvzoo.nn.pixels import IMAGENET
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.nn.roi_pool import RoIPoolConfig
from cvzoo.ops.anchors import AnchorConfig
from cvzoo.parts.rcnn.box_head import BoxHeadConfig
from cvzoo.parts.rcnn.mask_head import MaskHeadConfig
from cvzoo.parts.rcnn.rpn import RPNConfig

C4_POOL = RoIPoolConfig(size=14, strides=(16,))
"""What the backbone's last stage gets of a region; it halves it."""
C4_PIXELS = replace(IMAGENET, divisor=1)
"""Images are not padded to a multiple of anything: nothing is added across levels."""
C4_RPN = RPNConfig(
    anchors=AnchorConfig(sizes=((32, 64, 128, 256, 512),), strides=(16,)),
    pre_nms_train=12000,
    post_nms_train=2000,
    pre_nms_test=6000,
    post_nms_test=1000,
)
"""On C4 and on a dilated C5."""
C4_BOX_HEAD = BoxHeadConfig(pool=C4_POOL, fcs=0)
"""The last stage takes the place of hidden layers."""
C4_MASK_HEAD = MaskHeadConfig(pool=C4_POOL, convs=0)
"""It upsamples the same features of a region that the box head averages."""
C5_BODY = ResNetConfig(output_stride=16, contract_dilation=False)
"""All 3x3 convolutions of the last stage are spread by two."""
C5_BOX_HEAD = BoxHeadConfig(pool=RoIPoolConfig(strides=(16,)))
C5_MASK_HEAD = MaskHeadConfig(pool=C4_POOL)
"""The heads that stand on a pyramid otherwise."""
