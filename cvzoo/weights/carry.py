"""Weights for some classes in a network for others: of the outputs, those of classes of the same name are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cvzoo.weights.class_count import Outputs, outputs_of
from cvzoo.weights.keys.rename import State

SHOWN = 5
"""At most this many classes are named of each kind."""


class Carried(NamedTuple):
    """What a network for other classes takes over."""

    state: State
    begun: frozenset[str]
    """Keys of the tensors in which outputs begin anew."""
    note: str
    """What was kept, begun and left out, in a line."""


def carried(
    state: Mapping[str, Tensor], config: Any, names: Sequence[str] | None, fresh: State, classes: Sequence[str]
) -> Carried:
    """The `fresh` state of a network for `classes`, over which a state (our keys) of a network of `config` is laid.

    `names` are the state's classes, by `class_ids` where the config has them; None where nobody knows them. What does
    not depend on the classes is the state's, and so are the outputs for classes of the same name and those for none,
    such as the background; the outputs of other classes are the fresh ones. What does not fit is left as it is in the
    state, for `load_state` to tell.
    """
    ids = getattr(config, "class_ids", ()) or range(config.num_classes)
    output = {names[label]: i for i, label in enumerate(ids) if 0 <= label < len(names)} if names else {}
    kept = [name for name in classes if name in output]
    pairs = [(label, output[name]) for label, name in enumerate(classes) if name in output]
    tensors = {key: found for key, found in outputs_of(config).items() if key in state and key in fresh}
    moved = {
        key: _laid_over(fresh[key], state[key], outputs, len(classes), config.num_classes, pairs)
        for key, outputs in tensors.items()
    }
    anew = [name for name in classes if name not in output]
    left = [name for name in output if name not in classes]
    note = (
        f"{len(state) - len(moved)} of {len(state)} tensors are kept whole; of the outputs for classes {_listed(kept)}"
        f" kept by name, {_listed(anew)} re-initialised, "
        + (f"{_listed(left)} skipped" if names else "as the file names no classes")
    )
    return Carried({**state, **moved}, frozenset(moved) if anew else frozenset(), note)


def _laid_over(
    fresh: Tensor, old: Tensor, outputs: Outputs, count: int, old_count: int, pairs: list[tuple[int, int]]
) -> Tensor:
    """`fresh`, for `count` classes, under the entries of `old` for pairs of a new and an old class, and for none."""
    if not _fits(fresh, old, outputs, old_count):
        return old
    new_P, old_P = (torch.tensor([pair[side] for pair in pairs], dtype=torch.int64) for side in (0, 1))
    to = torch.cat([outputs.of_classes(count)[new_P].flatten(), outputs.of_others(count)])
    source = torch.cat([outputs.of_classes(old_count)[old_P].flatten(), outputs.of_others(old_count)])
    return fresh.index_copy(outputs.axis, to, old.index_select(outputs.axis, source).to(fresh))


def _fits(fresh: Tensor, old: Tensor, outputs: Outputs, old_count: int) -> bool:
    """Whether two tensors differ in their number of classes alone."""
    shape = list(fresh.shape)
    shape[outputs.axis] = old_count * outputs.per_class + outputs.besides
    return list(old.shape) == shape


def _listed(names: Sequence[str]) -> str:
    """`2 (cat, dog)`."""
    more = ", ..." if len(names) > SHOWN else ""
    return f"{len(names)} ({', '.join(names[:SHOWN])}{more})" if names else "0"
