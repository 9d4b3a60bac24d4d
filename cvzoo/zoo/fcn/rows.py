"""The rows of FCN. Imports no torch."""

from __future__ import annotations

from cvzoo.recipes import Recipe, data_sets, settings
from cvzoo.zoo.published import mmsegmentation
from cvzoo.zoo.system import Row, System


def fcn_r50_d8_cityscapes() -> Recipe:
    """FCN on a dilated ResNet-50, 80 000 iterations of 8 crops (1411.4038): the baseline of all that follow."""
    from cvzoo.zoo.fcn.model import FCNConfig

    return settings.mmsegmentation(
        "fcn_r50_d8_cityscapes", FCNConfig(), data_sets.CITYSCAPES, settings.poly(iterations=80_000, batch=8)
    )


def fcn_lite0_camvid() -> Recipe:
    """FCN with EfficientNet-Lite0 on 367 street scenes: real data in half an hour on 2 CPU cores."""
    from cvzoo.parts.semantic import small
    from cvzoo.zoo.fcn.model import FCNConfig

    return settings.camvid("fcn_lite0_camvid", FCNConfig(**small.lite0()))


def fcn_r18_shapes() -> Recipe:
    """FCN on drawn shapes from random weights; a few minutes on 2 CPU cores."""
    from cvzoo.parts.semantic import small
    from cvzoo.zoo.fcn.model import FCNConfig

    return settings.shapes_label_maps("fcn_r18_shapes", FCNConfig(**small.resnet()))


SYSTEM = System(
    name="FCN",
    papers={"1411.4038": "Fully Convolutional Networks for Semantic Segmentation"},
    module=__name__,
    rows=(
        Row(
            recipe=fcn_r50_d8_cityscapes,
            task="segmentation",
            backbone="R-50-D8",
            data="Cityscapes",
            schedule="80k",
            published=(
                mmsegmentation(
                    "fcn/fcn_r50-d8_512x1024_80k_cityscapes"
                    "/fcn_r50-d8_512x1024_80k_cityscapes_20200606_113019-03aa804d",
                    mIoU=0.7361,
                ),
                mmsegmentation(
                    "fcn/fcn_r50-d8_512x1024_40k_cityscapes/"
                    "fcn_r50-d8_512x1024_40k_cityscapes_20200604_192608-efe53f0d",
                    name="mmsegmentation_40k",
                    note="40k",
                    mIoU=0.7225,
                ),
            ),
        ),
        Row(
            recipe=fcn_lite0_camvid,
            task="segmentation",
            backbone="EfficientNet-Lite0",
            data="CamVid",
            schedule="1000 it",
        ),
        Row(
            recipe=fcn_r18_shapes,
            task="segmentation",
            backbone="R-18-D8, 1/2 width",
            data="shapes",
            schedule="600 it",
        ),
    ),
)
