"""The order of the training images."""

from __future__ import annotations

from itertools import chain, islice

import numpy as np

from cvzoo.data.config import Shapes
from cvzoo.data.order import epoch_order, global_batches, repeat_factors
from cvzoo.data.shapes import ShapesDataset


class Rare:
    """Stands in for a data set: only sizes and labels matter for the order."""

    def __init__(self, sizes: np.ndarray, labels: list[list[int]]) -> None:
        self.sizes, self._labels = sizes, labels
        self.classes = ["a", "b", "c"]

    def __len__(self) -> int:
        return len(self._labels)

    def labels(self, index: int) -> np.ndarray:
        return np.array(self._labels[index], np.int64)


def rare(count: int = 20) -> Rare:
    sizes = np.array([(40, 60) if i % 3 == 0 else (60, 40) for i in range(count)])
    return Rare(sizes, [[0, 0, 1] if i == 0 else [0] if i else [] for i in range(count)])


def take(dataset, count: int, **options) -> list[list[int]]:
    settings = {"batch": 4, "seed": 0, "grouping": False, "threshold": 0.0} | options
    return list(islice(global_batches(dataset, **settings), count))


def test_each_epoch_is_a_fresh_permutation() -> None:
    dataset = ShapesDataset(Shapes(train_images=10), "train")
    stream = list(chain(*take(dataset, 15)))
    epochs = [stream[start : start + 10] for start in range(0, 60, 10)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 6
    assert take(dataset, 3) == take(dataset, 3)
    assert take(dataset, 3, seed=1) != take(dataset, 3)


def test_groups_do_not_mix_and_lose_nothing() -> None:
    dataset = rare()
    batches = take(dataset, 200, grouping=True)
    assert all(len({index % 3 == 0 for index in batch}) == 1 for batch in batches)
    counts = np.bincount(list(chain(*batches)), minlength=20)
    assert counts.max() - counts.min() <= 2  # what waits in a queue is shown next


def test_repeat_factors_of_lvis() -> None:
    factors = repeat_factors(rare(100), threshold=0.04)
    assert factors[0] == 2.0  # class b is in 1 % of the images: sqrt(0.04 / 0.01)
    assert (factors[1:] == 1.0).all()


def test_repeats_are_rounded_stochastically() -> None:
    repeats = np.array([1.0, 2.5, 1.25])
    counts = sum(np.bincount(epoch_order(3, 0, epoch, repeats), minlength=3) for epoch in range(400))
    np.testing.assert_allclose(counts / 400, repeats, atol=0.1)
    assert sum(index == 0 for index in chain(*take(rare(100), 100, threshold=0.04))) in (7, 8, 9)
