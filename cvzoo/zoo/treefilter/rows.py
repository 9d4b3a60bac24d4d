"""The rows of TreeFilter. Imports no torch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cvzoo.recipes import Optim, Recipe, data_sets, settings
from cvzoo.zoo.system import Reference, Row, System


def treefilter_r50_voc() -> Recipe:
    """Learnable tree filters in the decoder of a ResNet-50, 19 800 iterations of 32 crops of PASCAL VOC (1909.12513).

    The authors draw the scale from six values in this range, and decay no biases.
    """
    from cvzoo.zoo.treefilter.model import TreeFilterConfig

    data = replace(
        data_sets.VOC,
        short_sides=(500,),
        max_long_side=500,
        crop_max_share=1.0,
        distort_colours=False,
        test_short_side=500,
        test_window=(512, 512),
    )
    return Recipe(
        row="treefilter_r50_voc",
        model=TreeFilterConfig(),
        backbone_weights="imagenet",
        data=data,
        optim=Optim(lr=0.01, weight_decay=1e-4),
        schedule=settings.poly(iterations=19_800, batch=32, floor=0.0),
    )


def treefilter_r101_cityscapes() -> Recipe:
    """Tree filters in a larger decoder of a ResNet-101, 80 000 iterations of 16 crops of Cityscapes (1909.12513)."""
    from cvzoo.zoo.treefilter.model import BODY, TreeFilterConfig

    data = replace(
        data_sets.CITYSCAPES, crop=(800, 800), crop_max_share=1.0, distort_colours=False, test_window=(800, 800)
    )
    backbone = replace(BODY, depth=101)
    return Recipe(
        row="treefilter_r101_cityscapes",
        model=TreeFilterConfig(num_classes=19, backbone=backbone, decoder="extra", channels=512),
        backbone_weights="imagenet",
        data=data,
        optim=Optim(lr=0.004, weight_decay=1e-4),
        schedule=settings.poly(iterations=80_000, batch=16, floor=0.0),
    )


def treefilter_lite0_camvid() -> Recipe:
    """Tree filters on EfficientNet-Lite0 and 367 street scenes: real data in half an hour on 2 CPU cores."""
    from cvzoo.parts.semantic import small
    from cvzoo.zoo.treefilter.model import TreeFilterConfig

    options: dict[str, Any] = small.lite0(output_stride=32) | {"channels": 64}
    return settings.camvid("treefilter_lite0_camvid", TreeFilterConfig(**options, embed_channels=64, embed_std=0.01))


def treefilter_r18_shapes() -> Recipe:
    """Tree filters on drawn shapes from random weights; a few minutes on 2 CPU cores."""
    from cvzoo.parts.semantic import small
    from cvzoo.zoo.treefilter.model import TreeFilterConfig

    options: dict[str, Any] = small.resnet(output_stride=32) | {"channels": 32}
    return settings.shapes_label_maps(
        "treefilter_r18_shapes", TreeFilterConfig(**options, embed_channels=32, groups=8, embed_std=0.01)
    )


AUTHORS = "https://github.com/Megvii-BaseDetection/TreeFilter-Torch"
SYSTEM = System(
    name="TreeFilter",
    papers={"1909.12513": "Learnable Tree Filter for Structure-preserving Feature Transform"},
    module=__name__,
    rows=(
        Row(
            recipe=treefilter_r50_voc,
            task="segmentation",
            backbone="R-50",
            data="VOC 2012 aug",
            schedule="60 epochs",
            references=(Reference(name="authors", results={"mIoU": 0.7631}, page=AUTHORS),),
        ),
        Row(
            recipe=treefilter_r101_cityscapes,
            task="segmentation",
            backbone="R-101",
            data="Cityscapes",
            schedule="80 epochs",
            references=(Reference(name="authors", results={"mIoU": 0.7958}, page=AUTHORS),),
        ),
        Row(
            recipe=treefilter_lite0_camvid,
            task="segmentation",
            backbone="EfficientNet-Lite0",
            data="CamVid",
            schedule="1000 it",
        ),
        Row(
            recipe=treefilter_r18_shapes,
            task="segmentation",
            backbone="R-18, 1/2 width",
            data="shapes",
            schedule="600 it",
        ),
    ),
)
