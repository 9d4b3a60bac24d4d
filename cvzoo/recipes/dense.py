"""Object detection in one stage, by detectors that score every cell of a pyramid: one function per row.

Model classes are imported inside the functions, so that listing the rows needs no torch.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cvzoo.recipes import settings
from cvzoo.recipes.recipe import Optim, Recipe, Schedule

if TYPE_CHECKING:
    from cvzoo.models.reppoints import PointsToBox

SCHEDULE_2X = Schedule(iterations=180_000, milestones=(120_000, 160_000))
"""Twice the usual training."""

# RetinaNet


def retinanet_r50_fpn_1x() -> Recipe:
    """RetinaNet R-50-FPN, 90 000 iterations of 16 images at 800 px, as the reference trains it (1708.02002).

    Expected: box AP 37.4 with detectron2's caffe backbone and scale jitter, 36.4 with torchvision's at 800 px only.
    """
    from cvzoo.models.retinanet import RetinaNetConfig

    return Recipe(
        row="retinanet_r50_fpn_1x",
        model=RetinaNetConfig(),
        backbone_weights="imagenet",
        optim=Optim(lr=0.01),
    )


def retinanet_lite0_fpn_320_mini() -> Recipe:
    """RetinaNet with EfficientNet-Lite0 on 285 COCO pictures at 320 px: real data in half an hour on 2 CPU cores.

    What makes it learn in so few steps: group norm in pyramid and towers, one anchor size per level (a third of the
    head's arithmetic, spent on more epochs), ImageNet features held fixed up to C4. 42 epochs.
    """
    from cvzoo.models.retinanet import RetinaNetConfig
    from cvzoo.nn.fpn import FPNConfig
    from cvzoo.nn.pixels import HALF
    from cvzoo.ops.anchors import AnchorConfig

    model = RetinaNetConfig(
        backbone=settings.lite0(),
        fpn=FPNConfig(channels=64, norm="group"),
        pixels=HALF,
        anchors=AnchorConfig(sizes=((40,), (80,), (160,), (320,), (640,))),
        tower_convs=2,
        tower_norm="group",
    )
    return settings.mini("retinanet_lite0_fpn_320_mini", model)


def retinanet_r18_fpn_shapes() -> Recipe:
    """RetinaNet on drawn shapes from random weights: the demo; under 5 minutes on 2 CPU cores."""
    from cvzoo.models.retinanet import RetinaNetConfig
    from cvzoo.nn.fpn import FPNConfig
    from cvzoo.ops.anchors import AnchorConfig, octave_sizes

    model = RetinaNetConfig(
        num_classes=3,
        backbone=settings.narrow_resnet(depth=18, width=32),
        fpn=FPNConfig(channels=64),
        anchors=AnchorConfig(sizes=octave_sizes((24, 48, 96, 192, 384))),
        tower_convs=2,
    )
    recipe = settings.shapes("retinanet_r18_fpn_shapes", model)
    return replace(recipe, schedule=replace(recipe.schedule, iterations=600))


# FCOS


def fcos_r50_fpn_1x() -> Recipe:
    """FCOS R-50-FPN as in the first paper, 90 000 iterations of 16 images at 800 px (1904.01355).

    Expected: box AP 37.0.
    """
    from cvzoo.models.fcos import FCOSConfig

    return Recipe(
        row="fcos_r50_fpn_1x",
        model=FCOSConfig(),
        backbone_weights="imagenet",
        optim=Optim(lr=0.01),
    )


def fcos_r50_fpn_improved_1x() -> Recipe:
    """FCOS R-50-FPN with the later improvements: centre sampling, GIoU, distances in strides (2006.09214).

    Expected: box AP 38.7.
    """
    recipe = fcos_r50_fpn_1x()
    improved = replace(recipe.model, distance="relu", centreness_on="box", centre_radius=1.5, box_loss="giou")
    return replace(recipe, row="fcos_r50_fpn_improved_1x", model=improved)


def fcos_r50_dcn_fpn_improved_1x() -> Recipe:
    """`fcos_r50_fpn_improved_1x` with deformable convolutions (v2) in layers 2 to 4 and at the end of the towers.

    Expected: box AP 42.3 with a caffe backbone.
    """
    recipe = fcos_r50_fpn_improved_1x()
    deformed = replace(recipe.model, backbone=replace(recipe.model.backbone, deform="v2"), deform_last=True)
    return replace(recipe, row="fcos_r50_dcn_fpn_improved_1x", model=deformed)


def fcos_lite0_fpn_320_mini() -> Recipe:
    """Improved FCOS with EfficientNet-Lite0 on 285 COCO pictures at 320 px: real data in minutes on 2 CPU cores."""
    from cvzoo.nn.fpn import FPNConfig
    from cvzoo.nn.pixels import HALF

    model = replace(
        fcos_r50_fpn_improved_1x().model,
        backbone=settings.lite0(),
        fpn=FPNConfig(channels=64, norm="group"),
        pixels=HALF,
        tower_convs=2,
        ranges=(32, 64, 128, 256),
    )
    return settings.mini("fcos_lite0_fpn_320_mini", model)


def fcos_r18_fpn_shapes() -> Recipe:
    """Improved FCOS on drawn shapes from random weights; a few minutes on 2 CPU cores."""
    from cvzoo.nn.fpn import FPNConfig

    model = replace(
        fcos_r50_fpn_improved_1x().model,
        num_classes=3,
        backbone=settings.narrow_resnet(depth=18, width=32),
        fpn=FPNConfig(channels=64),
        tower_convs=2,
        ranges=(32, 64, 128, 256),
    )
    return settings.shapes("fcos_r18_fpn_shapes", model)


# FreeAnchor


def freeanchor_r50_fpn_1x() -> Recipe:
    """FreeAnchor R-50-FPN, 90 000 iterations of 16 images at 800 px (1909.02466).

    Expected: box AP 38.3 to 38.7.
    """
    from cvzoo.models.freeanchor import FreeAnchorConfig

    return Recipe(
        row="freeanchor_r50_fpn_1x",
        model=FreeAnchorConfig(),
        backbone_weights="imagenet",
        optim=Optim(lr=0.01),
    )


def freeanchor_lite0_fpn_320_mini() -> Recipe:
    """FreeAnchor with EfficientNet-Lite0 on 285 COCO pictures at 320 px: real data in minutes on 2 CPU cores.

    One anchor per cell, as `retinanet_lite0_fpn_320_mini`, so a bag holds fewer of them.
    """
    from cvzoo.models.freeanchor import FreeAnchorConfig
    from cvzoo.nn.fpn import FPNConfig
    from cvzoo.nn.pixels import HALF
    from cvzoo.ops.anchors import AnchorConfig

    model = FreeAnchorConfig(
        backbone=settings.lite0(),
        fpn=FPNConfig(channels=64, norm="group"),
        pixels=HALF,
        anchors=AnchorConfig(sizes=((40,), (80,), (160,), (320,), (640,))),
        tower_convs=2,
        tower_norm="group",
        bag=15,
    )
    return settings.mini("freeanchor_lite0_fpn_320_mini", model)


def freeanchor_r18_fpn_shapes() -> Recipe:
    """FreeAnchor on drawn shapes from random weights; a few minutes on 2 CPU cores."""
    from cvzoo.models.freeanchor import FreeAnchorConfig
    from cvzoo.nn.fpn import FPNConfig
    from cvzoo.ops.anchors import AnchorConfig, octave_sizes

    model = FreeAnchorConfig(
        num_classes=3,
        backbone=settings.narrow_resnet(depth=18, width=32),
        fpn=FPNConfig(channels=64),
        anchors=AnchorConfig(sizes=octave_sizes((24, 48, 96, 192, 384))),
        tower_convs=2,
    )
    return settings.shapes("freeanchor_r18_fpn_shapes", model)


# RepPoints


def _reppoints_1x(row: str, points_to_box: PointsToBox) -> Recipe:
    """The three rows that differ in how points become a box; the gradient is clipped as the authors do."""
    from cvzoo.models.reppoints import RepPointsConfig

    return Recipe(
        row=row,
        model=RepPointsConfig(points_to_box=points_to_box),
        backbone_weights="imagenet",
        optim=Optim(lr=0.01, clip_norm=35.0),
    )


def reppoints_r50_fpn_minmax_1x() -> Recipe:
    """RepPoints R-50-FPN, boxes around all points, 90 000 iterations of 16 images at 800 px (1904.11490).

    Expected: box AP 37.3 to 38.2.
    """
    return _reppoints_1x("reppoints_r50_fpn_minmax_1x", "minmax")


def reppoints_r50_fpn_partial_minmax_1x() -> Recipe:
    """`reppoints_r50_fpn_minmax_1x` with boxes around the first four points. Expected: box AP 38.1."""
    return _reppoints_1x("reppoints_r50_fpn_partial_minmax_1x", "partial_minmax")


def reppoints_r50_fpn_moment_1x() -> Recipe:
    """`reppoints_r50_fpn_minmax_1x` with boxes from mean and spread of the points. Expected: box AP 38.0 to 38.2."""
    return _reppoints_1x("reppoints_r50_fpn_moment_1x", "moment")


def reppoints_r50_fpn_moment_2x() -> Recipe:
    """`reppoints_r50_fpn_moment_1x` for 180 000 iterations. Expected: box AP 38.6."""
    return replace(reppoints_r50_fpn_moment_1x(), row="reppoints_r50_fpn_moment_2x", schedule=SCHEDULE_2X)


def reppoints_r50_fpn_moment_2x_ms() -> Recipe:
    """`reppoints_r50_fpn_moment_2x` on short sides of 480 to 960 px, every 32 px. Expected: box AP 40.2 to 40.8."""
    recipe = reppoints_r50_fpn_moment_2x()
    data = replace(recipe.data, short_sides=tuple(range(480, 961, 32)))
    return replace(recipe, row="reppoints_r50_fpn_moment_2x_ms", data=data)


def reppoints_r101_fpn_moment_2x_ms() -> Recipe:
    """`reppoints_r50_fpn_moment_2x` with ResNet-101, on short sides of 400 to 1400 px, every 40 px, long ones to 1600.

    Expected: box AP 42.2.
    """
    recipe = reppoints_r50_fpn_moment_2x()
    return replace(
        recipe,
        row="reppoints_r101_fpn_moment_2x_ms",
        model=replace(recipe.model, backbone=replace(recipe.model.backbone, depth=101)),
        data=replace(recipe.data, short_sides=tuple(range(400, 1401, 40)), max_long_side=1600),
    )


def reppoints_r101_dcn_fpn_moment_2x() -> Recipe:
    """`reppoints_r50_fpn_moment_2x` with ResNet-101 and deformable convolutions in its layers 2 to 4.

    Expected: box AP 42.9.
    """
    recipe = reppoints_r50_fpn_moment_2x()
    body = replace(recipe.model.backbone, depth=101, deform="v1")
    return replace(recipe, row="reppoints_r101_dcn_fpn_moment_2x", model=replace(recipe.model, backbone=body))


def reppoints_moment_lite0_fpn_320_mini() -> Recipe:
    """RepPoints with EfficientNet-Lite0 on 285 COCO pictures at 320 px: real data in minutes on 2 CPU cores."""
    from cvzoo.nn.pixels import HALF

    default = reppoints_r50_fpn_moment_1x().model
    model = replace(
        default,
        backbone=settings.lite0(),
        fpn=replace(default.fpn, channels=64),
        pixels=HALF,
        tower_convs=2,
    )
    return settings.mini("reppoints_moment_lite0_fpn_320_mini", model)


def _reppoints_shapes(row: str, points_to_box: PointsToBox) -> Recipe:
    from cvzoo.models.reppoints import RepPointsConfig

    default = RepPointsConfig()
    model = replace(
        default,
        num_classes=3,
        backbone=settings.narrow_resnet(depth=18, width=32),
        fpn=replace(default.fpn, channels=64),
        tower_convs=2,
        points_to_box=points_to_box,
    )
    recipe = settings.shapes(row, model)
    return replace(recipe, schedule=replace(recipe.schedule, iterations=1000))


def reppoints_minmax_r18_fpn_shapes() -> Recipe:
    """RepPoints, boxes around all points, on drawn shapes from random weights; some minutes on 2 CPU cores."""
    return _reppoints_shapes("reppoints_minmax_r18_fpn_shapes", "minmax")


def reppoints_partial_minmax_r18_fpn_shapes() -> Recipe:
    """RepPoints, boxes around four points, on drawn shapes from random weights; some minutes on 2 CPU cores."""
    return _reppoints_shapes("reppoints_partial_minmax_r18_fpn_shapes", "partial_minmax")


def reppoints_moment_r18_fpn_shapes() -> Recipe:
    """RepPoints, boxes from mean and spread, on drawn shapes from random weights; some minutes on 2 CPU cores."""
    return _reppoints_shapes("reppoints_moment_r18_fpn_shapes", "moment")


# ATSS


def atss_r50_fpn_1x() -> Recipe:
    """ATSS R-50-FPN, 90 000 iterations of 16 images at 800 px (1912.02424).

    Expected: box AP 39.3.
    """
    from cvzoo.models.atss import ATSSConfig

    return Recipe(
        row="atss_r50_fpn_1x",
        model=ATSSConfig(),
        backbone_weights="imagenet",
        optim=Optim(lr=0.01),
    )


def atss_lite0_fpn_320_mini() -> Recipe:
    """ATSS with EfficientNet-Lite0 on 285 COCO pictures at 320 px: real data in minutes on 2 CPU cores."""
    from cvzoo.models.atss import ANCHORS, ATSSConfig
    from cvzoo.nn.fpn import FPNConfig
    from cvzoo.nn.pixels import HALF

    model = ATSSConfig(
        backbone=settings.lite0(),
        fpn=FPNConfig(channels=64, norm="group"),
        pixels=HALF,
        anchors=replace(ANCHORS, sizes=((40,), (80,), (160,), (320,), (640,))),
        tower_convs=2,
    )
    return settings.mini("atss_lite0_fpn_320_mini", model)


def atss_r18_fpn_shapes() -> Recipe:
    """ATSS on drawn shapes from random weights; a few minutes on 2 CPU cores."""
    from cvzoo.models.atss import ANCHORS, ATSSConfig
    from cvzoo.nn.fpn import FPNConfig

    model = ATSSConfig(
        num_classes=3,
        backbone=settings.narrow_resnet(depth=18, width=32),
        fpn=FPNConfig(channels=64),
        anchors=replace(ANCHORS, sizes=((32,), (64,), (128,), (256,), (512,))),
        tower_convs=2,
    )
    return settings.shapes("atss_r18_fpn_shapes", model)
