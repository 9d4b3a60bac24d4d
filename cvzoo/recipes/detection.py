"""Object detection: one function per row.

Model classes are imported inside the functions, so that listing the rows needs no torch.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cvzoo.data.config import Data, Shapes, Split
from cvzoo.recipes.recipe import Optim, Recipe, Run, Schedule

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


def retinanet_r50_fpn_1x() -> Recipe:
    """RetinaNet R-50-FPN, 90 000 iterations of 16 images at 800 px, as the reference trains it (1708.02002).

    Expected: box AP 37.4 with detectron2's caffe backbone and scale jitter, 36.4 with torchvision's at 800 px only.
    """
    from cvzoo.models.retinanet import RetinaNetConfig

    return Recipe(
        row="retinanet_r50_fpn_1x",
        model=RetinaNetConfig(),
        backbone_weights="imagenet",
        optim=Optim(lr=0.01),
    )


def faster_rcnn_r50_fpn_1x() -> Recipe:
    """Faster R-CNN R-50-FPN, 90 000 iterations of 16 images at 800 px, as the reference trains it (1612.03144).

    Expected: box AP 37.9 with detectron2's caffe backbone and scale jitter, 37.0 with torchvision's at 800 px only.
    """
    from cvzoo.models.faster_rcnn import FasterRCNNConfig

    return Recipe(
        row="faster_rcnn_r50_fpn_1x",
        model=FasterRCNNConfig(),
        backbone_weights="imagenet",
        optim=Optim(lr=0.02),
    )


def retinanet_r18_fpn_shapes() -> Recipe:
    """RetinaNet on drawn shapes from random weights: the demo; under 5 minutes on 2 CPU cores."""
    from cvzoo.models.retinanet import RetinaNetConfig
    from cvzoo.nn.fpn import FPNConfig
    from cvzoo.nn.resnet import ResNetConfig
    from cvzoo.ops.anchors import AnchorConfig, octave_sizes

    return Recipe(
        row="retinanet_r18_fpn_shapes",
        model=RetinaNetConfig(
            num_classes=3,
            backbone=ResNetConfig(depth=18, width=32, norm="batch", frozen_stages=0),
            fpn=FPNConfig(channels=64),
            anchors=AnchorConfig(sizes=octave_sizes((24, 48, 96, 192, 384))),
            tower_convs=2,
        ),
        data=SHAPES,
        optim=Optim(name="adamw", lr=2e-3, weight_decay=0.01, clip_norm=10.0),
        schedule=Schedule(iterations=500, batch=16, policy="cosine", warmup_iterations=50, warmup_factor=0.01),
        run=Run(log_every=10, checkpoint_every=250),
    )


def faster_rcnn_r18_fpn_shapes() -> Recipe:
    """Faster R-CNN on drawn shapes from random weights; a few minutes on 2 CPU cores."""
    from cvzoo.models.faster_rcnn import FasterRCNNConfig
    from cvzoo.models.rcnn.box_head import BoxHeadConfig
    from cvzoo.models.rcnn.rpn import RPNConfig
    from cvzoo.nn.fpn import FPNConfig
    from cvzoo.nn.resnet import ResNetConfig
    from cvzoo.ops.anchors import AnchorConfig

    anchors = AnchorConfig(sizes=((8,), (16,), (32,), (64,), (128,)), strides=(4, 8, 16, 32, 64))
    return replace(
        retinanet_r18_fpn_shapes(),
        row="faster_rcnn_r18_fpn_shapes",
        model=FasterRCNNConfig(
            num_classes=3,
            backbone=ResNetConfig(depth=18, width=32, norm="batch", frozen_stages=0),
            fpn=FPNConfig(first_level=2, extra="pool", channels=64),
            rpn=RPNConfig(
                anchors=anchors, samples=64, pre_nms_train=200, post_nms_train=200, pre_nms_test=200, post_nms_test=200
            ),
            box_head=BoxHeadConfig(fc_channels=256, samples=64),
        ),
    )


def retinanet_lite0_fpn_320_mini() -> Recipe:
    """RetinaNet with EfficientNet-Lite0 on 285 COCO pictures at 320 px: real data in half an hour on 2 CPU cores.

    What makes it learn in so few steps: group norm in pyramid and towers, one anchor size per level (a third of the
    head's arithmetic, spent on more epochs), ImageNet features held fixed up to C4. 42 epochs.
    """
    from cvzoo.models.retinanet import RetinaNetConfig
    from cvzoo.nn.fpn import FPNConfig
    from cvzoo.nn.pixels import HALF
    from cvzoo.nn.timm_backbone import TimmConfig
    from cvzoo.ops.anchors import AnchorConfig

    return Recipe(
        row="retinanet_lite0_fpn_320_mini",
        model=RetinaNetConfig(
            backbone=TimmConfig(name="tf_efficientnet_lite0", frozen_outputs=3),
            fpn=FPNConfig(channels=64, norm="group"),
            pixels=HALF,
            anchors=AnchorConfig(sizes=((40,), (80,), (160,), (320,), (640,))),
            tower_convs=2,
            tower_norm="group",
        ),
        backbone_weights="imagenet",
        data=COCO_320,
        optim=Optim(name="adamw", lr=1.5e-3, weight_decay=0.01, clip_norm=10.0, backbone_lr_factor=0.3, ema_decay=0.99),
        schedule=Schedule(
            iterations=1500, batch=8, base_batch=8, policy="cosine", warmup_iterations=75, warmup_factor=0.01
        ),
        run=Run(log_every=20, checkpoint_every=250, channels_last=True),
    )
