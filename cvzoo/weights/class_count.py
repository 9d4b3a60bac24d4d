"""How many classes weights score, and which classes of a data set these are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cvzoo.weights.errors import WeightsError


class Outputs(NamedTuple):
    """How many outputs a layer has: some for each class, and others besides."""

    per_class: int
    besides: int


def scored_classes(state: Mapping[str, Tensor], config: Any) -> int:
    """Classes that a state (our keys) scores in a network of this config, which may score others.

    WeightsError when it has none of the layers that grow with the number of classes.
    """
    for key, outputs in _outputs_of(config).items():
        if key in state:
            return (len(state[key]) - outputs.besides) // outputs.per_class
    raise WeightsError(
        "the weights are not of a system that cvzoo knows: they have no class scores where it has them; a backbone"
        " alone goes to --backbone-weights"
    )


def with_classes_of(state: Mapping[str, Tensor], config: Any) -> Any:
    """The config with as many classes as the state scores."""
    count = scored_classes(state, config)
    return config if count == config.num_classes else _scoring(config, count)


def class_count(config: Any) -> int:
    """Classes of the data set that a config tells apart; torchvision's have more outputs than that."""
    class_ids = getattr(config, "class_ids", ())  # in segmentation every output is a class
    return max(class_ids, default=config.num_classes - 1) + 1


@lru_cache(maxsize=64)
def _outputs_of(config: Any) -> dict[str, Outputs]:
    """The layers that grow with the number of classes, by key: those in which two networks differ."""
    with torch.device("meta"):
        two, three = (_scoring(config, count).build().state_dict() for count in (2, 3))
    growth = {key: len(three[key]) - len(x) for key, x in two.items() if x.shape != three[key].shape}
    return {key: Outputs(growing, len(two[key]) - 2 * growing) for key, growing in growth.items()}


def _scoring(config: Any, count: int) -> Any:
    """The config with this many classes, each one of the data set's."""
    return replace(config, num_classes=count, **({"class_ids": ()} if hasattr(config, "class_ids") else {}))
