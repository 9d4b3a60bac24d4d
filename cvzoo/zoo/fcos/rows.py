"""The rows of FCOS, first and improved version. Imports no torch."""

from __future__ import annotations

from dataclasses import replace

from cvzoo.recipes import Optim, Recipe, data_sets, settings
from cvzoo.zoo.published import cvpods, mmdetection, original, torchvision
from cvzoo.zoo.system import Reference, Row, System


def fcos_r50_fpn_1x() -> Recipe:
    """FCOS R-50-FPN as in the first paper, 90 000 iterations of 16 images at 800 px (1904.01355)."""
    from cvzoo.zoo.fcos.model import FCOSConfig

    return Recipe(
        row="fcos_r50_fpn_1x",
        model=FCOSConfig(),
        backbone_weights="imagenet",
        optim=Optim(lr=0.01),
    )


def fcos_r50_fpn_improved_1x() -> Recipe:
    """FCOS R-50-FPN with the later improvements: centre sampling, GIoU, distances in strides (2006.09214)."""
    recipe = fcos_r50_fpn_1x()
    improved = replace(recipe.model, distance="relu", centreness_on="box", centre_radius=1.5, box_loss="giou")
    return replace(recipe, row="fcos_r50_fpn_improved_1x", model=improved)


def fcos_r50_dcn_fpn_improved_1x() -> Recipe:
    """`fcos_r50_fpn_improved_1x` with deformable convolutions (v2) in layers 2 to 4 and at the end of the towers."""
    recipe = fcos_r50_fpn_improved_1x()
    deformed = replace(recipe.model, backbone=replace(recipe.model.backbone, deform="v2"), deform_last=True)
    return replace(recipe, row="fcos_r50_dcn_fpn_improved_1x", model=deformed)


def fcos_lite0_fpn_320_mini() -> Recipe:
    """Improved FCOS with EfficientNet-Lite0 on 285 COCO images at 320 px: real data in minutes on 2 CPU cores."""
    from cvzoo.nn.fpn import FPNConfig
    from cvzoo.nn.pixels import MINUS_ONE_TO_ONE

    model = replace(
        fcos_r50_fpn_improved_1x().model,
        backbone=settings.lite0(),
        fpn=FPNConfig(channels=64, norm="group"),
        pixels=MINUS_ONE_TO_ONE,
        tower_convs=2,
        ranges=(32, 64, 128, 256),
    )
    return settings.mini("fcos_lite0_fpn_320_mini", model)


def fcos_lite0_fpn_320_bccd() -> Recipe:
    """`fcos_lite0_fpn_320_mini` for three kinds of blood cells in 205 images: a data set of one's own in minutes."""
    recipe = settings.lasting(fcos_lite0_fpn_320_mini(), iterations=1200)
    return replace(
        recipe, row="fcos_lite0_fpn_320_bccd", model=replace(recipe.model, num_classes=3), data=data_sets.BCCD
    )


def fcos_r18_fpn_shapes() -> Recipe:
    """Improved FCOS on drawn shapes from random weights; a few minutes on 2 CPU cores."""
    from cvzoo.nn.fpn import FPNConfig

    model = replace(
        fcos_r50_fpn_improved_1x().model,
        num_classes=3,
        backbone=settings.narrow_resnet(depth=18, width=32),
        fpn=FPNConfig(channels=64),
        tower_convs=2,
        ranges=(32, 64, 128, 256),
    )
    return settings.shapes("fcos_r18_fpn_shapes", model)


AUTHORS = "https://github.com/tianzhi0549/FCOS"
SYSTEM = System(
    name="FCOS",
    papers={
        "1904.01355": "FCOS: Fully Convolutional One-Stage Object Detection",
        "2006.09214": "FCOS: A Simple and Strong Anchor-free Object Detector",
    },
    module=__name__,
    rows=(
        Row(
            recipe=fcos_r50_fpn_1x,
            backbone="R-50-FPN",
            schedule="1x",
            published=(
                mmdetection(
                    "fcos/fcos_r50_caffe_fpn_gn-head_1x_coco/fcos_r50_caffe_fpn_gn-head_1x_coco-821213aa", box_AP=0.366
                ),
                mmdetection(
                    "fcos/fcos_r101_caffe_fpn_gn-head_1x_coco/fcos_r101_caffe_fpn_gn-head_1x_coco-0e37b982",
                    name="mmdetection_r101",
                    note="R-101",
                    box_AP=0.391,
                ),
            ),
            references=(
                original(box_AP=0.370),
                Reference(name="authors", results={"box_AP": 0.371}, page=AUTHORS),
            ),
        ),
        Row(
            recipe=fcos_r50_fpn_improved_1x,
            backbone="R-50-FPN",
            schedule="1x",
            published=(
                torchvision("fcos_resnet50_fpn_coco-99b0c9b7", note="26 epochs, 640-800", box_AP=0.392),
                mmdetection(
                    "fcos/fcos_center-normbbox-centeronreg-giou_r50_caffe_fpn_gn-head_1x_coco"
                    "/fcos_center-normbbox-centeronreg-giou_r50_caffe_fpn_gn-head_1x_coco-0a0d75a8",
                    box_AP=0.387,
                ),
            ),
            references=(
                Reference(name="authors", results={"box_AP": 0.387}, page=AUTHORS),
                cvpods("detection/coco/fcos/fcos.res50.fpn.coco.800size.1x", box_AP=0.388),
            ),
        ),
        Row(
            recipe=fcos_r50_dcn_fpn_improved_1x,
            backbone="R-50-DCN-FPN",
            schedule="1x",
            published=(
                mmdetection(
                    "fcos/fcos_center-normbbox-centeronreg-giou_r50_caffe_fpn_gn-head_dcn_1x_coco"
                    "/fcos_center-normbbox-centeronreg-giou_r50_caffe_fpn_gn-head_dcn_1x_coco-ae4d8b3d",
                    box_AP=0.423,
                ),
            ),
        ),
        Row(recipe=fcos_lite0_fpn_320_mini, backbone="EfficientNet-Lite0-FPN", data="COCO mini", schedule="1500 it"),
        Row(recipe=fcos_lite0_fpn_320_bccd, backbone="EfficientNet-Lite0-FPN", data="BCCD", schedule="1200 it"),
        Row(recipe=fcos_r18_fpn_shapes, backbone="R-18-FPN, 1/2 width", data="shapes", schedule="500 it"),
    ),
)
