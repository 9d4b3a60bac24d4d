"""The rows of GCNet, and of Mask R-CNN with its blocks. Imports no torch."""

from __future__ import annotations

from dataclasses import replace

from cvzoo.recipes import Recipe, data_sets, settings
from cvzoo.zoo.mask_rcnn.rows import mask_rcnn_r18_fpn_shapes, mask_rcnn_r50_fpn_1x
from cvzoo.zoo.published import mmdetection, mmsegmentation
from cvzoo.zoo.system import Reference, Row, System


def mask_rcnn_r50_fpn_gcb_r16_1x() -> Recipe:
    """Mask R-CNN R-50-FPN with a global context block in every block of C3 to C5, 90 000 iterations (1904.11492)."""
    recipe = mask_rcnn_r50_fpn_1x()
    model = replace(recipe.model, backbone=replace(recipe.model.backbone, context_ratio=1 / 16))
    return replace(recipe, row="mask_rcnn_r50_fpn_gcb_r16_1x", model=model)


def mask_rcnn_r50_fpn_gcb_shapes() -> Recipe:
    """Mask R-CNN with context blocks on drawn shapes from random weights; a few minutes on 2 CPU cores."""
    recipe = mask_rcnn_r18_fpn_shapes()
    backbone = replace(settings.narrow_resnet(depth=50, width=16), context_ratio=1 / 4)
    return replace(recipe, row="mask_rcnn_r50_fpn_gcb_shapes", model=replace(recipe.model, backbone=backbone))


def gcnet_r50_d8_cityscapes() -> Recipe:
    """GCNet R-50, 80 000 iterations of 8 crops of Cityscapes (1904.11492)."""
    from cvzoo.zoo.gcnet.model import GCNetConfig

    return settings.mmsegmentation(
        "gcnet_r50_d8_cityscapes", GCNetConfig(), data_sets.CITYSCAPES, settings.poly(iterations=80_000, batch=8)
    )


def gcnet_r50_d8_ade20k() -> Recipe:
    """GCNet R-50, 160 000 iterations of 16 crops of ADE20K (1904.11492)."""
    from cvzoo.zoo.gcnet.model import GCNetConfig

    schedule = settings.poly(iterations=160_000, batch=16)
    return settings.mmsegmentation("gcnet_r50_d8_ade20k", GCNetConfig(num_classes=150), data_sets.ADE20K, schedule)


def gcnet_r50_d8_voc() -> Recipe:
    """GCNet R-50, 40 000 iterations of 16 crops of PASCAL VOC 2012 with more labels (1904.11492)."""
    from cvzoo.zoo.gcnet.model import GCNetConfig

    schedule = settings.poly(iterations=40_000, batch=16)
    return settings.mmsegmentation("gcnet_r50_d8_voc", GCNetConfig(num_classes=21), data_sets.VOC, schedule)


def gcnet_lite0_camvid() -> Recipe:
    """GCNet with EfficientNet-Lite0 on 367 street scenes: real data in half an hour on 2 CPU cores."""
    from cvzoo.parts.semantic import small
    from cvzoo.zoo.gcnet.model import GCNetConfig

    return settings.camvid("gcnet_lite0_camvid", GCNetConfig(**small.lite0()))


def gcnet_r18_shapes() -> Recipe:
    """GCNet on drawn shapes from random weights; a few minutes on 2 CPU cores."""
    from cvzoo.parts.semantic import small
    from cvzoo.zoo.gcnet.model import GCNetConfig

    return settings.shapes_label_maps("gcnet_r18_shapes", GCNetConfig(**small.resnet()))


SYSTEM = System(
    name="GCNet",
    papers={
        "1904.11492": "GCNet: Non-local Networks Meet Squeeze-Excitation Networks and Beyond",
        "2012.13375": "Global Context Networks",
    },
    module=__name__,
    rows=(
        Row(
            recipe=mask_rcnn_r50_fpn_gcb_r16_1x,
            task="instance",
            backbone="R-50-FPN, GC blocks 1/16",
            schedule="1x",
            published=(
                mmdetection(
                    "gcnet/mask_rcnn_r50_fpn_r16_gcb_c3-c5_1x_coco"
                    "/mask_rcnn_r50_fpn_r16_gcb_c3-c5_1x_coco_20200515_211915-187da160",
                    box_AP=0.397,
                    mask_AP=0.359,
                ),
                mmdetection(
                    "gcnet/mask_rcnn_r50_fpn_r4_gcb_c3-c5_1x_coco/"
                    "mask_rcnn_r50_fpn_r4_gcb_c3-c5_1x_coco_20200204-17235656",
                    name="mmdetection_r4",
                    note="ratio 1/4",
                    box_AP=0.399,
                    mask_AP=0.360,
                ),
                mmdetection(
                    "gcnet/mask_rcnn_r50_fpn_syncbn-backbone_r16_gcb_c3-c5_1x_coco/"
                    "mask_rcnn_r50_fpn_syncbn-backbone_r16_gcb_c3-c5_1x_coco_20200202-587b99aa",
                    name="mmdetection_syncbn",
                    note="SyncBN",
                    box_AP=0.404,
                    mask_AP=0.362,
                ),
                mmdetection(
                    "gcnet/mask_rcnn_r50_fpn_syncbn-backbone_r4_gcb_c3-c5_1x_coco/"
                    "mask_rcnn_r50_fpn_syncbn-backbone_r4_gcb_c3-c5_1x_coco_20200202-50b90e5c",
                    name="mmdetection_syncbn_r4",
                    note="SyncBN, ratio 1/4",
                    box_AP=0.407,
                    mask_AP=0.365,
                ),
                mmdetection(
                    "gcnet/mask_rcnn_r101_fpn_r16_gcb_c3-c5_1x_coco/"
                    "mask_rcnn_r101_fpn_r16_gcb_c3-c5_1x_coco_20200205-e58ae947",
                    name="mmdetection_r101",
                    note="R-101",
                    box_AP=0.413,
                    mask_AP=0.372,
                ),
                mmdetection(
                    "gcnet/mask_rcnn_r101_fpn_r4_gcb_c3-c5_1x_coco/"
                    "mask_rcnn_r101_fpn_r4_gcb_c3-c5_1x_coco_20200206-af22dc9d",
                    name="mmdetection_r101_r4",
                    note="R-101, ratio 1/4",
                    box_AP=0.422,
                    mask_AP=0.378,
                ),
            ),
            references=(
                Reference(
                    name="authors",
                    results={"box_AP": 0.385, "mask_AP": 0.351},
                    page="https://github.com/xvjiarui/GCNet",
                ),
            ),
        ),
        Row(
            recipe=mask_rcnn_r50_fpn_gcb_shapes,
            task="instance",
            backbone="R-50-FPN, 1/4 width, GC blocks 1/4",
            data="shapes",
            schedule="500 it",
        ),
        Row(
            recipe=gcnet_r50_d8_cityscapes,
            task="segmentation",
            backbone="R-50-D8",
            data="Cityscapes",
            schedule="80k",
            published=(
                mmsegmentation(
                    "gcnet/gcnet_r50-d8_512x1024_80k_cityscapes"
                    "/gcnet_r50-d8_512x1024_80k_cityscapes_20200618_074450-ef8f069b",
                    mIoU=0.7848,
                ),
                mmsegmentation(
                    "gcnet/gcnet_r50-d8_512x1024_40k_cityscapes/"
                    "gcnet_r50-d8_512x1024_40k_cityscapes_20200618_074436-4b0fd17b",
                    name="mmsegmentation_40k",
                    note="40k",
                    mIoU=0.7769,
                ),
                mmsegmentation(
                    "gcnet/gcnet_r101-d8_512x1024_80k_cityscapes/"
                    "gcnet_r101-d8_512x1024_80k_cityscapes_20200618_074450-778ebf69",
                    name="mmsegmentation_r101",
                    note="R-101",
                    mIoU=0.7903,
                ),
            ),
        ),
        Row(
            recipe=gcnet_r50_d8_ade20k,
            task="segmentation",
            backbone="R-50-D8",
            data="ADE20K",
            schedule="160k",
            published=(
                mmsegmentation(
                    "gcnet/gcnet_r50-d8_512x512_160k_ade20k/gcnet_r50-d8_512x512_160k_ade20k_20200615_224122-d95f3e1f",
                    mIoU=0.4237,
                ),
                mmsegmentation(
                    "gcnet/gcnet_r50-d8_512x512_80k_ade20k/gcnet_r50-d8_512x512_80k_ade20k_20200614_185146-91a6da41",
                    name="mmsegmentation_80k",
                    note="80k",
                    mIoU=0.4147,
                ),
                mmsegmentation(
                    "gcnet/gcnet_r101-d8_512x512_160k_ade20k/"
                    "gcnet_r101-d8_512x512_160k_ade20k_20200615_225406-615528d7",
                    name="mmsegmentation_r101",
                    note="R-101",
                    mIoU=0.4369,
                ),
            ),
        ),
        Row(
            recipe=gcnet_r50_d8_voc,
            task="segmentation",
            backbone="R-50-D8",
            data="VOC 2012 aug",
            schedule="40k",
            published=(
                mmsegmentation(
                    "gcnet/gcnet_r50-d8_512x512_40k_voc12aug/"
                    "gcnet_r50-d8_512x512_40k_voc12aug_20200613_195105-9797336d",
                    mIoU=0.7624,
                ),
                mmsegmentation(
                    "gcnet/gcnet_r50-d8_512x512_20k_voc12aug/"
                    "gcnet_r50-d8_512x512_20k_voc12aug_20200617_165701-3cbfdab1",
                    name="mmsegmentation_20k",
                    note="20k",
                    mIoU=0.7642,
                ),
                mmsegmentation(
                    "gcnet/gcnet_r101-d8_512x512_40k_voc12aug/"
                    "gcnet_r101-d8_512x512_40k_voc12aug_20200613_185806-1e38208d",
                    name="mmsegmentation_r101",
                    note="R-101",
                    mIoU=0.7784,
                ),
            ),
        ),
        Row(
            recipe=gcnet_lite0_camvid,
            task="segmentation",
            backbone="EfficientNet-Lite0",
            data="CamVid",
            schedule="1000 it",
        ),
        Row(
            recipe=gcnet_r18_shapes,
            task="segmentation",
            backbone="R-18-D8, 1/2 width",
            data="shapes",
            schedule="600 it",
        ),
    ),
)
