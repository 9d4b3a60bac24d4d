"""The two COCO rows made narrow: a tenth of a second to build, all parts present."""

from dataclasses import replace
from typing import Any

from torch import nn

from cvzoo.recipes import ROWS, Recipe

RETINANET, FASTER_RCNN = "retinanet_r50_fpn_1x", "faster_rcnn_r50_fpn_1x"


def narrow(row: str, **model_options: Any) -> Recipe[Any]:
    """The row's recipe without ImageNet weights, its model narrowed, `model_options` changed."""
    recipe = ROWS[row].recipe()
    model = recipe.model
    sizes = {
        "backbone": replace(model.backbone, depth=18, width=8),
        "fpn": replace(model.fpn, channels=16),
    }
    if row == RETINANET:
        sizes["tower_convs"] = 2
    else:
        sizes["box_head"] = replace(model.box_head, fc_channels=8)
    return replace(recipe, backbone_weights=None, model=replace(model, **sizes, **model_options))


def equal_states(a: nn.Module, b: nn.Module) -> bool:
    """Same keys, same values."""
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(left[key].equal(right[key]) for key in left)
