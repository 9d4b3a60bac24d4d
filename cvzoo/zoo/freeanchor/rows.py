"""The rows of FreeAnchor. Imports no torch."""

from __future__ import annotations

from cvzoo.recipes import Optim, Recipe, settings
from cvzoo.zoo.published import cvpods, mmdetection, original
from cvzoo.zoo.system import Reference, Row, System


def freeanchor_r50_fpn_1x() -> Recipe:
    """FreeAnchor R-50-FPN, 90 000 iterations of 16 images at 800 px (1909.02466)."""
    from cvzoo.zoo.freeanchor.model import FreeAnchorConfig

    return Recipe(
        row="freeanchor_r50_fpn_1x",
        model=FreeAnchorConfig(),
        backbone_weights="imagenet",
        optim=Optim(lr=0.01),
    )


def freeanchor_lite0_fpn_320_mini() -> Recipe:
    """FreeAnchor with EfficientNet-Lite0 on 285 COCO images at 320 px: real data in minutes on 2 CPU cores.

    One anchor per cell saves arithmetic for more epochs, so a bag holds fewer of them.
    """
    from cvzoo.nn.fpn import FPNConfig
    from cvzoo.nn.pixels import MINUS_ONE_TO_ONE
    from cvzoo.ops.anchors import AnchorConfig
    from cvzoo.zoo.freeanchor.model import FreeAnchorConfig

    model = FreeAnchorConfig(
        backbone=settings.lite0(),
        fpn=FPNConfig(channels=64, norm="group"),
        pixels=MINUS_ONE_TO_ONE,
        anchors=AnchorConfig(sizes=((40,), (80,), (160,), (320,), (640,))),
        tower_convs=2,
        tower_norm="group",
        bag=15,
    )
    return settings.mini("freeanchor_lite0_fpn_320_mini", model)


def freeanchor_r18_fpn_shapes() -> Recipe:
    """FreeAnchor on drawn shapes from random weights; a few minutes on 2 CPU cores."""
    from cvzoo.nn.fpn import FPNConfig
    from cvzoo.ops.anchors import AnchorConfig, octave_sizes
    from cvzoo.zoo.freeanchor.model import FreeAnchorConfig

    model = FreeAnchorConfig(
        num_classes=3,
        backbone=settings.narrow_resnet(depth=18, width=32),
        fpn=FPNConfig(channels=64),
        anchors=AnchorConfig(sizes=octave_sizes((24, 48, 96, 192, 384))),
        tower_convs=2,
    )
    return settings.shapes("freeanchor_r18_fpn_shapes", model)


SYSTEM = System(
    name="FreeAnchor",
    papers={"1909.02466": "FreeAnchor: Learning to Match Anchors for Visual Object Detection"},
    module=__name__,
    rows=(
        Row(
            recipe=freeanchor_r50_fpn_1x,
            backbone="R-50-FPN",
            schedule="1x",
            published=(
                mmdetection(
                    "free_anchor/retinanet_free_anchor_r50_fpn_1x_coco"
                    "/retinanet_free_anchor_r50_fpn_1x_coco_20200130-0f67375f",
                    box_AP=0.387,
                ),
                mmdetection(
                    "free_anchor/retinanet_free_anchor_r101_fpn_1x_coco/"
                    "retinanet_free_anchor_r101_fpn_1x_coco_20200130-358324e6",
                    name="mmdetection_r101",
                    note="R-101",
                    box_AP=0.403,
                ),
            ),
            references=(
                original(box_AP=0.386),
                Reference(
                    name="authors", results={"box_AP": 0.387}, page="https://github.com/zhangxiaosong18/FreeAnchor"
                ),
                cvpods("detection/coco/free_anchor/free_anchor.res50.fpn.coco.800size.1x", box_AP=0.383),
            ),
        ),
        Row(
            recipe=freeanchor_lite0_fpn_320_mini,
            backbone="EfficientNet-Lite0-FPN",
            data="COCO mini",
            schedule="1500 it",
        ),
        Row(recipe=freeanchor_r18_fpn_shapes, backbone="R-18-FPN, 1/2 width", data="shapes", schedule="500 it"),
    ),
)
