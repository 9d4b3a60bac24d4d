"""Batches do not depend on workers, processes or interruptions."""

from __future__ import annotations

from itertools import chain
from multiprocessing import active_children
from typing import Any

import numpy as np
import pytest
import torch

from cvzoo.data.build import build_dataset
from cvzoo.data.config import Data, Shapes
from cvzoo.data.loader import EvaluationBatches, training_batches
from cvzoo.data.shapes import ShapesDataset
from cvzoo.structures import Batch, Sample

DATA = Data(
    source="shapes",
    shapes=Shapes(size=48, train_images=10, val_images=7),
    short_sides=(40, 48),
    test_short_side=48,
    max_long_side=64,
    scale_jitter=(0.7, 1.5),
    colour_jitter=0.2,
    workers=0,
)


def change(data: Data, **fields: Any) -> Data:
    from dataclasses import replace

    return replace(data, **fields)


def run(data: Data, **options: Any) -> list[Batch]:
    settings = {"batch": 4, "seed": 5, "start_step": 0, "steps": 6} | options
    return list(training_batches(build_dataset(data, "train"), data, **settings))


def same(a: Batch, b: Batch) -> bool:
    return (
        torch.equal(a.images, b.images)
        and a.image_ids == b.image_ids
        and a.sizes == b.sizes
        and all(torch.equal(x.boxes, y.boxes) and torch.equal(x.labels, y.labels) for x, y in zip(a.targets, b.targets))
    )


@pytest.mark.parametrize("data", [DATA, change(DATA, cache=True), change(DATA, short_sides=(48,), scale_jitter=None)])
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_do_not_matter(data: Data, workers: int) -> None:
    alone, together = run(data), run(change(data, workers=workers))
    assert len(alone) == len(together) == 6
    assert all(same(a, b) for a, b in zip(alone, together))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("start", [1, 4, 6])
def test_resume_is_exact(start: int, workers: int) -> None:
    resumed = run(change(DATA, workers=workers), start_step=start)
    whole = run(DATA)[start:]
    assert len(resumed) == len(whole)
    assert all(same(a, b) for a, b in zip(resumed, whole))


def test_a_longer_run_begins_alike() -> None:
    assert all(same(a, b) for a, b in zip(run(DATA), run(DATA, steps=9)))


def test_processes_share_the_batch() -> None:
    data = change(DATA, canvas=(64, 64))
    whole, halves = run(data), [run(data, rank=rank, world=2) for rank in (0, 1)]
    for batch, first, second in zip(whole, *halves):
        assert torch.equal(batch.images, torch.cat([first.images, second.images]))
        assert batch.image_ids == first.image_ids + second.image_ids
        assert batch.sizes == first.sizes + second.sizes


def test_an_indivisible_batch() -> None:
    with pytest.raises(ValueError, match=r"schedule\.batch 4 must be a multiple of the 3 processes"):
        run(DATA, world=3)


def test_cache_changes_nothing() -> None:
    for data in (DATA, change(DATA, scale_jitter=None, short_sides=(40,))):
        assert all(same(a, b) for a, b in zip(run(data), run(change(data, cache=True))))


def test_flip_probability() -> None:
    plain = change(DATA, scale_jitter=None, short_sides=(48,), colour_jitter=0.0)
    straight, mirrored = run(change(plain, flip=0.0)), run(change(plain, flip=1.0))
    assert all(torch.equal(a.images.flip(-1), b.images) for a, b in zip(straight, mirrored))


def test_augmentation_differs_by_position_and_seed() -> None:
    one = change(DATA, shapes=Shapes(size=48, train_images=1))
    batch = run(one)[0]
    assert batch.image_ids == [0] * 4
    assert len({image.sum().item() for image in batch.images}) == 4
    assert not same(batch, run(one, seed=6)[0])


def test_the_runs_random_numbers_are_untouched() -> None:
    state = torch.get_rng_state()
    run(change(DATA, workers=1))
    list(EvaluationBatches(build_dataset(DATA, "val"), [change(DATA, workers=1)]))
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("world", [1, 2, 3, 9])
@pytest.mark.parametrize("batch", [1, 3])
def test_evaluation_sees_each_image_once_in_order(world: int, batch: int) -> None:
    dataset = build_dataset(DATA, "val")
    parts = [EvaluationBatches(dataset, [DATA], batch=batch, rank=rank, world=world) for rank in range(world)]
    assert list(chain(*(b.image_ids for part in parts for (b,) in part))) == dataset.image_ids.tolist()


class Decoding(ShapesDataset):
    """Notes which images it gives."""

    given: list[int]

    def __getitem__(self, index: int) -> Sample:
        self.given.append(index)
        return super().__getitem__(index)


def test_evaluation_decodes_once_for_all_scales_and_batches_one_size() -> None:
    dataset = Decoding(Shapes(size=48, val_images=5), "val")
    dataset.given = []
    dataset.sizes[1::2] = 50  # as far as is known before they are drawn
    scales = [change(DATA, test_short_side=side, canvas=None, workers=0) for side in (32, 64)]
    seen = list(EvaluationBatches(dataset, scales, batch=2))
    assert dataset.given == [0, 2, 4, 1, 3]
    assert [small.image_ids for small, _ in seen] == [large.image_ids for _, large in seen] == [[0, 2], [4], [1, 3]]
    assert [tuple(batch.images.shape[2:]) for batch in seen[0]] == [(32, 32), (64, 64)]


def test_workers_are_kept_until_the_end() -> None:
    batches = EvaluationBatches(build_dataset(DATA, "val"), [change(DATA, workers=1)])
    before = set(active_children())
    (first, second) = ([b.image_ids for (b,) in batches] for _ in range(2))
    (worker,) = set(active_children()) - before
    assert first == second
    batches.close()
    worker.join(10)
    assert not worker.is_alive()


def test_real_images(real_coco: Data) -> None:
    data = change(real_coco, short_sides=(160,), test_short_side=160, max_long_side=266, workers=2)
    dataset = build_dataset(data, "train")
    order = {int(image_id): index for index, image_id in enumerate(dataset.image_ids)}
    for batch in training_batches(dataset, data, batch=4, seed=0, start_step=0, steps=5):
        assert batch.images.dtype == torch.uint8
        sizes = np.array([dataset.sizes[order[image_id]] for image_id in batch.image_ids])
        assert len(set(sizes[:, 1] > sizes[:, 0])) == 1
        assert batch.original_sizes == [tuple(size) for size in sizes.tolist()]
        for target, (height, width) in zip(batch.targets, batch.sizes):
            assert len(target) > 0
            assert (target.boxes <= torch.tensor([width, height, width, height]) + 1e-3).all()
