"""The rows of Cascade R-CNN, with masks or without. Imports no torch."""

from __future__ import annotations

from dataclasses import replace

from cvzoo.data.config import Data
from cvzoo.recipes import Optim, Recipe, settings
from cvzoo.zoo.published import cvpods, detectron2, mmdetection, original
from cvzoo.zoo.system import Row, System


def cascade_rcnn_r50_fpn_1x() -> Recipe:
    """Cascade R-CNN R-50-FPN without masks, 90 000 iterations of 16 images at 800 px (1712.00726)."""
    from cvzoo.zoo.cascade_rcnn.model import CascadeRCNNConfig

    return Recipe(
        row="cascade_rcnn_r50_fpn_1x",
        model=CascadeRCNNConfig(),
        backbone_weights="imagenet",
        optim=Optim(lr=0.02),
    )


def cascade_mask_rcnn_r50_fpn_1x() -> Recipe:
    """Cascade Mask R-CNN R-50-FPN, 90 000 iterations of 16 images at 800 px (1712.00726)."""
    from cvzoo.parts.rcnn.mask_head import MaskHeadConfig

    recipe = cascade_rcnn_r50_fpn_1x()
    model = replace(recipe.model, mask_head=MaskHeadConfig())
    return replace(recipe, row="cascade_mask_rcnn_r50_fpn_1x", model=model, data=Data(masks=True))


def cascade_mask_rcnn_lite0_fpn_320_mini() -> Recipe:
    """Cascade Mask R-CNN with EfficientNet-Lite0 on 285 COCO images at 320 px."""
    from cvzoo.nn.pixels import MINUS_ONE_TO_ONE
    from cvzoo.parts.rcnn import small
    from cvzoo.zoo.cascade_rcnn.model import CascadeRCNNConfig

    model = CascadeRCNNConfig(
        backbone=settings.lite0(),
        fpn=small.pyramid(norm="group"),
        pixels=MINUS_ONE_TO_ONE,
        rpn=small.rpn(sizes=(20, 40, 80, 160, 320)),
        box_head=replace(small.BOX_HEAD, class_agnostic=True),
        mask_head=small.MASK_HEAD,
    )
    return settings.mini("cascade_mask_rcnn_lite0_fpn_320_mini", model, masks=True)


def cascade_mask_rcnn_r18_fpn_shapes() -> Recipe:
    """Cascade Mask R-CNN on drawn shapes from random weights; a few minutes on 2 CPU cores."""
    from cvzoo.parts.rcnn import small
    from cvzoo.zoo.cascade_rcnn.model import CascadeRCNNConfig

    model = CascadeRCNNConfig(
        num_classes=3,
        backbone=settings.narrow_resnet(depth=18, width=32),
        fpn=small.pyramid(),
        rpn=small.rpn(sizes=(8, 16, 32, 64, 128)),
        box_head=replace(small.BOX_HEAD, class_agnostic=True),
        mask_head=small.MASK_HEAD,
    )
    return settings.shapes("cascade_mask_rcnn_r18_fpn_shapes", model, masks=True)


SYSTEM = System(
    name="Cascade R-CNN",
    papers={"1712.00726": "Cascade R-CNN: Delving into High Quality Object Detection"},
    module=__name__,
    rows=(
        Row(
            recipe=cascade_rcnn_r50_fpn_1x,
            backbone="R-50-FPN",
            schedule="1x",
            published=(
                mmdetection(
                    "cascade_rcnn/cascade_rcnn_r50_fpn_1x_coco/cascade_rcnn_r50_fpn_1x_coco_20200316-3dc56deb",
                    box_AP=0.403,
                ),
            ),
        ),
        Row(
            recipe=cascade_mask_rcnn_r50_fpn_1x,
            task="instance",
            backbone="R-50-FPN",
            schedule="1x",
            published=(
                detectron2(
                    "Misc/cascade_mask_rcnn_R_50_FPN_1x/138602847/model_final_e9d89b", box_AP=0.421, mask_AP=0.364
                ),
                detectron2(
                    "Misc/cascade_mask_rcnn_R_50_FPN_3x/144998488/model_final_480dd8",
                    name="detectron2_3x",
                    note="3x, 640-800",
                    box_AP=0.443,
                    mask_AP=0.385,
                ),
                detectron2(
                    "Misc/cascade_mask_rcnn_X_152_32x8d_FPN_IN5k_gn_dconv/18131413/model_0039999_e76410",
                    name="detectron2_x152",
                    note="X-152-32x8d of ImageNet-5k, deformable, GN, 640-864",
                    box_AP=0.502,
                    mask_AP=0.440,
                ),
                mmdetection(
                    "cascade_rcnn/cascade_mask_rcnn_r50_fpn_1x_coco/"
                    "cascade_mask_rcnn_r50_fpn_1x_coco_20200203-9d4dcb24",
                    box_AP=0.412,
                    mask_AP=0.359,
                ),
                mmdetection(
                    "cascade_rcnn/cascade_mask_rcnn_r101_fpn_1x_coco/"
                    "cascade_mask_rcnn_r101_fpn_1x_coco_20200203-befdf6ee",
                    name="mmdetection_r101",
                    note="R-101",
                    box_AP=0.429,
                    mask_AP=0.373,
                ),
            ),
            references=(
                original(mem_gb=3.4, inf=0.106, box_AP=0.416, mask_AP=0.360),
                cvpods("segmentation/coco/rcnn/cascade_rcnn.res50.fpn.coco.800size.1x", box_AP=0.417, mask_AP=0.361),
            ),
        ),
        Row(
            recipe=cascade_mask_rcnn_lite0_fpn_320_mini,
            task="instance",
            backbone="EfficientNet-Lite0-FPN",
            data="COCO mini",
            schedule="1500 it",
        ),
        Row(
            recipe=cascade_mask_rcnn_r18_fpn_shapes,
            task="instance",
            backbone="R-18-FPN, 1/2 width",
            data="shapes",
            schedule="500 it",
        ),
    ),
)
