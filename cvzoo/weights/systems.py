"""Which system weights are of, and a row's model: they go together when it is the same one."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Literal

from torch import Tensor

from cvzoo.models.atss import ATSSConfig
from cvzoo.models.cascade_rcnn import CascadeRCNNConfig
from cvzoo.models.deeplabv3plus import DeepLabV3PlusConfig
from cvzoo.models.faster_rcnn import FasterRCNNConfig
from cvzoo.models.fcn import FCNConfig
from cvzoo.models.fcos import FCOSConfig
from cvzoo.models.freeanchor import FreeAnchorConfig
from cvzoo.models.gcnet import GCNetConfig
from cvzoo.models.mask_rcnn import MaskRCNNConfig
from cvzoo.models.pspnet import PSPNetConfig
from cvzoo.models.reppoints import RepPointsConfig
from cvzoo.models.retinanet import RetinaNetConfig
from cvzoo.models.treefilter import TreeFilterConfig
from cvzoo.models.tridentnet import TridentNetConfig
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.nn.timm_backbone import TimmConfig
from cvzoo.recipes import ROWS
from cvzoo.weights.errors import WeightsError

DetectorConfig = (
    RetinaNetConfig
    | FreeAnchorConfig
    | FCOSConfig
    | ATSSConfig
    | RepPointsConfig
    | FasterRCNNConfig
    | MaskRCNNConfig
    | CascadeRCNNConfig
    | TridentNetConfig
)
SegmenterConfig = FCNConfig | PSPNetConfig | DeepLabV3PlusConfig | GCNetConfig | TreeFilterConfig
ModelConfig = DetectorConfig | SegmenterConfig
System = Literal[
    "RetinaNet",
    "FreeAnchor",
    "FCOS",
    "ATSS",
    "RepPoints",
    "RepPoints with moments",
    "Faster R-CNN",
    "Faster R-CNN on C4",
    "Mask R-CNN",
    "Mask R-CNN with context blocks",
    "Mask R-CNN on C4",
    "Cascade R-CNN",
    "Cascade Mask R-CNN",
    "FCN",
    "PSPNet",
    "DeepLab v3",
    "DeepLab v3+",
    "GCNet",
    "TreeFilter",
]
"""What weights are for. TridentNet's and those of Faster R-CNN on C4 are for either."""
WITHOUT_ROWS: dict[System, str] = {"DeepLab v3": "one of DeepLab v3+ with --model.low-channels 0"}
"""What to do with weights of a system that has no row of its own."""
CLASSIFIER = re.compile(r"^head\.classifier\.conv\.bias$")
"""Of networks for semantic segmentation: a score per class of every pixel."""
SEGMENTERS: dict[str, System] = {
    "convs": "FCN",
    "pyramid": "PSPNet",
    "low": "DeepLab v3+",
    "aspp": "DeepLab v3",
    "context": "GCNet",
    "finer": "TreeFilter",
}
"""A part of the head that tells a system for semantic segmentation. DeepLab v3+ has v3's, too, and comes first."""
CONTEXT = re.compile(r"^backbone\..*\.context\.")
"""Global context blocks in the body."""
NAMED: dict[System, str] = {"FCOS": r"^bbox_head\.(conv|fcos)_cls\.", "ATSS": r"^bbox_head\.atss_cls\."}
"""Where the keys of mmdetection say which of two systems it is and ours do not."""


def systems_of_state(state: Mapping[str, Tensor], names: Collection[str] = ()) -> tuple[System, ...]:
    """The systems that a state (our keys) may be of: FreeAnchor may have RetinaNet's keys, ATSS FCOS's.

    `names` are the keys under which its toolbox wrote it.
    """
    parts = {key.split(".")[0] for key in state}
    if any(CLASSIFIER.match(key) for key in state):
        return (_segmenter(state),)
    if "rpn" not in parts:
        return _dense_systems(state, names)
    if "box_heads" in parts:
        return ("Cascade Mask R-CNN",) if "mask_heads" in parts else ("Cascade R-CNN",)
    if "mask_head" not in parts:
        return ("Faster R-CNN",) if "neck" in parts else ("Faster R-CNN on C4",)
    if "neck" not in parts:
        return ("Mask R-CNN on C4",)
    return ("Mask R-CNN with context blocks",) if any(map(CONTEXT.match, state)) else ("Mask R-CNN",)


def _segmenter(state: Mapping[str, Tensor]) -> System:
    parts = {key.split(".")[1] for key in state if key.startswith("head.")}
    for part, system in SEGMENTERS.items():
        if part in parts:
            return system
    raise WeightsError(
        "the weights are of a segmentation network that cvzoo does not know; it knows"
        f" {', '.join(SEGMENTERS.values())}. A backbone alone goes to --backbone-weights"
    )


def _dense_systems(state: Mapping[str, Tensor], names: Collection[str]) -> tuple[System, ...]:
    if "head.refine_kernel" in state:
        return ("RepPoints with moments",) if "head.transfer" in state else ("RepPoints",)
    for system, pattern in NAMED.items():
        if any(re.search(pattern, name) for name in names):
            return (system,)
    counts = "positives" in state  # as RetinaNet and FCOS do, but only here
    if "head.centreness_out.weight" in state:
        return ("FCOS",) if counts or "head.scales.0" not in state else ("FCOS", "ATSS")
    return ("RetinaNet",) if counts else ("RetinaNet", "FreeAnchor")


def system_of(config: ModelConfig) -> System:
    """The system whose weights fit a model."""
    match config:
        case RetinaNetConfig():
            return "RetinaNet"
        case FreeAnchorConfig():
            return "FreeAnchor"
        case FCOSConfig():
            return "FCOS"
        case ATSSConfig():
            return "ATSS"
        case RepPointsConfig():
            return "RepPoints with moments" if config.points_to_box == "moment" else "RepPoints"
        case FasterRCNNConfig():
            return "Faster R-CNN" if config.fpn else "Faster R-CNN on C4"
        case TridentNetConfig():
            return "Faster R-CNN on C4"
        case MaskRCNNConfig():
            if config.fpn is None:
                return "Mask R-CNN on C4"
            return "Mask R-CNN with context blocks" if _has_context(config.backbone) else "Mask R-CNN"
        case CascadeRCNNConfig():
            return "Cascade Mask R-CNN" if config.mask_head else "Cascade R-CNN"
        case FCNConfig():
            return "FCN"
        case PSPNetConfig():
            return "PSPNet"
        case DeepLabV3PlusConfig():
            return "DeepLab v3+" if config.low_channels else "DeepLab v3"
        case GCNetConfig():
            return "GCNet"
        case TreeFilterConfig():
            return "TreeFilter"


def _has_context(body: ResNetConfig | TimmConfig) -> bool:
    return isinstance(body, ResNetConfig) and body.context_ratio is not None


def check_system(systems: Collection[System], model: ModelConfig, source: str, row: str | None = None) -> None:
    """WeightsError when weights, which may be of `systems`, are of none that a row's model is.

    It names `row`, or rows that fit. A mask branch more or less makes another system, as do context blocks: no part of
    the weights is dropped in silence.
    """
    if system_of(model) not in systems:
        rows = [row] if row else [name for name, row in ROWS.items() if system_of(row.recipe().model) in systems]
        rows = rows or [WITHOUT_ROWS[system] for system in systems if system in WITHOUT_ROWS]
        fitting = f" ({', '.join(rows)})" if rows else ""
        raise WeightsError(
            f"{source} holds weights of {' or '.join(systems)}, the row is another system; choose a row of that"
            f" system{fitting}, or start from the backbone alone: --weights None --backbone-weights {source}"
        )
