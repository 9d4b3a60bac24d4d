"""The rows of DeepLab v3+. Imports no torch."""

from __future__ import annotations

from dataclasses import replace

from cvzoo.recipes import Recipe, data_sets, settings
from cvzoo.zoo.published import detectron2, mmsegmentation
from cvzoo.zoo.system import Row, System


def deeplabv3plus_r50_d8_cityscapes() -> Recipe:
    """DeepLab v3+ R-50, 80 000 iterations of 8 crops of Cityscapes (1802.02611)."""
    from cvzoo.zoo.deeplabv3plus.model import DeepLabV3PlusConfig

    schedule = settings.poly(iterations=80_000, batch=8)
    return settings.mmsegmentation(
        "deeplabv3plus_r50_d8_cityscapes", DeepLabV3PlusConfig(), data_sets.CITYSCAPES, schedule
    )


def deeplabv3plus_r101_d8_voc() -> Recipe:
    """DeepLab v3+ R-101, 40 000 iterations of 16 crops of PASCAL VOC 2012 with more labels (1802.02611)."""
    from cvzoo.parts.semantic.head import DILATED
    from cvzoo.zoo.deeplabv3plus.model import DeepLabV3PlusConfig

    model = DeepLabV3PlusConfig(num_classes=21, backbone=replace(DILATED, depth=101))
    return settings.mmsegmentation(
        "deeplabv3plus_r101_d8_voc", model, data_sets.VOC, settings.poly(iterations=40_000, batch=16)
    )


def deeplabv3plus_r50_d8_ade20k() -> Recipe:
    """DeepLab v3+ R-50, 160 000 iterations of 16 crops of ADE20K (1802.02611)."""
    from cvzoo.zoo.deeplabv3plus.model import DeepLabV3PlusConfig

    schedule = settings.poly(iterations=160_000, batch=16)
    return settings.mmsegmentation(
        "deeplabv3plus_r50_d8_ade20k", DeepLabV3PlusConfig(num_classes=150), data_sets.ADE20K, schedule
    )


def deeplabv3_r50_d8_cityscapes() -> Recipe:
    """DeepLab v3 R-50, v3+ without low-level features, 80 000 iterations of 8 crops of Cityscapes (1706.05587)."""
    from cvzoo.zoo.deeplabv3plus.model import DeepLabV3PlusConfig

    model = DeepLabV3PlusConfig(separable=False, low_channels=0, decoder_convs=0)
    return replace(deeplabv3plus_r50_d8_cityscapes(), row="deeplabv3_r50_d8_cityscapes", model=model)


def deeplabv3plus_r50_d8_cityscapes_769() -> Recipe:
    """DeepLab v3+ R-50 on square crops of Cityscapes, which is judged on windows of their size (1802.02611)."""
    recipe = deeplabv3plus_r50_d8_cityscapes()
    model = replace(recipe.model, align_corners=True)
    return replace(recipe, row="deeplabv3plus_r50_d8_cityscapes_769", model=model, data=data_sets.CITYSCAPES_769)


def deeplabv3plus_lite0_camvid() -> Recipe:
    """DeepLab v3+ with EfficientNet-Lite0 on 367 street scenes: real data in half an hour on 2 CPU cores."""
    from cvzoo.parts.semantic import small
    from cvzoo.zoo.deeplabv3plus.model import DeepLabV3PlusConfig

    model = DeepLabV3PlusConfig(**small.lite0(), dilations=(6, 12, 18), low_channels=24)
    return settings.camvid("deeplabv3plus_lite0_camvid", model)


def deeplabv3plus_r18_shapes() -> Recipe:
    """DeepLab v3+ on drawn shapes from random weights; a few minutes on 2 CPU cores."""
    from cvzoo.parts.semantic import small
    from cvzoo.zoo.deeplabv3plus.model import DeepLabV3PlusConfig

    model = DeepLabV3PlusConfig(**small.resnet(), dilations=(2, 4, 6), low_channels=16)
    return settings.shapes_label_maps("deeplabv3plus_r18_shapes", model)


ALIGNED = "model = dict(decode_head=dict(type='DepthwiseSeparableASPPHead', align_corners=True))"
"""Of the configs for crops of 769 x 769, beside all that the keys tell."""
SYSTEM = System(
    name="DeepLab v3+",
    papers={
        "1802.02611": "Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation",
        "1706.05587": "Rethinking Atrous Convolution for Semantic Image Segmentation",
    },
    module=__name__,
    rows=(
        Row(
            recipe=deeplabv3plus_r50_d8_cityscapes,
            task="segmentation",
            backbone="R-50-D8",
            data="Cityscapes",
            schedule="80k",
            published=(
                mmsegmentation(
                    "deeplabv3plus/deeplabv3plus_r50-d8_512x1024_80k_cityscapes"
                    "/deeplabv3plus_r50-d8_512x1024_80k_cityscapes_20200606_114049-f9fb496d",
                    mIoU=0.8009,
                ),
                mmsegmentation(
                    "deeplabv3plus/deeplabv3plus_r50-d8_512x1024_40k_cityscapes/"
                    "deeplabv3plus_r50-d8_512x1024_40k_cityscapes_20200605_094610-d222ffcd",
                    name="mmsegmentation_40k",
                    note="40k",
                    mIoU=0.7961,
                ),
                mmsegmentation(
                    "deeplabv3plus/deeplabv3plus_r18-d8_512x1024_80k_cityscapes/"
                    "deeplabv3plus_r18-d8_512x1024_80k_cityscapes_20201226_080942-cff257fe",
                    name="mmsegmentation_r18",
                    note="R-18",
                    mIoU=0.7689,
                ),
                mmsegmentation(
                    "deeplabv3plus/deeplabv3plus_r101-d8_512x1024_80k_cityscapes/"
                    "deeplabv3plus_r101-d8_512x1024_80k_cityscapes_20200606_114143-068fcfe9",
                    name="mmsegmentation_r101",
                    note="R-101",
                    mIoU=0.8097,
                ),
                detectron2(
                    "DeepLab/Cityscapes-SemanticSegmentation/"
                    "deeplab_v3_plus_R_103_os16_mg124_poly_90k_bs16/28054032/model_final_a8a355",
                    name="detectron2_r103",
                    page="projects/DeepLab/README.md",
                    note="R-103 at stride 16, 90k",
                    mIoU=0.800,
                ),
            ),
        ),
        Row(
            recipe=deeplabv3plus_r101_d8_voc,
            task="segmentation",
            backbone="R-101-D8",
            data="VOC 2012 aug",
            schedule="40k",
            published=(
                mmsegmentation(
                    "deeplabv3plus/deeplabv3plus_r101-d8_512x512_40k_voc12aug"
                    "/deeplabv3plus_r101-d8_512x512_40k_voc12aug_20200613_205333-faf03387",
                    mIoU=0.7862,
                ),
                mmsegmentation(
                    "deeplabv3plus/deeplabv3plus_r50-d8_512x512_20k_voc12aug/"
                    "deeplabv3plus_r50-d8_512x512_20k_voc12aug_20200617_102323-aad58ef1",
                    name="mmsegmentation_r50_20k",
                    note="R-50, 20k",
                    mIoU=0.7593,
                ),
            ),
        ),
        Row(
            recipe=deeplabv3plus_r50_d8_ade20k,
            task="segmentation",
            backbone="R-50-D8",
            data="ADE20K",
            schedule="160k",
            published=(
                mmsegmentation(
                    "deeplabv3plus/deeplabv3plus_r50-d8_512x512_160k_ade20k/"
                    "deeplabv3plus_r50-d8_512x512_160k_ade20k_20200615_124504-6135c7e0",
                    mIoU=0.4395,
                ),
                mmsegmentation(
                    "deeplabv3plus/deeplabv3plus_r50-d8_512x512_80k_ade20k/"
                    "deeplabv3plus_r50-d8_512x512_80k_ade20k_20200614_185028-bf1400d8",
                    name="mmsegmentation_80k",
                    note="80k",
                    mIoU=0.4272,
                ),
                mmsegmentation(
                    "deeplabv3plus/deeplabv3plus_r101-d8_512x512_160k_ade20k/"
                    "deeplabv3plus_r101-d8_512x512_160k_ade20k_20200615_123232-38ed86bb",
                    name="mmsegmentation_r101",
                    note="R-101",
                    mIoU=0.4547,
                ),
            ),
        ),
        Row(
            recipe=deeplabv3_r50_d8_cityscapes,
            task="segmentation",
            backbone="R-50-D8",
            data="Cityscapes",
            schedule="80k",
            published=(
                mmsegmentation(
                    "deeplabv3/deeplabv3_r50-d8_512x1024_80k_cityscapes/"
                    "deeplabv3_r50-d8_512x1024_80k_cityscapes_20200606_113404-b92cfdd4",
                    mIoU=0.7932,
                ),
                mmsegmentation(
                    "deeplabv3/deeplabv3_r50-d8_512x1024_40k_cityscapes/"
                    "deeplabv3_r50-d8_512x1024_40k_cityscapes_20200605_022449-acadc2f8",
                    name="mmsegmentation_40k",
                    note="40k",
                    mIoU=0.7909,
                ),
                mmsegmentation(
                    "deeplabv3/deeplabv3_r101-d8_512x1024_80k_cityscapes/"
                    "deeplabv3_r101-d8_512x1024_80k_cityscapes_20200606_113503-9e428899",
                    name="mmsegmentation_r101",
                    note="R-101",
                    mIoU=0.8020,
                ),
                detectron2(
                    "DeepLab/Cityscapes-SemanticSegmentation/"
                    "deeplab_v3_R_103_os16_mg124_poly_90k_bs16/28041665/model_final_0dff1b",
                    name="detectron2_r103",
                    page="projects/DeepLab/README.md",
                    note="R-103 at stride 16, 90k",
                    mIoU=0.785,
                ),
            ),
        ),
        Row(
            recipe=deeplabv3plus_r50_d8_cityscapes_769,
            task="segmentation",
            backbone="R-50-D8",
            data="Cityscapes",
            schedule="80k, 769 x 769",
            published=(
                mmsegmentation(
                    "deeplabv3plus/deeplabv3plus_r50-d8_769x769_80k_cityscapes/"
                    "deeplabv3plus_r50-d8_769x769_80k_cityscapes_20200606_210233-0e9dfdc4",
                    config=ALIGNED,
                    mIoU=0.7983,
                ),
                mmsegmentation(
                    "deeplabv3plus/deeplabv3plus_r101-d8_769x769_80k_cityscapes/"
                    "deeplabv3plus_r101-d8_769x769_80k_cityscapes_20200607_000405-a7573d20",
                    name="mmsegmentation_r101",
                    note="R-101",
                    config=ALIGNED,
                    mIoU=0.8098,
                ),
            ),
        ),
        Row(
            recipe=deeplabv3plus_lite0_camvid,
            task="segmentation",
            backbone="EfficientNet-Lite0",
            data="CamVid",
            schedule="1000 it",
        ),
        Row(
            recipe=deeplabv3plus_r18_shapes,
            task="segmentation",
            backbone="R-18-D8, 1/2 width",
            data="shapes",
            schedule="600 it",
        ),
    ),
)
