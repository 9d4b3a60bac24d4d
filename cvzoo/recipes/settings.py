"""How models are trained, where several rows do it alike. Imports no torch: functions import what needs it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cvzoo.data.config import Data
from cvzoo.recipes.data_sets import CAMVID, COCO_320, SHAPES, SHAPES_LABEL_MAPS
from cvzoo.recipes.recipe import Optim, Recipe, Run, Schedule

if TYPE_CHECKING:
    from cvzoo.nn.resnet import ResNetConfig
    from cvzoo.nn.timm_backbone import TimmConfig

SCHEDULE_2X = Schedule(iterations=180_000, milestones=(120_000, 160_000))
"""Twice the usual training."""

SHAPES_OPTIM = Optim(name="adamw", lr=2e-3, weight_decay=0.01, clip_norm=10.0)
"""Of small models from random weights."""
SHAPES_SCHEDULE = Schedule(iterations=500, batch=16, policy="cosine", warmup_iterations=50, warmup_factor=0.01)
SHAPES_RUN = Run(log_every=10, checkpoint_every=250)

MINI_OPTIM = Optim(name="adamw", lr=1.5e-3, weight_decay=0.01, clip_norm=10.0, backbone_lr_factor=0.3, ema_decay=0.99)
"""Of small heads on ImageNet features."""
MINI_SCHEDULE = Schedule(
    iterations=1500, batch=8, base_batch=8, policy="cosine", warmup_iterations=75, warmup_factor=0.01
)
"""Half an hour on 2 CPU cores; 42 epochs of the 285 images."""
MINI_RUN = Run(log_every=20, checkpoint_every=250, channels_last=True)

SEMANTIC_SGD = Optim(lr=0.01, weight_decay=5e-4, norm_weight_decay=5e-4)
"""mmsegmentation's."""


def mini(row: str, model: Any, masks: bool = False) -> Recipe:
    """Half an hour at most on COCO_320, from ImageNet features."""
    return Recipe(
        row=row,
        model=model,
        backbone_weights="imagenet",
        data=replace(COCO_320, masks=masks),
        optim=MINI_OPTIM,
        schedule=MINI_SCHEDULE,
        run=MINI_RUN,
    )


def shapes(row: str, model: Any, masks: bool = False) -> Recipe:
    """A few minutes on SHAPES, from random weights."""
    return Recipe(
        row=row,
        model=model,
        data=replace(SHAPES, masks=masks),
        optim=SHAPES_OPTIM,
        schedule=SHAPES_SCHEDULE,
        run=SHAPES_RUN,
    )


def poly(iterations: int, batch: int, floor: float = 0.01) -> Schedule:
    """Of `batch` images, for which the learning rate is meant; mmsegmentation ends with a hundredth of it."""
    return Schedule(
        iterations=iterations, batch=batch, base_batch=batch, policy="poly", floor=floor, warmup_iterations=0
    )


def mmsegmentation(row: str, model: Any, data: Data, schedule: Schedule) -> Recipe:
    """A network for semantic segmentation as mmsegmentation trains it."""
    return Recipe(row=row, model=model, backbone_weights="imagenet", data=data, optim=SEMANTIC_SGD, schedule=schedule)


def camvid(row: str, model: Any) -> Recipe:
    """Half an hour at most on CAMVID, from ImageNet features."""
    return Recipe(
        row=row,
        model=model,
        backbone_weights="imagenet",
        data=CAMVID,
        optim=MINI_OPTIM,
        schedule=replace(poly(iterations=1000, batch=8, floor=0.0), warmup_iterations=50),
        run=MINI_RUN,
    )


def shapes_label_maps(row: str, model: Any) -> Recipe:
    """A few minutes on SHAPES_LABEL_MAPS: a little longer than detectors need, to tell ellipses apart."""
    return lasting(replace(shapes(row, model), data=SHAPES_LABEL_MAPS), iterations=600)


def lasting(recipe: Recipe, iterations: int) -> Recipe:
    """The recipe with so many iterations."""
    return replace(recipe, schedule=replace(recipe.schedule, iterations=iterations))


def narrow_resnet(depth: int, width: int) -> ResNetConfig:
    """A thin body that is trained from random weights, norms included."""
    from cvzoo.nn.resnet import ResNetConfig

    return ResNetConfig(depth=depth, width=width, norm="batch", frozen_stages=0)  # pyright: ignore[reportArgumentType]


def lite0() -> TimmConfig:
    """EfficientNet-Lite0, its ImageNet features held fixed up to C4."""
    from cvzoo.nn.timm_backbone import TimmConfig

    return TimmConfig(name="tf_efficientnet_lite0", frozen_outputs=3)
