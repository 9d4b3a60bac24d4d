"""A recipe on another body: any timm network in place of the row's own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cvzoo.recipes.recipe import Recipe


def on_body(recipe: Recipe, body: str) -> Recipe:
    """The recipe with another body, `timm:NAME`, which sees pixels as it was trained to.

    All other fields stay as the row has them. ValueError where there is no such network, where it yields no maps for a
    body, or where the row's system works on the stages of a ResNet.
    """
    import timm
    from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

    from cvzoo.nn.timm_backbone import TimmConfig

    toolbox, _, name = body.partition(":")
    if toolbox != "timm" or not name:
        raise ValueError(f"--model.backbone takes timm:NAME, as timm:convnext_tiny, not {body!r}")
    model: Any = recipe.model
    config = TimmConfig(name=name, output_stride=getattr(model.backbone, "output_stride", 32))
    config.check()
    mean, std = (
        tuple(255 * x for x in timm.get_pretrained_cfg_value(name, part) or usual)
        for part, usual in (("mean", IMAGENET_DEFAULT_MEAN), ("std", IMAGENET_DEFAULT_STD))
    )
    pixels = replace(model.pixels, mean=mean, std=std, bgr=False)
    return replace(recipe, model=replace(model, backbone=config, pixels=pixels))
