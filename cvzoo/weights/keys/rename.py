"""Key maps are tables of (pattern, replacement); this applies one."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from cvzoo.weights.errors import WeightsError

State = dict[str, Tensor]
"""A state dict: key to tensor."""
Rules = tuple[tuple[str, str], ...]
"""Pairs for `re.sub`, all of them applied to every key in this order."""


def renamed(state: Mapping[str, Tensor], rules: Rules, drop: str | None = None) -> State:
    """`state` under the keys the rules make of its own, without keys in which `drop` is found.

    WeightsError when two keys end up as one: the file then holds the same weights under an old and a new name.
    """
    ours: dict[str, str] = {}
    for key in state:
        if drop is not None and re.search(drop, key):
            continue
        new = key
        for pattern, replacement in rules:
            new = re.sub(pattern, replacement, new)
        if new in ours:
            raise WeightsError(f"the weights hold {new} twice, as {ours[new]} and as {key}; remove one of them")
        ours[new] = key
    return {new: state[key] for new, key in ours.items()}
