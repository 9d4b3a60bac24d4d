"""One way to make a stream of random numbers from a run's seed and what the stream is for."""

from __future__ import annotations

import numpy as np


def stream_seed(*numbers: int) -> int:
    """A seed for torch that depends on every one of the (non-negative) numbers.

    torch's CPU generators keep only the lower 32 bits of a seed, so the numbers are hashed down to as many.
    """
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
