"""The rows of RetinaNet. Imports no torch."""

from __future__ import annotations

from dataclasses import replace

from cvzoo.recipes import Optim, Recipe, settings
from cvzoo.zoo.published import detectron2, mmdetection, original, torchvision
from cvzoo.zoo.system import Row, System


def retinanet_r50_fpn_1x() -> Recipe:
    """RetinaNet R-50-FPN, 90 000 iterations of 16 images at 800 px, as the reference trains it (1708.02002)."""
    from cvzoo.zoo.retinanet.model import RetinaNetConfig

    return Recipe(
        row="retinanet_r50_fpn_1x",
        model=RetinaNetConfig(),
        backbone_weights="imagenet",
        optim=Optim(lr=0.01),
    )


def retinanet_lite0_fpn_320_mini() -> Recipe:
    """RetinaNet with EfficientNet-Lite0 on 285 COCO images at 320 px: real data in half an hour on 2 CPU cores.

    What makes it learn in so few steps: group norm in pyramid and towers, one anchor size per level (a third of the
    head's arithmetic, spent on more epochs), ImageNet features held fixed up to C4. 42 epochs.
    """
    from cvzoo.nn.fpn import FPNConfig
    from cvzoo.nn.pixels import MINUS_ONE_TO_ONE
    from cvzoo.ops.anchors import AnchorConfig
    from cvzoo.zoo.retinanet.model import RetinaNetConfig

    model = RetinaNetConfig(
        backbone=settings.lite0(),
        fpn=FPNConfig(channels=64, norm="group"),
        pixels=MINUS_ONE_TO_ONE,
        anchors=AnchorConfig(sizes=((40,), (80,), (160,), (320,), (640,))),
        tower_convs=2,
        tower_norm="group",
    )
    return settings.mini("retinanet_lite0_fpn_320_mini", model)


def retinanet_r18_fpn_shapes() -> Recipe:
    """RetinaNet on drawn shapes from random weights: the demo; under 5 minutes on 2 CPU cores."""
    from cvzoo.nn.fpn import FPNConfig
    from cvzoo.ops.anchors import AnchorConfig, octave_sizes
    from cvzoo.zoo.retinanet.model import RetinaNetConfig

    model = RetinaNetConfig(
        num_classes=3,
        backbone=settings.narrow_resnet(depth=18, width=32),
        fpn=FPNConfig(channels=64),
        anchors=AnchorConfig(sizes=octave_sizes((24, 48, 96, 192, 384))),
        tower_convs=2,
    )
    recipe = settings.shapes("retinanet_r18_fpn_shapes", model)
    return replace(recipe, schedule=replace(recipe.schedule, iterations=600))


SYSTEM = System(
    name="RetinaNet",
    papers={"1708.02002": "Focal Loss for Dense Object Detection"},
    module=__name__,
    rows=(
        Row(
            recipe=retinanet_r50_fpn_1x,
            backbone="R-50-FPN",
            schedule="1x",
            published=(
                torchvision("retinanet_resnet50_fpn_coco-eeacb38b", note="26 epochs", box_AP=0.364),
                torchvision(
                    "retinanet_resnet50_fpn_v2_coco-5905b1c5",
                    name="torchvision_v2",
                    note="v2, 26 epochs, multi-scale",
                    box_AP=0.415,
                ),
                detectron2("COCO-Detection/retinanet_R_50_FPN_1x/190397773/model_final_bfca0b", box_AP=0.374),
                detectron2(
                    "COCO-Detection/retinanet_R_50_FPN_3x/190397829/model_final_5bd44e",
                    name="detectron2_3x",
                    note="3x, 640-800",
                    box_AP=0.387,
                ),
                detectron2(
                    "COCO-Detection/retinanet_R_101_FPN_3x/190397697/model_final_971ab9",
                    name="detectron2_r101_3x",
                    note="R-101, 3x, 640-800",
                    box_AP=0.404,
                ),
                mmdetection(
                    "retinanet/retinanet_r50_fpn_1x_coco/retinanet_r50_fpn_1x_coco_20200130-c2398f9e", box_AP=0.365
                ),
                mmdetection(
                    "retinanet/retinanet_r18_fpn_1x_coco/retinanet_r18_fpn_1x_coco_20220407_171055-614fd399",
                    name="mmdetection_r18",
                    note="R-18",
                    box_AP=0.317,
                ),
                mmdetection(
                    "retinanet/retinanet_r101_fpn_1x_coco/retinanet_r101_fpn_1x_coco_20200130-7a93545f",
                    name="mmdetection_r101",
                    note="R-101",
                    box_AP=0.385,
                ),
                mmdetection(
                    "ghm/retinanet_ghm_r50_fpn_1x_coco/retinanet_ghm_r50_fpn_1x_coco_20200130-a437fda3",
                    name="mmdetection_ghm",
                    note="gradient harmonised losses",
                    box_AP=0.370,
                ),
                mmdetection(
                    "ghm/retinanet_ghm_r101_fpn_1x_coco/retinanet_ghm_r101_fpn_1x_coco_20200130-c148ee8f",
                    name="mmdetection_ghm_r101",
                    note="R-101, gradient harmonised losses",
                    box_AP=0.391,
                ),
            ),
            references=(original(box_AP=0.363),),
        ),
        Row(
            recipe=retinanet_lite0_fpn_320_mini, backbone="EfficientNet-Lite0-FPN", data="COCO mini", schedule="1500 it"
        ),
        Row(recipe=retinanet_r18_fpn_shapes, backbone="R-18-FPN, 1/2 width", data="shapes", schedule="600 it"),
    ),
)
