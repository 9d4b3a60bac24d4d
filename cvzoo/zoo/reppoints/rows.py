"""The rows of RepPoints. Imports no torch."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cvzoo.recipes import Optim, Recipe, settings
from cvzoo.zoo.published import cvpods, mmdetection, original
from cvzoo.zoo.system import Reference, Row, System

if TYPE_CHECKING:
    from cvzoo.zoo.reppoints.model import PointsToBox


def _reppoints_1x(row: str, points_to_box: PointsToBox) -> Recipe:
    """The rows that differ in how points become a box; the gradient is clipped as the authors do."""
    from cvzoo.zoo.reppoints.model import RepPointsConfig

    return Recipe(
        row=row,
        model=RepPointsConfig(points_to_box=points_to_box),
        backbone_weights="imagenet",
        optim=Optim(lr=0.01, clip_norm=35.0),
    )


def reppoints_r50_fpn_minmax_1x() -> Recipe:
    """RepPoints R-50-FPN, boxes around all points, 90 000 iterations of 16 images at 800 px (1904.11490)."""
    return _reppoints_1x("reppoints_r50_fpn_minmax_1x", "minmax")


def reppoints_r50_fpn_partial_minmax_1x() -> Recipe:
    """`reppoints_r50_fpn_minmax_1x` with boxes around the first four points."""
    return _reppoints_1x("reppoints_r50_fpn_partial_minmax_1x", "partial_minmax")


def reppoints_r50_fpn_grid_1x() -> Recipe:
    """`reppoints_r50_fpn_minmax_1x` with points that are a grid in a regressed box, what the paper improves on."""
    return _reppoints_1x("reppoints_r50_fpn_grid_1x", "grid")


def reppoints_r50_fpn_moment_1x() -> Recipe:
    """`reppoints_r50_fpn_minmax_1x` with boxes from mean and spread of the points."""
    return _reppoints_1x("reppoints_r50_fpn_moment_1x", "moment")


def reppoints_r50_fpn_moment_2x() -> Recipe:
    """`reppoints_r50_fpn_moment_1x` for 180 000 iterations."""
    return replace(reppoints_r50_fpn_moment_1x(), row="reppoints_r50_fpn_moment_2x", schedule=settings.SCHEDULE_2X)


def reppoints_r50_fpn_moment_2x_ms() -> Recipe:
    """`reppoints_r50_fpn_moment_2x` on short sides of 480 to 960 px, every 32 px."""
    recipe = reppoints_r50_fpn_moment_2x()
    data = replace(recipe.data, short_sides=tuple(range(480, 961, 32)))
    return replace(recipe, row="reppoints_r50_fpn_moment_2x_ms", data=data)


def reppoints_r101_fpn_moment_2x_ms() -> Recipe:
    """`reppoints_r50_fpn_moment_2x` with ResNet-101, on short sides of 400 to 1400 px by 40, long ones to 1600."""
    recipe = reppoints_r50_fpn_moment_2x()
    return replace(
        recipe,
        row="reppoints_r101_fpn_moment_2x_ms",
        model=replace(recipe.model, backbone=replace(recipe.model.backbone, depth=101)),
        data=replace(recipe.data, short_sides=tuple(range(400, 1401, 40)), max_long_side=1600),
    )


def reppoints_r101_dcn_fpn_moment_2x() -> Recipe:
    """`reppoints_r50_fpn_moment_2x` with ResNet-101 and deformable convolutions in its layers 2 to 4."""
    recipe = reppoints_r50_fpn_moment_2x()
    body = replace(recipe.model.backbone, depth=101, deform="v1")
    return replace(recipe, row="reppoints_r101_dcn_fpn_moment_2x", model=replace(recipe.model, backbone=body))


def reppoints_moment_lite0_fpn_320_mini() -> Recipe:
    """RepPoints with EfficientNet-Lite0 on 285 COCO images at 320 px: real data in minutes on 2 CPU cores."""
    from cvzoo.nn.pixels import MINUS_ONE_TO_ONE

    default = reppoints_r50_fpn_moment_1x().model
    model = replace(
        default,
        backbone=settings.lite0(),
        fpn=replace(default.fpn, channels=64),
        pixels=MINUS_ONE_TO_ONE,
        tower_convs=2,
    )
    return settings.mini("reppoints_moment_lite0_fpn_320_mini", model)


def _reppoints_shapes(row: str, points_to_box: PointsToBox) -> Recipe:
    from cvzoo.zoo.reppoints.model import RepPointsConfig

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


AUTHORS = "https://github.com/microsoft/RepPoints"
SYSTEM = System(
    name="RepPoints",
    papers={"1904.11490": "RepPoints: Point Set Representation for Object Detection"},
    module=__name__,
    rows=(
        Row(
            recipe=reppoints_r50_fpn_minmax_1x,
            backbone="R-50-FPN",
            schedule="1x, min-max",
            references=(
                original(mem_gb=2.913, train=0.41, inf=0.0608, box_AP=0.373),
                Reference(name="authors", results={"box_AP": 0.382}, page=AUTHORS),
            ),
        ),
        Row(
            recipe=reppoints_r50_fpn_partial_minmax_1x,
            backbone="R-50-FPN",
            schedule="1x, partial min-max",
            references=(
                original(mem_gb=2.914, train=0.40, inf=0.0624, box_AP=0.381),
                Reference(name="authors", results={"box_AP": 0.381}, page=AUTHORS),
                cvpods("detection/coco/reppoints/reppoints.res50.fpn.coco.800size.1x.partial_minmax", box_AP=0.382),
            ),
        ),
        Row(
            recipe=reppoints_r50_fpn_grid_1x,
            backbone="R-50-FPN",
            schedule="1x, grid",
            published=(
                mmdetection(
                    "reppoints/bbox_r50_grid_center_fpn_gn-neck%2Bhead_1x_coco"
                    "/bbox_r50_grid_center_fpn_gn-neck%2Bhead_1x_coco_20200330-00f73d58",
                    box_AP=0.374,
                ),
                mmdetection(
                    "reppoints/bbox_r50_grid_fpn_gn-neck%2Bhead_1x_coco"
                    "/bbox_r50_grid_fpn_gn-neck%2Bhead_1x_coco_20200329-c98bfa96",
                    name="mmdetection_anchor",
                    note="first boxes trained by IoU",
                    box_AP=0.364,
                ),
            ),
        ),
        Row(
            recipe=reppoints_r50_fpn_moment_1x,
            backbone="R-50-FPN",
            schedule="1x, moment",
            published=(
                mmdetection(
                    "reppoints/reppoints_moment_r50_fpn_gn-neck%2Bhead_1x_coco"
                    "/reppoints_moment_r50_fpn_gn-neck%2Bhead_1x_coco_20200329-4b38409a",
                    box_AP=0.381,
                ),
                mmdetection(
                    "reppoints/reppoints_moment_r50_fpn_1x_coco/reppoints_moment_r50_fpn_1x_coco_20200330-b73db8d1",
                    name="mmdetection_without_norm",
                    note="without norms",
                    box_AP=0.370,
                ),
            ),
            references=(
                original(mem_gb=2.914, train=0.40, inf=0.0609, box_AP=0.380),
                Reference(name="authors", results={"box_AP": 0.382}, page=AUTHORS),
            ),
        ),
        Row(
            recipe=reppoints_r50_fpn_moment_2x,
            backbone="R-50-FPN",
            schedule="2x, moment",
            published=(
                mmdetection(
                    "reppoints/reppoints_moment_r50_fpn_gn-neck%2Bhead_2x_coco"
                    "/reppoints_moment_r50_fpn_gn-neck%2Bhead_2x_coco_20200329-91babaa2",
                    box_AP=0.386,
                ),
                mmdetection(
                    "reppoints/reppoints_moment_r101_fpn_gn-neck%2Bhead_2x_coco"
                    "/reppoints_moment_r101_fpn_gn-neck%2Bhead_2x_coco_20200329-4fbc7310",
                    name="mmdetection_r101",
                    note="R-101",
                    box_AP=0.405,
                ),
            ),
            references=(
                original(mem_gb=2.916),
                Reference(name="authors", results={"box_AP": 0.386}, page=AUTHORS),
            ),
        ),
        Row(
            recipe=reppoints_r50_fpn_moment_2x_ms,
            backbone="R-50-FPN",
            schedule="2x, 480-960, moment",
            references=(
                original(mem_gb=3.377, train=0.45, inf=0.0632, box_AP=0.402),
                Reference(name="authors", results={"box_AP": 0.408}, page=AUTHORS),
            ),
        ),
        Row(
            recipe=reppoints_r101_fpn_moment_2x_ms,
            backbone="R-101-FPN",
            schedule="2x, 400-1400, moment",
            references=(
                original(mem_gb=4.687, train=0.59, inf=0.0805, box_AP=0.422),
                Reference(name="authors", results={"box_AP": 0.423}, page=AUTHORS),
            ),
        ),
        Row(
            recipe=reppoints_r101_dcn_fpn_moment_2x,
            backbone="R-101-DCN-FPN",
            schedule="2x, moment",
            published=(
                mmdetection(
                    "reppoints/reppoints_moment_r101_fpn_dconv_c3-c5_gn-neck%2Bhead_2x_coco"
                    "/reppoints_moment_r101_fpn_dconv_c3-c5_gn-neck%2Bhead_2x_coco_20200329-3309fbf2",
                    box_AP=0.429,
                ),
            ),
        ),
        Row(
            recipe=reppoints_moment_lite0_fpn_320_mini,
            backbone="EfficientNet-Lite0-FPN",
            data="COCO mini",
            schedule="1500 it, moment",
        ),
        Row(
            recipe=reppoints_minmax_r18_fpn_shapes,
            backbone="R-18-FPN, 1/2 width",
            data="shapes",
            schedule="1000 it, min-max",
        ),
        Row(
            recipe=reppoints_partial_minmax_r18_fpn_shapes,
            backbone="R-18-FPN, 1/2 width",
            data="shapes",
            schedule="1000 it, partial min-max",
        ),
        Row(
            recipe=reppoints_moment_r18_fpn_shapes,
            backbone="R-18-FPN, 1/2 width",
            data="shapes",
            schedule="1000 it, moment",
        ),
    ),
)
