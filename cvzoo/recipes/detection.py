"""Object detection: one function per row. Model classes are imported inside, so that listing the rows needs no torch."""

from __future__ import annotations

from cvzoo.data.config import Data, Shapes
from cvzoo.recipes.recipe import Optim, Recipe, Run, Schedule


def retinanet_r18_fpn_shapes() -> Recipe:
    """RetinaNet on drawn shapes from random weights: the demo; under 5 minutes on 2 CPU cores."""
    from cvzoo.models.retinanet import RetinaNetConfig
    from cvzoo.nn.fpn import FPNConfig
    from cvzoo.nn.resnet import ResNetConfig

    return Recipe(
        row="retinanet_r18_fpn_shapes",
        model=RetinaNetConfig(
            num_classes=3,
            backbone=ResNetConfig(depth=18, width=32, norm="batch", frozen_stages=0),
            fpn=FPNConfig(channels=64),
            tower_convs=2,
        ),
        data=Data(source="shapes", shapes=Shapes(size=128), short_sides=(128,), test_short_side=128, max_long_side=128, workers=0),
        optim=Optim(name="adamw", lr=2e-3, weight_decay=0.01, clip_norm=10.0),
        schedule=Schedule(iterations=500, batch=16, policy="cosine", warmup_iterations=50, warmup_factor=0.01),
        run=Run(log_every=10, checkpoint_every=250),
    )
