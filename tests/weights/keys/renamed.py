"""What the tests of key rules share."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from cvzoo.weights.keys.rename import State


def check(translate: Callable[[State], State], expected: Mapping[str, str | None]) -> None:
    """A state of these keys gets these names of ours, each with its own tensor; None where a key is left out."""
    state = {key: torch.tensor(float(i)) for i, key in enumerate(expected)}
    ours = translate(state)
    assert {key: tensor.item() for key, tensor in ours.items()} == {
        new: state[key].item() for key, new in expected.items() if new
    }
