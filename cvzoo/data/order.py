"""The order of the training images: a pure function of the data set, the seed and the position in the run.

It is never stored. Resuming replays it from the start, which costs about a second for COCO's 1x schedule.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cvzoo.data.dataset import Dataset


def global_batches(dataset: Dataset, *, batch: int, seed: int, grouping: bool, threshold: float) -> Iterator[list[int]]:
    """Endless batches of image positions, over all processes together.

    Each epoch is a fresh permutation. With `grouping`, landscape images (wider than high) and the others wait in
    two queues, and a batch leaves as soon as its queue is full; what is left over opens the next epoch, so no
    image is lost or repeated. With a `threshold` above 0, images of rare classes occur more than once an epoch.
    """
    landscape = dataset.sizes[:, 1] > dataset.sizes[:, 0] if grouping else np.zeros(len(dataset), bool)
    repeats = repeat_factors(dataset, threshold) if threshold > 0 else None
    queues: tuple[list[int], list[int]] = ([], [])
    epoch = 0
    while True:
        order = epoch_order(len(dataset), seed, epoch, repeats)
        for index, group in zip(order.tolist(), landscape[order].tolist()):
            queue = queues[group]
            queue.append(index)
            if len(queue) == batch:
                yield queue.copy()
                queue.clear()
        epoch += 1


def epoch_order(count: int, seed: int, epoch: int, repeats: np.ndarray | None = None) -> np.ndarray:
    """The images of an epoch in the order they are shown; `repeats` (count,) are rounded stochastically.

    Returns: int64 positions; (count,) without repeats.
    """
    rng = np.random.default_rng((seed, epoch))
    if repeats is None:
        return rng.permutation(count)
    whole = np.floor(repeats)
    times = (whole + (rng.random(count) < repeats - whole)).astype(np.int64)
    return rng.permutation(np.repeat(np.arange(count), times))


def repeat_factors(dataset: Dataset, threshold: float) -> np.ndarray:
    """How often each image is shown per epoch (LVIS, Gupta et al. 2019, appendix B).

    A class in a share f of the images has the factor max(1, sqrt(threshold / f)); an image the largest of its
    classes' factors, or 1 without objects.

    Returns: (N,) float64 >= 1.
    """
    present = [np.unique(dataset.labels(index)) for index in range(len(dataset))]
    images_per_class = np.bincount(np.concatenate(present), minlength=len(dataset.classes))
    shares = np.maximum(images_per_class, 1) / len(dataset)
    factors = np.maximum(1.0, np.sqrt(threshold / shares))
    return np.array([factors[labels].max(initial=1.0) for labels in present])
