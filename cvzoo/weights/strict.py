"""A state dict into a model: all of it or nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor, nn

from cvzoo.weights.errors import WeightsError

COUNTERS = re.compile(r"\.num_batches_tracked$|^positives$|^bbox_head\.loss_\w+\.(edges|acc_sum)$")
"""Statistics of a training run that decide no output; other toolboxes may lack them or keep them where we do not,
as mmdetection the histograms of its GHM losses."""
SHOWN = 8
"""At most this many keys are listed of each kind."""


def load_state(model: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Copy `state`, under our keys, into `model`; `source` is named in errors.

    WeightsError lists the keys that are missing, left over, of another shape or no real numbers; nothing has been
    loaded then.
    """
    ours = model.state_dict()
    known = {key: tensor for key, tensor in state.items() if key in ours or not COUNTERS.search(key)}
    missing = [key for key in ours if key not in known and not COUNTERS.search(key)]
    left_over = [key for key in known if key not in ours]
    wrong = [key for key in known if key in ours and known[key].shape != ours[key].shape]
    other = [key for key in known if key in ours and _is_rounded(known[key], ours[key])]
    if missing or left_over or wrong or other:
        types = [f"{key} {str(known[key].dtype).removeprefix('torch.')}" for key in other]
        shapes = [f"{key} {_shape(known[key])} where the model has {_shape(ours[key])}" for key in wrong]
        lists = _listed("missing", missing) + _listed("left over", left_over) + _listed("of another shape", shapes)
        lists += _listed("no real numbers", types)
        raise WeightsError(f"{source} does not fit the model, nothing was loaded. {'. '.join(lists)}")
    model.load_state_dict(known, strict=False)


def _is_rounded(theirs: Tensor, ours: Tensor) -> bool:
    """As quantised weights are, which are nothing without their scales."""
    return ours.is_floating_point() and not theirs.is_floating_point()


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"


def _listed(what: str, keys: list[str]) -> list[str]:
    if not keys:
        return []
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return [f"{len(keys)} {what}: {', '.join(keys[:SHOWN])}{more}"]
