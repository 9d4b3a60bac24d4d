"""Which toolbox a state dict comes from, and its translation to our keys."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Literal

from torch import Tensor

from cvzoo.weights import detectron2, mmlab, torchvision, treefilter
from cvzoo.weights.errors import WeightsError
from cvzoo.weights.rename import State

Toolbox = Literal["cvzoo", "torchvision", "detectron2", "mmlab", "treefilter"]
MARKERS: dict[Toolbox, str] = {
    "cvzoo": r"^neck\.lateral\.|^rpn\.objectness\.|^head\.classifier\.conv\.",
    "torchvision": rf"{torchvision.MARKER}|{torchvision.SEGMENTATION_MARKER}",
    "detectron2": detectron2.MARKER,
    "mmlab": rf"{mmlab.MARKER}|{mmlab.SEGMENTATION_MARKER}",
    "treefilter": treefilter.MARKER,
}


def recognise(state: Collection[str]) -> Toolbox:
    """The toolbox that wrote the keys (`detectron2` for cvpods too). WeightsError shows some keys of an unknown one."""
    for toolbox, marker in MARKERS.items():
        if _has(state, marker):
            return toolbox
    some = ", ".join(list(state)[:4]) + (" ..." if len(state) > 4 else "")
    raise WeightsError(
        f"these are not weights of a model that cvzoo knows; {len(state)} keys: {some}. It reads models of torchvision,"
        " detectron2, cvpods, mmdetection, mmsegmentation, TreeFilter-Torch and its own; a backbone alone goes to"
        " --backbone-weights"
    )


def to_ours(state: Mapping[str, Tensor]) -> State:
    """`state`, of whichever toolbox, under our keys. WeightsError when the keys are not known."""
    match recognise(state):
        case "cvzoo":
            return dict(state)
        case "torchvision":
            if _has(state, torchvision.SEGMENTATION_MARKER):
                return torchvision.from_torchvision_segmentation(state)
            return torchvision.from_torchvision(state)
        case "detectron2":
            return detectron2.from_detectron2(state)
        case "mmlab":
            if _has(state, mmlab.SEGMENTATION_MARKER):
                return mmlab.from_mmsegmentation(state)
            return mmlab.from_mmlab(state)
        case "treefilter":
            return treefilter.from_treefilter(state)


def _has(state: Collection[str], marker: str) -> bool:
    return any(re.search(marker, key) for key in state)
