"""Batches for training and evaluation, decoded and resized by worker processes.

The batches are a pure function of (data, seed, step): they do not depend on the number of workers or processes,
nor on interruptions. The image at global position p = step * batch + i is augmented from (seed, p) alone.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

from torch import Generator
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from cvzoo.data.charts import charts_of
from cvzoo.data.config import Data
from cvzoo.data.dataset import Dataset
from cvzoo.data.order import global_batches
from cvzoo.data.parcel import Parcel, pack
from cvzoo.data.problems import DataError
from cvzoo.data.transforms import eval_resize, train_augment, train_resize
from cvzoo.ops.seeds import stream_seed
from cvzoo.structures import Batch, Sample, Size

Key = tuple[int, int]
"""(global position in the run, position in the data set)."""


class _TrainingImages(TorchDataset["Sample | DataError"]):
    """Augmented images by key. User errors are returned, not raised: torch would bury them in a traceback."""

    def __init__(self, dataset: Dataset, data: Data, seed: int) -> None:
        self.dataset, self.data, self.seed = dataset, data, seed
        charts_of(data)  # reads them once, before the workers start, and says at once what is missing
        self.resized_alike = data.scale_jitter is None and len(data.short_sides) == 1 and data.crop is None
        # Filled before the workers start, so that they share one copy (fork copies no memory on write-free pages).
        self.cached = [self._load(index) for index in range(len(dataset))] if data.cache else None

    def __getitem__(self, key: Key) -> Sample | DataError:
        position, index = key
        generator = Generator().manual_seed(stream_seed(self.seed, position))
        try:
            sample = self._load(index) if self.cached is None else self.cached[index]
        except DataError as error:
            return error
        if not self.resized_alike:
            sample = train_resize(sample, self.data, generator)
        return train_augment(sample, self.data, generator)

    def _load(self, index: int) -> Sample:
        """The part of the work that is the same every time an image is shown."""
        sample = self.dataset[index]
        return train_resize(sample, self.data, Generator()) if self.resized_alike else sample


class _EvaluationImages(TorchDataset["Sample | DataError"]):
    """Resized images by position; user errors are returned, as in training."""

    def __init__(self, dataset: Dataset, data: Data) -> None:
        self.dataset, self.data = dataset, data

    def __getitem__(self, index: int) -> Sample | DataError:
        try:
            return eval_resize(self.dataset[index], self.data)
        except DataError as error:
            return error


def training_batches(
    dataset: Dataset,
    data: Data,
    *,
    batch: int,
    seed: int,
    start_step: int,
    steps: int,
    rank: int = 0,
    world: int = 1,
    pin: bool = False,
) -> Iterator[Batch]:
    """This process's share of the batches of steps `start_step`, ..., `steps` - 1 of a run.

    Args:
        batch: images per step over all processes; process `rank` of `world` takes the rank-th contiguous part.
        steps: length of the whole run, whatever step it starts from.
        pin: page-locked memory, for copies to CUDA.

    Raises: ValueError if the batch does not divide; DataError naming the file when an image cannot be decoded.
    """
    if batch % world:
        raise ValueError(f"schedule.batch {batch} must be a multiple of the {world} processes; change either")
    share = batch // world
    canvas = data.crop or data.canvas
    grouping = data.aspect_grouping and canvas is None  # on a fixed canvas there is no padding to save
    order = global_batches(dataset, batch=batch, seed=seed, grouping=grouping, threshold=data.repeat_threshold)
    keys = (
        [(step * batch + i, indices[i]) for i in range(rank * share, (rank + 1) * share)]
        for step, indices in enumerate(islice(order, steps))
    )
    loader = _loader(_TrainingImages(dataset, data, seed), islice(keys, start_step, None), data, canvas, pin)
    return _raising(loader)


def evaluation_batches(
    dataset: Dataset, data: Data, *, batch: int = 1, rank: int = 0, world: int = 1, pin: bool = False
) -> Iterator[Batch]:
    """Every image of the data set once, in order; process `rank` of `world` takes the rank-th contiguous part.

    Raises: DataError naming the file when an image cannot be decoded.
    """
    positions = range(len(dataset) * rank // world, len(dataset) * (rank + 1) // world)
    batches = (list(positions[start : start + batch]) for start in range(0, len(positions), batch))
    return _raising(_loader(_EvaluationImages(dataset, data), batches, data, data.canvas, pin))


def _loader(
    images: TorchDataset[Sample | DataError],
    batches: Iterator[list[Any]],
    data: Data,
    canvas: Size | None,
    pin: bool,
) -> DataLoader[Any]:
    return DataLoader(
        images,
        batch_sampler=batches,  # pyright: ignore[reportArgumentType]  (any iterable of key lists serves)
        num_workers=data.workers,
        collate_fn=partial(_collate, canvas=canvas),
        pin_memory=pin,
        prefetch_factor=4 if data.workers else None,
        worker_init_fn=_leave_signals_to_the_loop,
        generator=Generator(),  # of its own, or starting workers would draw from the run's random numbers
    )


def _leave_signals_to_the_loop(worker: int) -> None:
    """Queue systems signal whole process groups; the loop saves, and ends its workers itself."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _collate(samples: Sequence[Sample | DataError], canvas: Size | None) -> Parcel | DataError:
    errors = [sample for sample in samples if isinstance(sample, DataError)]
    if errors:
        return DataError([problem for error in errors for problem in error.problems])
    return pack(Batch.collate([sample for sample in samples if isinstance(sample, Sample)], canvas))


def _raising(loader: DataLoader[Any]) -> Iterator[Batch]:
    for parcel in loader:
        if isinstance(parcel, DataError):
            raise parcel
        yield parcel.unpack()
