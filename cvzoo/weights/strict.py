"""A state dict into a model: all of it or nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor, nn

from cvzoo.weights.classes import scored_classes
from cvzoo.weights.errors import WeightsError

COUNTERS = re.compile(r"\.num_batches_tracked$|^positives$")
"""Statistics of a training run that decide no output; other toolboxes may lack them or keep them where we do not."""
OUTPUTS = re.compile(
    r"^(head\.cls_out|(head|earlier\.\d)\.cls\.out|head\.\w+\.\d\.heat\.out|box_heads?\.(\d\.)?(cls|box)_out"
    r"|mask_heads?\.(\d\.)?out|(aux_)?head\.classifier\.conv)\."
)
"""Layers whose size follows the number of classes."""
SHOWN = 8
"""At most this many keys are listed of each kind."""


def load_state(model: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Copy `state`, under our keys, into `model`; `source` is named in errors.

    WeightsError lists the keys that are missing, left over or of another shape; nothing has been loaded then.
    """
    ours = model.state_dict()
    known = {key: tensor for key, tensor in state.items() if key in ours or not COUNTERS.search(key)}
    missing = [key for key in ours if key not in known and not COUNTERS.search(key)]
    left_over = [key for key in known if key not in ours]
    wrong = [key for key in known if key in ours and known[key].shape != ours[key].shape]
    if missing or left_over or wrong:
        shapes = [f"{key} {_shape(known[key])} where the model has {_shape(ours[key])}" for key in wrong]
        lists = _listed("missing", missing) + _listed("left over", left_over) + _listed("of another shape", shapes)
        other_classes = not missing and not left_over and all(OUTPUTS.search(key) for key in wrong)
        hint = _class_hint(scored_classes(known), scored_classes(ours)) if other_classes else ""
        raise WeightsError(f"{source} does not fit the model, nothing was loaded. {hint}{'. '.join(lists)}")
    model.load_state_dict(known, strict=False)


def _class_hint(theirs: int, ours: int) -> str:
    if theirs == ours:  # the outputs are others: a box of each class, or one of all
        return ""
    return f"It scores {theirs} classes, the model {ours}: set --model.num-classes {theirs}. "


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"


def _listed(what: str, keys: list[str]) -> list[str]:
    if not keys:
        return []
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return [f"{len(keys)} {what}: {', '.join(keys[:SHOWN])}{more}"]
