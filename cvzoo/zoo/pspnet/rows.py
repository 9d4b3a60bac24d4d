"""The rows of PSPNet. Imports no torch."""

from __future__ import annotations

from dataclasses import replace

from cvzoo.recipes import Recipe, data_sets, settings
from cvzoo.zoo.published import mmsegmentation
from cvzoo.zoo.system import Reference, Row, System


def pspnet_r50_d8_cityscapes() -> Recipe:
    """PSPNet R-50, 80 000 iterations of 8 crops of Cityscapes (1612.01105)."""
    from cvzoo.zoo.pspnet.model import PSPNetConfig

    return settings.mmsegmentation(
        "pspnet_r50_d8_cityscapes", PSPNetConfig(), data_sets.CITYSCAPES, settings.poly(iterations=80_000, batch=8)
    )


def pspnet_r101_d8_ade20k() -> Recipe:
    """PSPNet R-101, 160 000 iterations of 16 crops of ADE20K (1612.01105)."""
    from cvzoo.parts.semantic.head import DILATED
    from cvzoo.zoo.pspnet.model import PSPNetConfig

    model = PSPNetConfig(num_classes=150, backbone=replace(DILATED, depth=101))
    return settings.mmsegmentation(
        "pspnet_r101_d8_ade20k", model, data_sets.ADE20K, settings.poly(iterations=160_000, batch=16)
    )


def pspnet_r50_d8_voc() -> Recipe:
    """PSPNet R-50, 40 000 iterations of 16 crops of PASCAL VOC 2012 with more labels (1612.01105)."""
    from cvzoo.zoo.pspnet.model import PSPNetConfig

    schedule = settings.poly(iterations=40_000, batch=16)
    return settings.mmsegmentation("pspnet_r50_d8_voc", PSPNetConfig(num_classes=21), data_sets.VOC, schedule)


def pspnet_r50_d8_cityscapes_769() -> Recipe:
    """PSPNet R-50 on square crops of Cityscapes, which is judged on windows of their size (1612.01105)."""
    recipe = pspnet_r50_d8_cityscapes()
    model = replace(recipe.model, align_corners=True)
    return replace(recipe, row="pspnet_r50_d8_cityscapes_769", model=model, data=data_sets.CITYSCAPES_769)


def pspnet_lite0_camvid() -> Recipe:
    """PSPNet with EfficientNet-Lite0 on 367 street scenes: real data in half an hour on 2 CPU cores."""
    from cvzoo.parts.semantic import small
    from cvzoo.zoo.pspnet.model import PSPNetConfig

    return settings.camvid("pspnet_lite0_camvid", PSPNetConfig(**small.lite0()))


def pspnet_r18_shapes() -> Recipe:
    """PSPNet on drawn shapes from random weights; a few minutes on 2 CPU cores."""
    from cvzoo.parts.semantic import small
    from cvzoo.zoo.pspnet.model import PSPNetConfig

    return settings.shapes_label_maps("pspnet_r18_shapes", PSPNetConfig(**small.resnet()))


AUTHORS = "https://github.com/hszhao/semseg"
ALIGNED = "model = dict(decode_head=dict(type='PSPHead', align_corners=True))"
"""Of the configs for crops of 769 x 769, beside all that the keys tell."""
SYSTEM = System(
    name="PSPNet",
    papers={"1612.01105": "Pyramid Scene Parsing Network"},
    module=__name__,
    rows=(
        Row(
            recipe=pspnet_r50_d8_cityscapes,
            task="segmentation",
            backbone="R-50-D8",
            data="Cityscapes",
            schedule="80k",
            published=(
                mmsegmentation(
                    "pspnet/pspnet_r50-d8_512x1024_80k_cityscapes"
                    "/pspnet_r50-d8_512x1024_80k_cityscapes_20200606_112131-2376f12b",
                    mIoU=0.7855,
                ),
                mmsegmentation(
                    "pspnet/pspnet_r50-d8_512x1024_40k_cityscapes/"
                    "pspnet_r50-d8_512x1024_40k_cityscapes_20200605_003338-2966598c",
                    name="mmsegmentation_40k",
                    note="40k",
                    mIoU=0.7785,
                ),
                mmsegmentation(
                    "pspnet/pspnet_r18-d8_512x1024_80k_cityscapes/"
                    "pspnet_r18-d8_512x1024_80k_cityscapes_20201225_021458-09ffa746",
                    name="mmsegmentation_r18",
                    note="R-18",
                    mIoU=0.7487,
                ),
                mmsegmentation(
                    "pspnet/pspnet_r101-d8_512x1024_80k_cityscapes/"
                    "pspnet_r101-d8_512x1024_80k_cityscapes_20200606_112211-e1e1100f",
                    name="mmsegmentation_r101",
                    note="R-101",
                    mIoU=0.7976,
                ),
            ),
            references=(
                Reference(name="authors", results={"mIoU": 0.7730}, page=AUTHORS, note="200 epochs at 713, flip"),
            ),
        ),
        Row(
            recipe=pspnet_r101_d8_ade20k,
            task="segmentation",
            backbone="R-101-D8",
            data="ADE20K",
            schedule="160k",
            published=(
                mmsegmentation(
                    "pspnet/pspnet_r101-d8_512x512_160k_ade20k"
                    "/pspnet_r101-d8_512x512_160k_ade20k_20200615_100650-967c316f",
                    mIoU=0.4439,
                ),
                mmsegmentation(
                    "pspnet/pspnet_r50-d8_512x512_80k_ade20k/pspnet_r50-d8_512x512_80k_ade20k_20200615_014128-15a8b914",
                    name="mmsegmentation_r50_80k",
                    note="R-50, 80k",
                    mIoU=0.4113,
                ),
            ),
            references=(
                Reference(name="authors", results={"mIoU": 0.4310}, page=AUTHORS, note="100 epochs at 473, flip"),
            ),
        ),
        Row(
            recipe=pspnet_r50_d8_voc,
            task="segmentation",
            backbone="R-50-D8",
            data="VOC 2012 aug",
            schedule="40k",
            published=(
                mmsegmentation(
                    "pspnet/pspnet_r50-d8_512x512_40k_voc12aug/"
                    "pspnet_r50-d8_512x512_40k_voc12aug_20200613_161222-ae9c1b8c",
                    mIoU=0.7729,
                ),
                mmsegmentation(
                    "pspnet/pspnet_r50-d8_512x512_20k_voc12aug/"
                    "pspnet_r50-d8_512x512_20k_voc12aug_20200617_101958-ed5dfbd9",
                    name="mmsegmentation_20k",
                    note="20k",
                    mIoU=0.7678,
                ),
                mmsegmentation(
                    "pspnet/pspnet_r101-d8_512x512_40k_voc12aug/"
                    "pspnet_r101-d8_512x512_40k_voc12aug_20200613_161222-bc933b18",
                    name="mmsegmentation_r101",
                    note="R-101",
                    mIoU=0.7852,
                ),
            ),
        ),
        Row(
            recipe=pspnet_r50_d8_cityscapes_769,
            task="segmentation",
            backbone="R-50-D8",
            data="Cityscapes",
            schedule="80k, 769 x 769",
            published=(
                mmsegmentation(
                    "pspnet/pspnet_r50-d8_769x769_80k_cityscapes/"
                    "pspnet_r50-d8_769x769_80k_cityscapes_20200606_210121-5ccf03dd",
                    config=ALIGNED,
                    mIoU=0.7959,
                ),
                mmsegmentation(
                    "pspnet/pspnet_r101-d8_769x769_80k_cityscapes/"
                    "pspnet_r101-d8_769x769_80k_cityscapes_20200606_225055-dba412fa",
                    name="mmsegmentation_r101",
                    note="R-101",
                    config=ALIGNED,
                    mIoU=0.7977,
                ),
            ),
        ),
        Row(
            recipe=pspnet_lite0_camvid,
            task="segmentation",
            backbone="EfficientNet-Lite0",
            data="CamVid",
            schedule="1000 it",
        ),
        Row(
            recipe=pspnet_r18_shapes,
            task="segmentation",
            backbone="R-18-D8, 1/2 width",
            data="shapes",
            schedule="600 it",
        ),
    ),
)
