"""The rows of CornerNet. Imports no torch."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cvzoo.recipes import Optim, Recipe, Schedule, settings
from cvzoo.recipes.data_sets import COCO_512
from cvzoo.zoo.published import mmdetection
from cvzoo.zoo.system import Reference, Row, System

if TYPE_CHECKING:
    from cvzoo.zoo.cornernet.model import CornerNetConfig


def cornernet_hourglass104_511() -> Recipe:
    """CornerNet Hourglass-104 on crops of 511 px, 500 000 iterations of 49 images (1808.01244)."""
    from cvzoo.zoo.cornernet.model import CornerNetConfig

    return Recipe(
        row="cornernet_hourglass104_511",
        model=CornerNetConfig(),
        data=replace(COCO_512, crop=(511, 511), window_side=511),
        optim=Optim(name="adamw", lr=2.5e-4, weight_decay=0.0),
        schedule=Schedule(iterations=500_000, batch=49, base_batch=49, milestones=(450_000,), warmup_iterations=0),
    )


def cornernet_hourglass_320_mini() -> Recipe:
    """CornerNet with one narrow hourglass on 285 COCO images at 320 px, from random weights, on 2 CPU cores."""
    recipe = settings.mini("cornernet_hourglass_320_mini", narrow(num_classes=80))
    return replace(recipe, backbone_weights=None)


def cornernet_hourglass_shapes() -> Recipe:
    """CornerNet with one narrow hourglass on drawn shapes from random weights; minutes on 2 CPU cores."""
    return settings.lasting(settings.shapes("cornernet_hourglass_shapes", narrow(num_classes=3)), iterations=1000)


def narrow(num_classes: int) -> CornerNetConfig:
    """One hourglass of few channels."""
    from cvzoo.nn.hourglass import HourglassConfig
    from cvzoo.nn.pixels import Pixels
    from cvzoo.zoo.cornernet.model import CornerNetConfig

    return CornerNetConfig(
        num_classes=num_classes,
        backbone=HourglassConfig(stacks=1, stem_channels=16, channels=(32, 32, 48, 64), blocks=(1, 1, 1, 1), width=32),
        pixels=Pixels(),
        frame=None,
        pool_channels=16,
        branch_channels=32,
    )


PAPER = "https://arxiv.org/abs/1808.01244v1"
STORE = "cornernet/cornernet_hourglass104_mstest"
SYSTEM = System(
    name="CornerNet",
    papers={"1808.01244": "CornerNet: Detecting Objects as Paired Keypoints"},
    module=__name__,
    rows=(
        Row(
            recipe=cornernet_hourglass104_511,
            backbone="Hourglass-104",
            schedule="500 000 it",
            published=(
                mmdetection(
                    f"{STORE}_10x5_210e_coco/cornernet_hourglass104_mstest_10x5_210e_coco_20200824_185720-5fefbf1c",
                    note="210 epochs of 10 x 5",
                    box_AP=0.412,
                ),
                mmdetection(
                    f"{STORE}_8x6_210e_coco/cornernet_hourglass104_mstest_8x6_210e_coco_20200825_150618-79b44c30",
                    name="mmdetection_8x6",
                    note="210 epochs of 8 x 6",
                    box_AP=0.412,
                ),
                mmdetection(
                    f"{STORE}_32x3_210e_coco/cornernet_hourglass104_mstest_32x3_210e_coco_20200819_203110-1efaea91",
                    name="mmdetection_32x3",
                    note="210 epochs of 32 x 3",
                    box_AP=0.404,
                ),
            ),
            references=(Reference(name="authors", results={"box_AP": 0.405}, page=PAPER, note="test-dev"),),
        ),
        Row(recipe=cornernet_hourglass_320_mini, backbone="Hourglass, 4 levels", data="COCO mini", schedule="1500 it"),
        Row(recipe=cornernet_hourglass_shapes, backbone="Hourglass, 4 levels", data="shapes", schedule="1000 it"),
    ),
)
