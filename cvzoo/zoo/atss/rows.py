"""The rows of ATSS. Imports no torch."""

from __future__ import annotations

from dataclasses import replace

from cvzoo.recipes import Optim, Recipe, settings
from cvzoo.zoo.published import cvpods, mmdetection
from cvzoo.zoo.system import Reference, Row, System


def atss_r50_fpn_1x() -> Recipe:
    """ATSS R-50-FPN, 90 000 iterations of 16 images at 800 px (1912.02424)."""
    from cvzoo.zoo.atss.model import ATSSConfig

    return Recipe(
        row="atss_r50_fpn_1x",
        model=ATSSConfig(),
        backbone_weights="imagenet",
        optim=Optim(lr=0.01),
    )


def atss_lite0_fpn_320_mini() -> Recipe:
    """ATSS with EfficientNet-Lite0 on 285 COCO images at 320 px: real data in minutes on 2 CPU cores."""
    from cvzoo.nn.fpn import FPNConfig
    from cvzoo.nn.pixels import MINUS_ONE_TO_ONE
    from cvzoo.zoo.atss.model import ANCHORS, ATSSConfig

    model = ATSSConfig(
        backbone=settings.lite0(),
        fpn=FPNConfig(channels=64, norm="group"),
        pixels=MINUS_ONE_TO_ONE,
        anchors=replace(ANCHORS, sizes=((40,), (80,), (160,), (320,), (640,))),
        tower_convs=2,
    )
    return settings.mini("atss_lite0_fpn_320_mini", model)


def atss_r18_fpn_shapes() -> Recipe:
    """ATSS on drawn shapes from random weights; a few minutes on 2 CPU cores."""
    from cvzoo.nn.fpn import FPNConfig
    from cvzoo.zoo.atss.model import ANCHORS, ATSSConfig

    model = ATSSConfig(
        num_classes=3,
        backbone=settings.narrow_resnet(depth=18, width=32),
        fpn=FPNConfig(channels=64),
        anchors=replace(ANCHORS, sizes=((32,), (64,), (128,), (256,), (512,))),
        tower_convs=2,
    )
    return settings.shapes("atss_r18_fpn_shapes", model)


SYSTEM = System(
    name="ATSS",
    papers={
        "1912.02424": "Bridging the Gap Between Anchor-based and Anchor-free Detection"
        " via Adaptive Training Sample Selection"
    },
    module=__name__,
    rows=(
        Row(
            recipe=atss_r50_fpn_1x,
            backbone="R-50-FPN",
            schedule="1x",
            published=(
                mmdetection("atss/atss_r50_fpn_1x_coco/atss_r50_fpn_1x_coco_20200209-985f7bd0", box_AP=0.394),
                mmdetection(
                    "atss/atss_r101_fpn_1x_coco/atss_r101_fpn_1x_20200825-dfcadd6f",
                    name="mmdetection_r101",
                    note="R-101",
                    box_AP=0.415,
                ),
            ),
            references=(
                Reference(name="authors", results={"box_AP": 0.393}, page="https://github.com/sfzhang15/ATSS"),
                cvpods("detection/coco/atss/atss.res50.fpn.coco.800size.1x", box_AP=0.393),
            ),
        ),
        Row(recipe=atss_lite0_fpn_320_mini, backbone="EfficientNet-Lite0-FPN", data="COCO mini", schedule="1500 it"),
        Row(recipe=atss_r18_fpn_shapes, backbone="R-18-FPN, 1/2 width", data="shapes", schedule="500 it"),
    ),
)
