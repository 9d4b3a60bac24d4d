"""Random subsets of candidates."""

from __future__ import annotations

import torch
from torch import Tensor

from cvzoo.ops.seeds import stream_seed


def image_generator(image_id: int) -> torch.Generator:
    """A generator that depends on torch's seed and the image only.

    The engine seeds torch anew at each step, so an image's random choices do not depend on its neighbours in the
    batch, on the number of processes, or on whether the run was resumed.
    """
    return torch.Generator().manual_seed(stream_seed(torch.initial_seed(), image_id % 2**63))


def sample_balanced(
    positive_A: Tensor, negative_A: Tensor, count: int, positive_fraction: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Indices of at most `count` candidates: up to `positive_fraction` of them positive, filled up with negatives.

    Returns (positive indices, negative indices), drawn without replacement (1506.01497, section 3.1.3).
    """
    positive, negative = torch.where(positive_A)[0], torch.where(negative_A)[0]
    positives = min(len(positive), int(count * positive_fraction))
    negatives = min(len(negative), count - positives)
    return _choose(positive, positives, generator), _choose(negative, negatives, generator)


def _choose(index: Tensor, count: int, generator: torch.Generator) -> Tensor:
    return index[torch.randperm(len(index), generator=generator)[:count].to(index.device)]
