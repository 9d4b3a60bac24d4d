"""The rows of Mask R-CNN. Imports no torch."""

from __future__ import annotations

from dataclasses import replace

from cvzoo.data.config import Data
from cvzoo.recipes import Optim, Recipe, settings
from cvzoo.zoo.published import cvpods, detectron2, original, torchvision
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
    papers=("1703.06870",),
    module=__name__,
    rows=(
        Row(
            recipe=mask_rcnn_r50_fpn_1x,
            task="instance",
            backbone="R-50-FPN",
            schedule="1x",
            published=(
                torchvision("maskrcnn_resnet50_fpn_coco-bf2d0c1e", note="26 epochs", box_AP=0.379, mask_AP=0.346),
                torchvision(
                    "maskrcnn_resnet50_fpn_v2_coco-73cbd019",
                    name="torchvision_v2",
                    note="v2, 400 epochs, large-scale jitter",
                    box_AP=0.474,
                    mask_AP=0.418,
                ),
                detectron2(
                    "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x/137260431/model_final_a54504",
                    box_AP=0.386,
                    mask_AP=0.352,
                ),
                detectron2(
                    "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x/137849600/model_final_f10217",
                    name="detectron2_3x",
                    note="3x, 640-800",
                    box_AP=0.410,
                    mask_AP=0.372,
                ),
            ),
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
            published=(
                detectron2(
                    "COCO-InstanceSegmentation/mask_rcnn_R_50_C4_1x/137259246/model_final_9243eb",
                    box_AP=0.368,
                    mask_AP=0.322,
                ),
                detectron2(
                    "COCO-InstanceSegmentation/mask_rcnn_R_50_C4_3x/137849525/model_final_4ce675",
                    name="detectron2_3x",
                    note="3x, 640-800",
                    box_AP=0.398,
                    mask_AP=0.344,
                ),
            ),
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
