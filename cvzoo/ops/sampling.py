"""Random subsets of candidates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from cvzoo.ops.assigners import Match
from cvzoo.ops.seeds import stream_seed
from cvzoo.ops.transfer import on_device


def sample_balanced(
    matches: Sequence[Match], image_ids: Sequence[int], count: int, positive_fraction: float
) -> list[tuple[Tensor, Tensor]]:
    """Of each image the rows of at most `count` candidates: (positives, negatives), in random order.

    Up to `positive_fraction` of them are positive, filled up with negatives, drawn without replacement (1506.01497,
    section 3.1.3). The program waits once for how many there are; what it draws depends on that, torch's seed and the
    image only. The engine seeds torch anew at each step, so an image's random choices do not depend on its neighbours
    in the batch, on the number of processes, or on whether the run was resumed.
    """
    ranks = [mask_A.cumsum(0) for match in matches for mask_A in (match.positive_A, match.negative_A)]
    totals = torch.stack([rank_A[-1] if len(rank_A) else rank_A.new_zeros(()) for rank_A in ranks]).tolist()
    drawn = []
    for positives, negatives, image_id in zip(totals[::2], totals[1::2], image_ids):
        generator = np.random.default_rng(stream_seed(torch.initial_seed(), image_id % 2**63))
        taken = min(positives, int(count * positive_fraction))
        drawn.append(generator.choice(positives, taken, replace=False))
        drawn.append(generator.choice(negatives, min(negatives, count - taken), replace=False))
    # the rank-th true row is the first one up to which so many are true
    rank_D = on_device(np.concatenate(drawn) + 1, ranks[0].device)
    rows = [torch.searchsorted(all_A, own_D) for all_A, own_D in zip(ranks, rank_D.split([len(d) for d in drawn]))]
    return list(zip(rows[::2], rows[1::2]))
