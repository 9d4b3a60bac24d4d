"""How many classes weights score, which classes of a data set these are, and which outputs of a layer are a class's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from cvzoo.weights.errors import WeightsError


class Outputs(NamedTuple):
    """Which entries of a tensor are outputs for the classes: some for each class, and behind them others."""

    axis: int
    """The dimension that grows with the number of classes."""
    per_class: int
    besides: int
    fastest: bool
    """Whether the class runs fastest (anchors x classes), not slowest (classes x 4)."""

    def of_classes(self, count: int) -> Tensor:
        """(count, per_class) int64: the entries of each of `count` classes."""
        entries = torch.arange(count * self.per_class)
        return entries.view(self.per_class, count).T if self.fastest else entries.view(count, self.per_class)

    def of_others(self, count: int) -> Tensor:
        """(besides,) int64: the entries behind those of `count` classes, such as that of the background."""
        return torch.arange(self.besides) + count * self.per_class


def scored_classes(state: Mapping[str, Tensor], config: Any) -> int:
    """Classes that a state (our keys) scores in a network of this config, which may score others.

    WeightsError when it has none of the layers that grow with the number of classes.
    """
    for key, outputs in outputs_of(config).items():
        if key in state:
            return (state[key].shape[outputs.axis] - outputs.besides) // outputs.per_class
    raise WeightsError(
        "the weights are not of a system that cvzoo knows: they have no class scores where it has them; a backbone"
        " alone goes to --backbone-weights"
    )


def with_classes_of(state: Mapping[str, Tensor], config: Any) -> Any:
    """The config with as many classes as the state scores."""
    count = scored_classes(state, config)
    return config if count == config.num_classes else scoring(config, count)


def class_count(config: Any) -> int:
    """Classes of the data set that a config tells apart; torchvision's have more outputs than that."""
    class_ids = getattr(config, "class_ids", ())  # in segmentation every output is a class
    return max(class_ids, default=config.num_classes - 1) + 1


def scoring(config: Any, count: int) -> Any:
    """The config with this many classes, each one of the data set's."""
    return replace(config, num_classes=count, **({"class_ids": ()} if hasattr(config, "class_ids") else {}))


@lru_cache(maxsize=64)
def outputs_of(config: Any) -> dict[str, Outputs]:
    """The tensors that grow with the number of classes, by key: those in which two networks differ."""
    with torch.device("meta"):
        model, larger = (scoring(config, count).build() for count in (2, 3))
    three = larger.state_dict()
    return {
        key: _grown(tensor, three[key], _fastest(model, key))
        for key, tensor in model.state_dict().items()
        if tensor.shape != three[key].shape
    }


def _grown(two: Tensor, three: Tensor, fastest: bool) -> Outputs:
    (axis,) = (axis for axis, (before, after) in enumerate(zip(two.shape, three.shape)) if before != after)
    per_class = three.shape[axis] - two.shape[axis]
    return Outputs(axis, per_class, two.shape[axis] - 2 * per_class, fastest)


def _fastest(model: nn.Module, key: str) -> bool:
    """Shapes do not tell the order of several outputs for a class; the head whose layer it is does."""
    head, _, layer = key.rpartition(".")[0].rpartition(".")
    return layer in getattr(model.get_submodule(head), "CLASSES_FASTEST", ())
