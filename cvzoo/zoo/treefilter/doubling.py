"""Steps that double what has been reached: along a path of a thousand vertices to its end takes ten.

An exported graph has one loop for all of them, whose length follows the image; a program has no use for one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch._higher_order_ops.while_loop import while_loop

State = tuple[Tensor, ...]


def doubled(step: Callable[..., State], state: State, length: int) -> State:
    """`state` after as many steps as reach `length`, where the n-th reaches 2**n; a step may write into its state."""
    if not torch.compiler.is_exporting():
        for _ in range(length.bit_length()):
            state = step(*state)
        return state
    numbers = (state[0].new_full((1,), number, dtype=torch.int64) for number in (1, length))
    one, end = (number.squeeze(0) for number in numbers)  # OpenVINO cannot fill a tensor without a dimension

    def is_short(reached: Tensor, *_: Tensor) -> Tensor:
        return reached <= end

    def next_state(reached: Tensor, *state: Tensor) -> State:
        return reached * 2, *step(*_copied(state))

    return while_loop(is_short, next_state, (one, *_copied(state)))[1:]


def _copied(state: State) -> State:
    """A loop's state must not share memory with anything else, nor be written into."""
    return tuple(tensor.clone() for tensor in state)
