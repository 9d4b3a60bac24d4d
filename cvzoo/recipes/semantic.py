"""Semantic segmentation: one function per row.

Model classes are imported inside the functions, so that listing the rows needs no torch.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cvzoo.data import classes
from cvzoo.data.config import Data, LabelMaps, Split
from cvzoo.recipes import settings
from cvzoo.recipes.recipe import Optim, Recipe, Schedule

if TYPE_CHECKING:
    from cvzoo.nn.resnet import ResNetConfig

CITYSCAPES = Data(
    source="label_maps",
    root=Path("data/cityscapes"),
    train=Split(images="leftImg8bit/train", annotations="gtFine/train"),
    val=Split(images="leftImg8bit/val", annotations="gtFine/val"),
    label_maps=LabelMaps(
        classes=classes.CITYSCAPES, image_suffix="_leftImg8bit.png", label_suffix="_gtFine_labelTrainIds.png"
    ),
    short_sides=(1024,),
    test_short_side=1024,
    max_long_side=2048,
    scale_jitter=(0.5, 2.0),
    crop=(512, 1024),
    crop_max_share=0.75,
    distort_colours=True,
)
"""2975 and 500 street scenes of 2048 x 1024 pixels; labelTrainIds are made by the authors' createTrainIdLabelImgs."""

ADE20K = replace(
    CITYSCAPES,
    root=Path("data/ADEChallengeData2016"),
    train=Split(images="images/training", annotations="annotations/training"),
    val=Split(images="images/validation", annotations="annotations/validation"),
    label_maps=LabelMaps(classes=classes.ADE20K, reduce_zero=True),
    short_sides=(512,),
    test_short_side=512,
    crop=(512, 512),
)
"""20 210 and 2000 scenes."""

VOC = replace(
    ADE20K,
    root=Path("data/VOCdevkit/VOC2012"),
    train=Split(
        images="JPEGImages",
        annotations="SegmentationClass,SegmentationClassAug",
        lists=("ImageSets/Segmentation/train.txt", "ImageSets/Segmentation/aug.txt"),
    ),
    val=Split(images="JPEGImages", annotations="SegmentationClass", lists=("ImageSets/Segmentation/val.txt",)),
    label_maps=LabelMaps(classes=classes.VOC),
)
"""10 582 pictures with the labels of Hariharan et al. (SBD), and 1449."""

CAMVID = Data(
    source="label_maps",
    root=Path("../shared/data/camvid"),
    train=Split(images="train", annotations="trainannot", lists=("train.txt",)),
    val=Split(images="val", annotations="valannot", lists=("val.txt",)),
    label_maps=LabelMaps(classes=classes.CAMVID, ignored=(11,)),
    short_sides=(360,),
    test_short_side=360,
    max_long_side=480,
    scale_jitter=(0.5, 2.0),
    crop=(256, 320),
    crop_max_share=0.75,
    distort_colours=True,
    workers=0,
    cache=True,
)
"""367 and 101 street scenes of 480 x 360 pixels: small enough for a CPU."""

SHAPES = replace(settings.SHAPES, shapes=replace(settings.SHAPES.shapes, label_maps=True))
"""Drawn pictures of 128 x 128 pixels with a class for every pixel."""

SGD = Optim(lr=0.01, weight_decay=5e-4, norm_weight_decay=5e-4)
"""mmsegmentation's."""


def _poly(iterations: int, batch: int, floor: float = 0.01) -> Schedule:
    """Of `batch` pictures, for which the learning rate is meant; mmsegmentation ends with a hundredth of it."""
    return Schedule(
        iterations=iterations, batch=batch, base_batch=batch, policy="poly", floor=floor, warmup_iterations=0
    )


def _camvid(row: str, model: Any) -> Recipe:
    """Half an hour at most on CAMVID, from ImageNet features."""
    return Recipe(
        row=row,
        model=model,
        backbone_weights="imagenet",
        data=CAMVID,
        optim=settings.MINI_OPTIM,
        schedule=replace(_poly(iterations=1000, batch=8, floor=0.0), warmup_iterations=50),
        run=settings.MINI_RUN,
    )


def _shapes(row: str, model: Any) -> Recipe:
    """A few minutes on SHAPES, from random weights: a little longer than detectors need to tell ellipses apart."""
    recipe = settings.shapes(row, model)
    return replace(recipe, data=SHAPES, schedule=replace(recipe.schedule, iterations=600))


def _reference(row: str, model: Any, data: Data, schedule: Schedule) -> Recipe:
    """As mmsegmentation trains it."""
    return Recipe(row=row, model=model, backbone_weights="imagenet", data=data, optim=SGD, schedule=schedule)


def _dilated(depth: Any) -> ResNetConfig:
    """mmsegmentation's `r101-d8`, for example."""
    from cvzoo.models.semantic.head import DILATED

    return replace(DILATED, depth=depth)


def _small_lite0(output_stride: Any = 16) -> dict[str, Any]:
    """The options of a small model on CAMVID: EfficientNet-Lite0, ImageNet's up to C3, and thin heads."""
    from cvzoo.models.semantic.head import AuxiliaryConfig
    from cvzoo.nn.pixels import HALF

    return {
        "num_classes": len(classes.CAMVID),
        "backbone": replace(settings.lite0(), output_stride=output_stride, frozen_outputs=2),
        "pixels": replace(HALF, divisor=1),
        "channels": 128,
        "aux": AuxiliaryConfig(channels=64),
    }


def _small_resnet(output_stride: Any = 8) -> dict[str, Any]:
    """The options of a small model on SHAPES: a thin ResNet-18 and thin heads, trained from random weights."""
    from cvzoo.models.semantic.head import AuxiliaryConfig

    return {
        "num_classes": 4,
        "backbone": replace(settings.narrow_resnet(depth=18, width=32), output_stride=output_stride),
        "channels": 64,
        "aux": AuxiliaryConfig(channels=32),
    }


# FCN


def fcn_r50_d8_cityscapes() -> Recipe:
    """FCN on a dilated ResNet-50, 80 000 iterations of 8 crops (1411.4038): the baseline of all that follow.

    Expected: mIoU 73.6 (mmsegmentation).
    """
    from cvzoo.models.fcn import FCNConfig

    return _reference("fcn_r50_d8_cityscapes", FCNConfig(), CITYSCAPES, _poly(iterations=80_000, batch=8))


def fcn_lite0_camvid() -> Recipe:
    """FCN with EfficientNet-Lite0 on 367 street scenes: real data in half an hour on 2 CPU cores."""
    from cvzoo.models.fcn import FCNConfig

    return _camvid("fcn_lite0_camvid", FCNConfig(**_small_lite0()))


def fcn_r18_shapes() -> Recipe:
    """FCN on drawn shapes from random weights; a few minutes on 2 CPU cores."""
    from cvzoo.models.fcn import FCNConfig

    return _shapes("fcn_r18_shapes", FCNConfig(**_small_resnet()))


# PSPNet


def pspnet_r50_d8_cityscapes() -> Recipe:
    """PSPNet R-50, 80 000 iterations of 8 crops of Cityscapes (1612.01105).

    Expected: mIoU 78.6 (mmsegmentation).
    """
    from cvzoo.models.pspnet import PSPNetConfig

    return _reference("pspnet_r50_d8_cityscapes", PSPNetConfig(), CITYSCAPES, _poly(iterations=80_000, batch=8))


def pspnet_r101_d8_ade20k() -> Recipe:
    """PSPNet R-101, 160 000 iterations of 16 crops of ADE20K (1612.01105).

    Expected: mIoU 44.4 (mmsegmentation).
    """
    from cvzoo.models.pspnet import PSPNetConfig

    model = PSPNetConfig(num_classes=150, backbone=_dilated(101))
    return _reference("pspnet_r101_d8_ade20k", model, ADE20K, _poly(iterations=160_000, batch=16))


def pspnet_lite0_camvid() -> Recipe:
    """PSPNet with EfficientNet-Lite0 on 367 street scenes: real data in half an hour on 2 CPU cores."""
    from cvzoo.models.pspnet import PSPNetConfig

    return _camvid("pspnet_lite0_camvid", PSPNetConfig(**_small_lite0()))


def pspnet_r18_shapes() -> Recipe:
    """PSPNet on drawn shapes from random weights; a few minutes on 2 CPU cores."""
    from cvzoo.models.pspnet import PSPNetConfig

    return _shapes("pspnet_r18_shapes", PSPNetConfig(**_small_resnet()))


# DeepLab v3+


def deeplabv3plus_r50_d8_cityscapes() -> Recipe:
    """DeepLab v3+ R-50, 80 000 iterations of 8 crops of Cityscapes (1802.02611).

    Expected: mIoU 80.1 (mmsegmentation).
    """
    from cvzoo.models.deeplabv3plus import DeepLabV3PlusConfig

    schedule = _poly(iterations=80_000, batch=8)
    return _reference("deeplabv3plus_r50_d8_cityscapes", DeepLabV3PlusConfig(), CITYSCAPES, schedule)


def deeplabv3plus_r101_d8_voc() -> Recipe:
    """DeepLab v3+ R-101, 40 000 iterations of 16 crops of PASCAL VOC 2012 with more labels (1802.02611).

    Expected: mIoU 78.6 (mmsegmentation).
    """
    from cvzoo.models.deeplabv3plus import DeepLabV3PlusConfig

    model = DeepLabV3PlusConfig(num_classes=21, backbone=_dilated(101))
    return _reference("deeplabv3plus_r101_d8_voc", model, VOC, _poly(iterations=40_000, batch=16))


def deeplabv3plus_lite0_camvid() -> Recipe:
    """DeepLab v3+ with EfficientNet-Lite0 on 367 street scenes: real data in half an hour on 2 CPU cores."""
    from cvzoo.models.deeplabv3plus import DeepLabV3PlusConfig

    model = DeepLabV3PlusConfig(**_small_lite0(), dilations=(6, 12, 18), low_channels=24)
    return _camvid("deeplabv3plus_lite0_camvid", model)


def deeplabv3plus_r18_shapes() -> Recipe:
    """DeepLab v3+ on drawn shapes from random weights; a few minutes on 2 CPU cores."""
    from cvzoo.models.deeplabv3plus import DeepLabV3PlusConfig

    model = DeepLabV3PlusConfig(**_small_resnet(), dilations=(2, 4, 6), low_channels=16)
    return _shapes("deeplabv3plus_r18_shapes", model)


# GCNet


def gcnet_r50_d8_cityscapes() -> Recipe:
    """GCNet R-50, 80 000 iterations of 8 crops of Cityscapes (1904.11492).

    Expected: mIoU 78.5 (mmsegmentation).
    """
    from cvzoo.models.gcnet import GCNetConfig

    return _reference("gcnet_r50_d8_cityscapes", GCNetConfig(), CITYSCAPES, _poly(iterations=80_000, batch=8))


def gcnet_lite0_camvid() -> Recipe:
    """GCNet with EfficientNet-Lite0 on 367 street scenes: real data in half an hour on 2 CPU cores."""
    from cvzoo.models.gcnet import GCNetConfig

    return _camvid("gcnet_lite0_camvid", GCNetConfig(**_small_lite0()))


def gcnet_r18_shapes() -> Recipe:
    """GCNet on drawn shapes from random weights; a few minutes on 2 CPU cores."""
    from cvzoo.models.gcnet import GCNetConfig

    return _shapes("gcnet_r18_shapes", GCNetConfig(**_small_resnet()))


# TreeFilter


def treefilter_r50_voc() -> Recipe:
    """Learnable tree filters in the decoder of a ResNet-50, 19 800 iterations of 32 crops of PASCAL VOC (1909.12513).

    The authors draw the scale from six values in this range, and decay no biases.

    Expected: mIoU 76.3, without the filters 71.8 (authors).
    """
    from cvzoo.models.treefilter import TreeFilterConfig

    data = replace(
        VOC,
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
        schedule=_poly(iterations=19_800, batch=32, floor=0.0),
    )


def treefilter_r101_cityscapes() -> Recipe:
    """Tree filters in a larger decoder of a ResNet-101, 80 000 iterations of 16 crops of Cityscapes (1909.12513).

    Expected: mIoU 79.6, without the filters 78.3 (authors).
    """
    from cvzoo.models.treefilter import BODY, TreeFilterConfig

    data = replace(CITYSCAPES, crop=(800, 800), crop_max_share=1.0, distort_colours=False, test_window=(800, 800))
    backbone = replace(BODY, depth=101)
    return Recipe(
        row="treefilter_r101_cityscapes",
        model=TreeFilterConfig(num_classes=19, backbone=backbone, decoder="extra", channels=512),
        backbone_weights="imagenet",
        data=data,
        optim=Optim(lr=0.004, weight_decay=1e-4),
        schedule=_poly(iterations=80_000, batch=16, floor=0.0),
    )


def treefilter_lite0_camvid() -> Recipe:
    """Tree filters on EfficientNet-Lite0 and 367 street scenes: real data in half an hour on 2 CPU cores."""
    from cvzoo.models.treefilter import TreeFilterConfig

    options: dict[str, Any] = _small_lite0(output_stride=32) | {"channels": 64}
    return _camvid("treefilter_lite0_camvid", TreeFilterConfig(**options, embed_channels=64, embed_std=0.01))


def treefilter_r18_shapes() -> Recipe:
    """Tree filters on drawn shapes from random weights; a few minutes on 2 CPU cores."""
    from cvzoo.models.treefilter import TreeFilterConfig

    options: dict[str, Any] = _small_resnet(output_stride=32) | {"channels": 32}
    return _shapes("treefilter_r18_shapes", TreeFilterConfig(**options, embed_channels=32, groups=8, embed_std=0.01))
