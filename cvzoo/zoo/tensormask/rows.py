"""The rows of TensorMask. Imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cvzoo.data.config import Data
from cvzoo.recipes import Optim, Recipe, settings
from cvzoo.zoo.published import cvpods, detectron2, original
from cvzoo.zoo.system import Row, System

if TYPE_CHECKING:
    from cvzoo.ops.anchors import AnchorConfig


def tensormask_r50_fpn_1x() -> Recipe:
    """TensorMask R-50-FPN with the aligned bipyramid, 90 000 iterations of 16 images at 800 px (1903.12174)."""
    from cvzoo.zoo.tensormask.model import TensorMaskConfig

    return Recipe(
        row="tensormask_r50_fpn_1x",
        model=TensorMaskConfig(),
        backbone_weights="imagenet",
        data=Data(masks=True),
        optim=Optim(lr=0.02),
    )


def tensormask_lite0_fpn_320_mini() -> Recipe:
    """TensorMask with EfficientNet-Lite0 on 285 COCO images at 320 px: real data in half an hour on 2 CPU cores.

    The finest level is P3: masks of 8 pixels a cell, a quarter of the arithmetic.
    """
    from cvzoo.nn.fpn import FPNConfig
    from cvzoo.nn.pixels import MINUS_ONE_TO_ONE
    from cvzoo.zoo.tensormask.model import TensorMaskConfig

    model = TensorMaskConfig(
        backbone=settings.lite0(),
        fpn=FPNConfig(channels=64, norm="group", extra_from="input", fuse="mean"),
        pixels=MINUS_ONE_TO_ONE,
        windows=small_windows(8, 16, 32, 64, 128),
        **SMALL_HEAD,
    )
    return settings.mini("tensormask_lite0_fpn_320_mini", model, masks=True)


def tensormask_r18_fpn_shapes() -> Recipe:
    """TensorMask on drawn shapes from random weights; a few minutes on 2 CPU cores."""
    from cvzoo.nn.fpn import FPNConfig
    from cvzoo.zoo.tensormask.model import TensorMaskConfig

    model = TensorMaskConfig(
        num_classes=3,
        backbone=settings.narrow_resnet(depth=18, width=32),
        fpn=FPNConfig(first_level=2, channels=64, extra="none", fuse="mean"),
        windows=small_windows(4, 8, 16, 32),
        **SMALL_HEAD,
    )
    return settings.lasting(settings.shapes("tensormask_r18_fpn_shapes", model, masks=True), iterations=600)


SMALL_HEAD: dict[str, Any] = {"tower_convs": 2, "cls_channels": 64, "box_channels": 64, "mask_channels": 64}
"""Thin towers."""


def small_windows(*strides: int) -> AnchorConfig:
    """Half as wide as usual: 5 and 7 cells."""
    from cvzoo.ops.anchors import AnchorConfig

    return AnchorConfig(sizes=tuple((5 * s, 7 * s) for s in strides), ratios=((1.0,),), strides=strides)


PAGE = "projects/TensorMask"
SYSTEM = System(
    name="TensorMask",
    papers={"1903.12174": "TensorMask: A Foundation for Dense Object Segmentation"},
    module=__name__,
    rows=(
        Row(
            recipe=tensormask_r50_fpn_1x,
            task="instance",
            backbone="R-50-FPN",
            schedule="1x",
            published=(
                detectron2(
                    "TensorMask/tensormask_R_50_FPN_1x/152549419/model_final_8f325c",
                    page=PAGE,
                    note="",
                    box_AP=0.376,
                    mask_AP=0.324,
                ),
                detectron2(
                    "TensorMask/tensormask_R_50_FPN_6x/153538791/model_final_e8df31",
                    name="detectron2_6x",
                    page=PAGE,
                    note="6x, 640-800",
                    box_AP=0.414,
                    mask_AP=0.358,
                ),
            ),
            references=(
                original(box_AP=0.374, mask_AP=0.325),
                cvpods(
                    "segmentation/coco/tensormask/tensormask.res50.fpn.coco.800size.1x", box_AP=0.375, mask_AP=0.323
                ),
            ),
        ),
        Row(
            recipe=tensormask_lite0_fpn_320_mini,
            task="instance",
            backbone="EfficientNet-Lite0-FPN",
            data="COCO mini",
            schedule="1500 it",
        ),
        Row(
            recipe=tensormask_r18_fpn_shapes,
            task="instance",
            backbone="R-18-FPN, 1/2 width",
            data="shapes",
            schedule="600 it",
        ),
    ),
)
