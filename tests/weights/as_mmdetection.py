"""States of our dense detectors under the names that mmdetection has for the same weights, written down for tests."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor

FPN = {"lateral": "lateral_convs", "output": "fpn_convs"}
EXTRA = 3
"""So many `fpn_convs` come before those of the extra levels."""
CLS_AND_REG = {"cls_out": "{}_cls", "box_out": "{}_reg", "centreness_out": "{}_centerness"}
OF_REPPOINTS = {
    "first_conv": "reppoints_pts_init_conv",
    "first_out": "reppoints_pts_init_out",
    "cls_out": "reppoints_cls_out",
    "refine_out": "reppoints_pts_refine_out",
    "cls_kernel": "reppoints_cls_conv.weight",
    "refine_kernel": "reppoints_pts_refine_conv.weight",
    "transfer": "moment_transfer",
}
OUTPUTS: dict[str, dict[str, str]] = {
    system: {ours: theirs.format(prefix) for ours, theirs in CLS_AND_REG.items()}
    for system, prefix in (("retinanet", "retina"), ("freeanchor", "retina"), ("fcos", "conv"), ("atss", "atss"))
} | {"reppoints": OF_REPPOINTS}
"""By system: our name of a layer of its head behind the towers, and mmdetection's."""
TOWERS = {"cls_tower": "cls_convs", "box_tower": "reg_convs"}


def as_mmdetection(state: dict[str, Tensor], system: str) -> dict[str, Tensor]:
    """A state of ours under mmdetection's keys, without our count of positives, which it does not keep."""
    return {_key(key, system): tensor for key, tensor in state.items() if key != "positives"}


def _key(key: str, system: str) -> str:
    part, *rest = key.split(".")
    if part == "neck":
        kind, level, *rest = rest
        number = int(level) + (EXTRA if kind == "extra" else 0)
        rest = ["neck", FPN.get(kind, "fpn_convs"), str(number), *rest]
    elif part == "head" and rest[0] == "scales":
        rest = ["bbox_head", *rest, "scale"]
    elif part == "head":
        names = OUTPUTS[system] | TOWERS
        rest = ["bbox_head", names[rest[0]], *rest[1:]]
    else:
        rest = [part, *rest]
    new = ".".join(rest)
    return re.sub(r"\.offset\.", ".conv_offset.", re.sub(r"\.norm\.", ".gn.", new))


def save(path: Path, state: dict[str, Tensor], system: str, config: str = "") -> None:
    """Write the state to a file as mmdetection does, with the text of a config."""
    torch.save({"meta": {"cfg": config}, "state_dict": as_mmdetection(state, system)}, path)
