"""The rows of Mask R-CNN. Imports no torch."""

from __future__ import annotations

from dataclasses import replace

from cvzoo.data.config import Data
from cvzoo.recipes import Optim, Recipe, settings
from cvzoo.zoo.published import cvpods, detectron2, mmdetection, original, torchvision
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


FROM_RANDOM = "MODEL: {PIXEL_STD: [57.375, 57.12, 58.395], RESNETS: {STRIDE_IN_1X1: false}}"
"""Of detectron2's `configs/Misc/scratch_mask_rcnn_R_50_FPN_9x_*`: unlike the others, these have begun from no ImageNet
weights of others, and divide pixels."""
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
                detectron2(
                    "COCO-InstanceSegmentation/mask_rcnn_R_101_FPN_3x/138205316/model_final_a3ec72",
                    name="detectron2_r101_3x",
                    note="R-101, 3x, 640-800",
                    box_AP=0.429,
                    mask_AP=0.386,
                ),
                detectron2(
                    "COCO-InstanceSegmentation/mask_rcnn_X_101_32x8d_FPN_3x/139653917/model_final_2d9806",
                    name="detectron2_x101_3x",
                    note="X-101-32x8d, 3x, 640-800",
                    box_AP=0.443,
                    mask_AP=0.395,
                ),
                detectron2(
                    "Misc/mask_rcnn_R_50_FPN_1x_dconv_c3-c5/138602867/model_final_65c703",
                    name="detectron2_dconv",
                    note="deformable, 640-800",
                    box_AP=0.415,
                    mask_AP=0.375,
                ),
                detectron2(
                    "Misc/mask_rcnn_R_50_FPN_3x_dconv_c3-c5/144998336/model_final_821d0b",
                    name="detectron2_dconv_3x",
                    note="deformable, 3x, 640-800",
                    box_AP=0.427,
                    mask_AP=0.385,
                ),
                detectron2(
                    "Misc/mask_rcnn_R_50_FPN_3x_gn/138602888/model_final_dc5d9e",
                    name="detectron2_gn_3x",
                    note="GN, 3x, 640-800",
                    box_AP=0.426,
                    mask_AP=0.386,
                ),
                detectron2(
                    "Misc/mask_rcnn_R_50_FPN_3x_syncbn/169527823/model_final_3b3c51",
                    name="detectron2_syncbn_3x",
                    note="SyncBN, 3x, 640-800",
                    box_AP=0.419,
                    mask_AP=0.378,
                ),
                detectron2(
                    "Misc/scratch_mask_rcnn_R_50_FPN_3x_gn/138602908/model_final_01ca85",
                    name="detectron2_scratch_gn_3x",
                    note="GN, from random weights, 3x, 640-800",
                    box_AP=0.399,
                    mask_AP=0.366,
                ),
                detectron2(
                    "Misc/scratch_mask_rcnn_R_50_FPN_9x_gn/183808979/model_final_da7b4c",
                    name="detectron2_scratch_gn_9x",
                    note="GN, from random weights, 9x, 640-800",
                    config=FROM_RANDOM,
                    box_AP=0.437,
                    mask_AP=0.396,
                ),
                detectron2(
                    "Misc/scratch_mask_rcnn_R_50_FPN_9x_syncbn/184226666/model_final_5ce33e",
                    name="detectron2_scratch_syncbn_9x",
                    note="SyncBN, from random weights, 9x, 640-800",
                    config=FROM_RANDOM,
                    box_AP=0.436,
                    mask_AP=0.393,
                ),
                mmdetection(
                    "mask_rcnn/mask_rcnn_r50_fpn_1x_coco/mask_rcnn_r50_fpn_1x_coco_20200205-d4b0c5d6",
                    box_AP=0.382,
                    mask_AP=0.347,
                ),
                mmdetection(
                    "mask_rcnn/mask_rcnn_r101_fpn_1x_coco/mask_rcnn_r101_fpn_1x_coco_20200204-1efe0ed5",
                    name="mmdetection_r101",
                    note="R-101",
                    box_AP=0.4,
                    mask_AP=0.361,
                ),
                mmdetection(
                    "gcnet/mask_rcnn_r50_fpn_syncbn-backbone_1x_coco/"
                    "mask_rcnn_r50_fpn_syncbn-backbone_1x_coco_20200202-bb3eb55c",
                    name="mmdetection_syncbn",
                    note="SyncBN",
                    box_AP=0.384,
                    mask_AP=0.346,
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
                detectron2(
                    "COCO-InstanceSegmentation/mask_rcnn_R_101_C4_3x/138363239/model_final_a2914c",
                    name="detectron2_r101_3x",
                    note="R-101, 3x, 640-800",
                    box_AP=0.426,
                    mask_AP=0.367,
                ),
            ),
        ),
        Row(
            recipe=mask_rcnn_r50_dc5_1x,
            task="instance",
            backbone="R-50-DC5",
            schedule="1x",
            published=(
                detectron2(
                    "COCO-InstanceSegmentation/mask_rcnn_R_50_DC5_1x/137260150/model_final_4f86c3",
                    box_AP=0.383,
                    mask_AP=0.342,
                ),
                detectron2(
                    "COCO-InstanceSegmentation/mask_rcnn_R_50_DC5_3x/137849551/model_final_84107b",
                    name="detectron2_3x",
                    note="3x, 640-800",
                    box_AP=0.400,
                    mask_AP=0.359,
                ),
                detectron2(
                    "COCO-InstanceSegmentation/mask_rcnn_R_101_DC5_3x/138363294/model_final_0464b7",
                    name="detectron2_r101_3x",
                    note="R-101, 3x, 640-800",
                    box_AP=0.419,
                    mask_AP=0.373,
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
