"""What several recipes have in common: data, and how a small model is trained quickly.

Model classes are imported inside the functions, so that listing the rows needs no torch.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cvzoo.data.config import Data, Shapes, Split
from cvzoo.recipes.recipe import Optim, Recipe, Run, Schedule

if TYPE_CHECKING:
    from cvzoo.models.rcnn.box_head import BoxHeadConfig
    from cvzoo.models.rcnn.mask_head import MaskHeadConfig
    from cvzoo.models.rcnn.rpn import RPNConfig
    from cvzoo.nn.fpn import FPNConfig
    from cvzoo.nn.layers import Norm
    from cvzoo.nn.resnet import ResNetConfig
    from cvzoo.nn.timm_backbone import TimmConfig
    from cvzoo.ops.anchors import AnchorConfig

MULTI_SCALE = (640, 672, 704, 736, 768, 800)
"""Short sides that detectron2 draws from in training."""

SHAPES = Data(
    source="shapes",
    shapes=Shapes(size=128),
    short_sides=(128,),
    test_short_side=128,
    max_long_side=128,
    canvas=(128, 128),
    workers=0,
)
"""Drawn pictures of 128 x 128 pixels."""

COCO_320 = Data(
    root=Path("../shared/data/coco"),
    train=Split(images="train", annotations="annotations/instances_train.json"),
    val=Split(images="val", annotations="annotations/instances_val.json"),
    short_sides=(320,),
    test_short_side=320,
    max_long_side=320,
    canvas=(320, 320),
    workers=0,
    cache=True,
)
"""A few hundred COCO pictures on a canvas of 320 x 320: small enough for a CPU."""

SHAPES_OPTIM = Optim(name="adamw", lr=2e-3, weight_decay=0.01, clip_norm=10.0)
"""Of small models from random weights."""
SHAPES_SCHEDULE = Schedule(iterations=500, batch=16, policy="cosine", warmup_iterations=50, warmup_factor=0.01)
SHAPES_RUN = Run(log_every=10, checkpoint_every=250)

MINI_OPTIM = Optim(name="adamw", lr=1.5e-3, weight_decay=0.01, clip_norm=10.0, backbone_lr_factor=0.3, ema_decay=0.99)
"""Of small heads on ImageNet features."""
MINI_SCHEDULE = Schedule(
    iterations=1500, batch=8, base_batch=8, policy="cosine", warmup_iterations=75, warmup_factor=0.01
)
"""Half an hour on 2 CPU cores; 42 epochs of the 285 pictures."""
MINI_RUN = Run(log_every=20, checkpoint_every=250, channels_last=True)


def mini(row: str, model: Any, masks: bool = False) -> Recipe:
    """Half an hour at most on COCO_320, from ImageNet features."""
    return Recipe(
        row=row,
        model=model,
        backbone_weights="imagenet",
        data=replace(COCO_320, masks=masks),
        optim=MINI_OPTIM,
        schedule=MINI_SCHEDULE,
        run=MINI_RUN,
    )


def shapes(row: str, model: Any, masks: bool = False) -> Recipe:
    """A few minutes on SHAPES, from random weights."""
    return Recipe(
        row=row,
        model=model,
        data=replace(SHAPES, masks=masks),
        optim=SHAPES_OPTIM,
        schedule=SHAPES_SCHEDULE,
        run=SHAPES_RUN,
    )


def narrow_resnet(depth: int, width: int) -> ResNetConfig:
    """A thin body that is trained from random weights, norms included."""
    from cvzoo.nn.resnet import ResNetConfig

    return ResNetConfig(depth=depth, width=width, norm="batch", frozen_stages=0)  # pyright: ignore[reportArgumentType]


def lite0() -> TimmConfig:
    """EfficientNet-Lite0, its ImageNet features held fixed up to C4."""
    from cvzoo.nn.timm_backbone import TimmConfig

    return TimmConfig(name="tf_efficientnet_lite0", frozen_outputs=3)


def rcnn_fpn(norm: Norm | None = None) -> FPNConfig:
    """A thin P2..P6."""
    from cvzoo.nn.fpn import FPNConfig

    return FPNConfig(first_level=2, extra="pool", channels=64, norm=norm)


def rcnn_rpn(sizes: tuple[float, ...]) -> RPNConfig:
    """A first stage with few proposals: one anchor size on each of P2..P6."""
    from cvzoo.ops.anchors import AnchorConfig

    return _rpn(AnchorConfig(sizes=tuple((size,) for size in sizes), strides=(4, 8, 16, 32, 64)))


def c4_rpn(sizes: tuple[float, ...]) -> RPNConfig:
    """A first stage with few proposals: all anchor sizes on C4."""
    from cvzoo.ops.anchors import AnchorConfig

    return _rpn(AnchorConfig(sizes=(sizes,), strides=(16,)))


def _rpn(anchors: AnchorConfig) -> RPNConfig:
    from cvzoo.models.rcnn.rpn import RPNConfig

    return RPNConfig(
        anchors=anchors, samples=64, pre_nms_train=200, post_nms_train=200, pre_nms_test=200, post_nms_test=200
    )


def rcnn_box_head() -> BoxHeadConfig:
    """A second stage with few samples and a thin hidden layer."""
    from cvzoo.models.rcnn.box_head import BoxHeadConfig

    return BoxHeadConfig(fc_channels=256, samples=64)


def c4_box_head() -> BoxHeadConfig:
    """A second stage with few samples, on regions half as fine as usual."""
    from cvzoo.models.rcnn.box_head import BoxHeadConfig
    from cvzoo.nn.roi_pool import RoIPoolConfig

    return BoxHeadConfig(pool=RoIPoolConfig(size=7, strides=(16,)), fcs=0, samples=32)


def rcnn_mask_head() -> MaskHeadConfig:
    """A thin mask branch."""
    from cvzoo.models.rcnn.mask_head import MaskHeadConfig

    return MaskHeadConfig(convs=2, channels=64)
