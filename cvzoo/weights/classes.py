"""How many classes weights score, and which classes of a data set these are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from torch import Tensor

from cvzoo.weights.errors import WeightsError

Config = TypeVar("Config")
BOX_HEADS = ("box_head.cls_out.bias", "box_heads.0.cls_out.bias")
CLASSIFIERS = ("head.classifier.conv.bias", "head.cls.out.bias", "head.top_left.0.heat.out.bias")
"""Of networks that score every pixel, or the cells of one map or of several."""


def scored_classes(state: Mapping[str, Tensor]) -> int:
    """Classes that a state (our keys) scores, without a detector's background. WeightsError when it scores none."""
    for key in BOX_HEADS:
        if key in state:
            return len(state[key]) - 1
    for key in CLASSIFIERS:
        if key in state:
            return len(state[key])
    if state.keys() >= {"head.cls_out.bias", "head.box_out.bias"}:  # A * K scores beside A * 4 deltas
        return 4 * len(state["head.cls_out.bias"]) // len(state["head.box_out.bias"])
    if "head.cls_out.bias" in state:  # one candidate per cell
        return len(state["head.cls_out.bias"])
    raise WeightsError(
        "the weights are not of a system that cvzoo knows: they have no class scores where it has them; a backbone"
        " alone goes to --backbone-weights"
    )


def with_classes_of(state: Mapping[str, Tensor], config: Any) -> Any:
    """The config with as many classes as the state scores."""
    return replace(config, num_classes=scored_classes(state))


def class_count(config: Any) -> int:
    """Classes of the data set that a config tells apart; torchvision's have more outputs than that."""
    class_ids = getattr(config, "class_ids", ())  # in segmentation every output is a class
    return max(class_ids, default=config.num_classes - 1) + 1
