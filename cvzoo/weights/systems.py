"""Which system weights are of, and a row's model: they go together when it is the same one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from cvzoo.models.cascade_rcnn import CascadeRCNNConfig
from cvzoo.models.faster_rcnn import FasterRCNNConfig
from cvzoo.models.mask_rcnn import MaskRCNNConfig
from cvzoo.models.retinanet import RetinaNetConfig
from cvzoo.models.tridentnet import TridentNetConfig
from cvzoo.recipes import ROWS
from cvzoo.weights.errors import WeightsError

Detector = RetinaNetConfig | FasterRCNNConfig | MaskRCNNConfig | CascadeRCNNConfig | TridentNetConfig
System = Literal[
    "RetinaNet",
    "Faster R-CNN",
    "Faster R-CNN on C4",
    "Mask R-CNN",
    "Mask R-CNN on C4",
    "Cascade R-CNN",
    "Cascade Mask R-CNN",
]
"""A set of keys. TridentNet shares those of Faster R-CNN on C4: the weights of one are weights of the other."""


def system_of_state(state: Mapping[str, Tensor]) -> System:
    """The system of a detector's state (our keys)."""
    parts = {key.split(".")[0] for key in state}
    if "rpn" not in parts:
        return "RetinaNet"
    if "box_heads" in parts:
        return "Cascade Mask R-CNN" if "mask_heads" in parts else "Cascade R-CNN"
    if "mask_head" in parts:
        return "Mask R-CNN" if "neck" in parts else "Mask R-CNN on C4"
    return "Faster R-CNN" if "neck" in parts else "Faster R-CNN on C4"


def system_of(config: Detector) -> System:
    """The system whose weights fit a model."""
    match config:
        case RetinaNetConfig():
            return "RetinaNet"
        case FasterRCNNConfig():
            return "Faster R-CNN" if config.fpn else "Faster R-CNN on C4"
        case TridentNetConfig():
            return "Faster R-CNN on C4"
        case MaskRCNNConfig():
            return "Mask R-CNN" if config.fpn else "Mask R-CNN on C4"
        case CascadeRCNNConfig():
            return "Cascade Mask R-CNN" if config.mask_head else "Cascade R-CNN"


def check_system(state: Mapping[str, Tensor], model: Detector, source: str, row: str | None = None) -> None:
    """WeightsError when `state` (our keys) is of another system than a row's model; it names `row`, or rows that fit.

    A mask branch more or less makes another system, too: no part of the weights is dropped in silence.
    """
    theirs = system_of_state(state)
    if theirs != system_of(model):
        rows = [row] if row else [name for name, row in ROWS.items() if system_of(row.recipe().model) == theirs]
        fitting = f" ({', '.join(rows)})" if rows else ""
        raise WeightsError(
            f"{source} holds a {theirs}, the row is another system; choose a row of that system{fitting}, or start"
            f" from the backbone alone: --weights None --backbone-weights {source}"
        )
