"""The rows of Mask R-CNN. Imports no torch."""

from __future__ import annotations

from dataclasses import replace

from cvzoo.data.config import Data
from cvzoo.recipes import Optim, Recipe, Schedule, data_sets, settings
from cvzoo.zoo.mask_rcnn.published import ON_C4, ON_C5, ON_CITYSCAPES, ON_LVIS_V05, ON_LVIS_V1, ON_PYRAMID
from cvzoo.zoo.published import cvpods, original
from cvzoo.zoo.system import Row, System


def mask_rcnn_r50_fpn_1x() -> Recipe:
    """Mask R-CNN R-50-FPN, 90 000 iterations of 16 images at 800 px, as the reference trains it (1703.06870)."""
    from cvzoo.zoo.mask_rcnn.model import MaskRCNNConfig

    return Recipe(
        row="mask_rcnn_r50_fpn_1x",
        model=MaskRCNNConfig(),
        backbone_weights="imagenet",
        data=Data(masks=True),
        optim=Optim(lr=0.02),
    )


def mask_rcnn_r50_c4_1x() -> Recipe:
    """Mask R-CNN on C4 of ResNet-50, 90 000 iterations of 16 images at 800 px (1703.06870, section 3)."""
    from cvzoo.parts.rcnn.c4 import C4_BOX_HEAD, C4_MASK_HEAD, C4_PIXELS, C4_RPN
    from cvzoo.zoo.mask_rcnn.model import MaskRCNNConfig

    model = MaskRCNNConfig(fpn=None, pixels=C4_PIXELS, rpn=C4_RPN, box_head=C4_BOX_HEAD, mask_head=C4_MASK_HEAD)
    return replace(mask_rcnn_r50_fpn_1x(), row="mask_rcnn_r50_c4_1x", model=model)


def mask_rcnn_r50_dc5_1x() -> Recipe:
    """Mask R-CNN on a dilated C5 of ResNet-50, 90 000 iterations of 16 images at 800 px (1703.06870; 1703.06211)."""
    from cvzoo.parts.rcnn.c4 import C4_PIXELS, C4_RPN, C5_BODY, C5_BOX_HEAD, C5_MASK_HEAD
    from cvzoo.zoo.mask_rcnn.model import MaskRCNNConfig

    model = MaskRCNNConfig(
        backbone=C5_BODY, fpn=None, pixels=C4_PIXELS, rpn=C4_RPN, box_head=C5_BOX_HEAD, mask_head=C5_MASK_HEAD
    )
    return replace(mask_rcnn_r50_fpn_1x(), row="mask_rcnn_r50_dc5_1x", model=model)


def mask_rcnn_r50_fpn_cityscapes() -> Recipe:
    """Mask R-CNN R-50-FPN on the instances of Cityscapes, 24 000 iterations of 8 images (1703.06870, appendix A).

    The references start from weights of COCO, which `--weights FILE` takes over.
    """
    from cvzoo.zoo.mask_rcnn.model import MaskRCNNConfig

    return Recipe(
        row="mask_rcnn_r50_fpn_cityscapes",
        model=MaskRCNNConfig(num_classes=8),
        backbone_weights="imagenet",
        data=data_sets.CITYSCAPES_INSTANCES,
        optim=Optim(lr=0.01),
        schedule=Schedule(iterations=24_000, batch=8, base_batch=8, milestones=(18_000,)),
    )


def mask_rcnn_r50_fpn_lvis_v05_1x() -> Recipe:
    """Mask R-CNN R-50-FPN on LVIS v0.5, 90 000 iterations of 16 images, rare classes more often (1908.03195)."""
    from cvzoo.ops.detect import DetectConfig
    from cvzoo.parts.rcnn.box_head import BoxHeadConfig
    from cvzoo.zoo.mask_rcnn.model import MaskRCNNConfig

    detect = DetectConfig(score_threshold=1e-4, detections=300)
    return Recipe(
        row="mask_rcnn_r50_fpn_lvis_v05_1x",
        model=MaskRCNNConfig(num_classes=1230, box_head=BoxHeadConfig(detect=detect)),
        backbone_weights="imagenet",
        data=data_sets.LVIS_V05,
        optim=Optim(lr=0.02),
    )


def mask_rcnn_r50_fpn_lvis_v1_2x() -> Recipe:
    """Mask R-CNN R-50-FPN on LVIS v1, 180 000 iterations of 16 images (1908.03195)."""
    recipe = mask_rcnn_r50_fpn_lvis_v05_1x()
    return replace(
        recipe,
        row="mask_rcnn_r50_fpn_lvis_v1_2x",
        model=replace(recipe.model, num_classes=1203),
        data=data_sets.LVIS_V1,
        schedule=settings.SCHEDULE_2X,
    )


def mask_rcnn_lite0_fpn_320_mini() -> Recipe:
    """Mask R-CNN with EfficientNet-Lite0 on 285 COCO images at 320 px: real data in half an hour on 2 CPU cores."""
    from cvzoo.nn.pixels import MINUS_ONE_TO_ONE
    from cvzoo.parts.rcnn import small
    from cvzoo.zoo.mask_rcnn.model import MaskRCNNConfig

    model = MaskRCNNConfig(
        backbone=settings.lite0(),
        fpn=small.pyramid(norm="group"),
        pixels=MINUS_ONE_TO_ONE,
        rpn=small.rpn(sizes=(20, 40, 80, 160, 320)),
        box_head=small.BOX_HEAD,
        mask_head=small.MASK_HEAD,
    )
    return settings.mini("mask_rcnn_lite0_fpn_320_mini", model, masks=True)


def mask_rcnn_r18_fpn_shapes() -> Recipe:
    """Mask R-CNN on drawn shapes from random weights; a few minutes on 2 CPU cores."""
    from cvzoo.parts.rcnn import small
    from cvzoo.zoo.mask_rcnn.model import MaskRCNNConfig

    model = MaskRCNNConfig(
        num_classes=3,
        backbone=settings.narrow_resnet(depth=18, width=32),
        fpn=small.pyramid(),
        rpn=small.rpn(sizes=(8, 16, 32, 64, 128)),
        box_head=small.BOX_HEAD,
        mask_head=small.MASK_HEAD,
    )
    return settings.shapes("mask_rcnn_r18_fpn_shapes", model, masks=True)


SYSTEM = System(
    name="Mask R-CNN",
    papers={"1703.06870": "Mask R-CNN"},
    module=__name__,
    rows=(
        Row(
            recipe=mask_rcnn_r50_fpn_1x,
            task="instance",
            backbone="R-50-FPN",
            schedule="1x",
            published=ON_PYRAMID,
            references=(
                original(mem_gb=3.0, inf=0.090, box_AP=0.382, mask_AP=0.348),
                cvpods(
                    "segmentation/coco/rcnn/mask_rcnn.res50.fpn.coco.multiscale.1x",
                    note="640-800",
                    box_AP=0.385,
                    mask_AP=0.352,
                ),
            ),
        ),
        Row(
            recipe=mask_rcnn_r50_c4_1x,
            task="instance",
            backbone="R-50-C4",
            schedule="1x",
            published=ON_C4,
        ),
        Row(
            recipe=mask_rcnn_r50_dc5_1x,
            task="instance",
            backbone="R-50-DC5",
            schedule="1x",
            published=ON_C5,
        ),
        Row(
            recipe=mask_rcnn_r50_fpn_cityscapes,
            task="instance",
            backbone="R-50-FPN",
            data="Cityscapes",
            schedule="24k, 800-1024",
            published=ON_CITYSCAPES,
        ),
        Row(
            recipe=mask_rcnn_r50_fpn_lvis_v05_1x,
            task="instance",
            backbone="R-50-FPN",
            data="LVIS v0.5",
            schedule="1x, 640-800",
            published=ON_LVIS_V05,
        ),
        Row(
            recipe=mask_rcnn_r50_fpn_lvis_v1_2x,
            task="instance",
            backbone="R-50-FPN",
            data="LVIS v1",
            schedule="2x, 640-800",
            published=ON_LVIS_V1,
        ),
        Row(
            recipe=mask_rcnn_lite0_fpn_320_mini,
            task="instance",
            backbone="EfficientNet-Lite0-FPN",
            data="COCO mini",
            schedule="1500 it",
        ),
        Row(
            recipe=mask_rcnn_r18_fpn_shapes,
            task="instance",
            backbone="R-18-FPN, 1/2 width",
            data="shapes",
            schedule="500 it",
        ),
    ),
)
