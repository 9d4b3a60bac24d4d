"""Batches for training and evaluation, decoded and resized by worker processes.

The batches are a pure function of (data, seed, step): they do not depend on the number of workers or processes,
nor on interruptions. The image at global position p = step * batch + i is augmented from (seed, p) alone, and so are
the images chosen that are mixed into it.
"""

from __future__ import annotations

import signal
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from cvzoo.data.charts import charts_of
from cvzoo.data.config import Data
from cvzoo.data.damage import damaged
from cvzoo.data.dataset import Dataset
from cvzoo.data.order import global_batches
from cvzoo.data.own_transform import load_transform, transformed
from cvzoo.data.parcel import Parcel, pack
from cvzoo.data.problems import DataError
from cvzoo.data.rearrange import rearranged
from cvzoo.data.transforms import eval_resize, flip, train_augment, train_resize
from cvzoo.ops.seeds import stream_seed
from cvzoo.structures import Batch, Sample, Size

Loaded = TypeVar("Loaded")
Key = tuple[int, int]
"""(global position in the run, position in the data set)."""
MOVES = 1
"""The stream of random numbers that came after those for size, flip and colours, which stay as they were without it."""


class _TrainingImages(TorchDataset["Sample | DataError"]):
    """Augmented images by key. User errors are returned, not raised: torch would bury them in a traceback."""

    def __init__(self, dataset: Dataset, data: Data, seed: int, mixed: int) -> None:
        """Images are mixed at the first `mixed` positions only."""
        self.dataset, self.data, self.seed, self.mixed = dataset, data, seed, mixed
        # Read or imported before the workers start; what is missing is said at once.
        charts_of(data)
        if data.transform is not None:
            load_transform(data.transform)
        self.resized_alike = data.scale_jitter is None and len(data.short_sides) == 1 and data.crop is None
        # Filled before the workers start, so that they share one copy (fork copies no memory on write-free pages).
        self.cached = [self._load(index) for index in range(len(dataset))] if data.cache else None

    def __getitem__(self, key: Key) -> Sample | DataError:
        try:
            return self._augmented(*key)
        except DataError as error:
            return error

    def _augmented(self, position: int, index: int) -> Sample:
        generator = torch.Generator().manual_seed(stream_seed(self.seed, position))
        rng = np.random.default_rng((self.seed, position, MOVES))
        sample = self._resized(index, generator)
        sample = rearranged(sample, self.data, rng, partial(self._other, rng) if position < self.mixed else None)
        sample = damaged(train_augment(sample, self.data, generator), self.data, rng)
        if self.data.transform is None:
            return sample
        return transformed(sample, self.data, len(self.dataset.classes), rng)

    def _other(self, rng: np.random.Generator) -> Sample:
        """Any image, to be mixed into another: resized and flipped as in training."""
        generator = torch.Generator().manual_seed(int(rng.integers(2**32)))
        sample = self._resized(int(rng.integers(len(self.dataset))), generator)
        return flip(sample, charts_of(self.data)) if rng.random() < self.data.flip else sample

    def _resized(self, index: int, generator: torch.Generator) -> Sample:
        sample = self._load(index) if self.cached is None else self.cached[index]
        return sample if self.resized_alike else train_resize(sample, self.data, generator)

    def _load(self, index: int) -> Sample:
        """The part of the work that is the same every time an image is shown."""
        sample = self.dataset[index]
        return train_resize(sample, self.data, torch.Generator()) if self.resized_alike else sample


def check_transform(dataset: Dataset, data: Data, seed: int) -> None:
    """Try the user's own transform, if there is one, on an image as training sees it.

    Raises: ValueError where it cannot be imported; DataError where it fails, or returns what cannot be trained on.
    """
    if data.transform is None:
        return
    first = _TrainingImages(dataset, replace(data, cache=False), seed, mixed=0)[0, 0]
    if isinstance(first, DataError):
        raise first


class _EvaluationImages(TorchDataset["list[Sample] | DataError"]):
    """By position an image, decoded once and resized for each setting; user errors are returned, as in training."""

    def __init__(self, dataset: Dataset, settings: Sequence[Data]) -> None:
        self.dataset, self.settings = dataset, settings

    def __getitem__(self, index: int) -> list[Sample] | DataError:
        try:
            sample = self.dataset[index]
            return [eval_resize(sample, data) for data in self.settings]
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
) -> Generator[Batch, None, None]:
    """This process's share of the batches of steps `start_step`, ..., `steps` - 1 of a run. To be closed: that ends the
    workers, which an exception's traceback would keep.

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
    images = _TrainingImages(dataset, data, seed, mixed=int(data.mixed_until * steps) * batch)
    collate = partial(_collate, canvas=canvas)
    return _raising(_loader(images, islice(keys, start_step, None), data.workers, collate, pin))


class EvaluationBatches:
    """Every image of a data set, each time this is iterated.

    It gives lists: for each of the `settings` a batch of the same images, which are decoded once. A batch has images of
    one size, so that none is padded as it would not be alone; at batch 1 they come in order. Process `rank` of `world`
    takes the rank-th contiguous part. Worker processes are kept until `close`.
    """

    def __init__(
        self,
        dataset: Dataset,
        settings: Sequence[Data],
        *,
        batch: int = 1,
        rank: int = 0,
        world: int = 1,
        pin: bool = False,
    ) -> None:
        positions = range(len(dataset) * rank // world, len(dataset) * (rank + 1) // world)
        batches = _of_one_size(positions, dataset.sizes, batch)
        images, collate = _EvaluationImages(dataset, settings), partial(_collate_views, settings=settings)
        self._loader: DataLoader[Any] | None = _loader(images, batches, settings[0].workers, collate, pin, kept=True)

    def __iter__(self) -> Iterator[list[Batch]]:
        """Raises: DataError naming the file when an image cannot be decoded."""
        assert self._loader is not None, "closed"
        return _raising(self._loader)

    def close(self) -> None:
        """End the workers."""
        self._loader = None


def _of_one_size(positions: Sequence[int], sizes: np.ndarray, batch: int) -> list[list[int]]:
    if batch == 1:
        return [[position] for position in positions]
    alike: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for position in positions:
        alike[tuple(sizes[position].tolist())].append(position)
    return [own[start : start + batch] for own in alike.values() for start in range(0, len(own), batch)]


def _loader(
    images: TorchDataset[Any],
    batches: Iterable[list[Any]],
    workers: int,
    collate: Callable[[list[Any]], Any],
    pin: bool,
    kept: bool = False,
) -> DataLoader[Any]:
    """With `kept` workers are not ended after a pass."""
    return DataLoader(
        images,
        batch_sampler=batches,  # pyright: ignore[reportArgumentType]  (any iterable of key lists serves)
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin,
        prefetch_factor=4 if workers else None,
        persistent_workers=kept and workers > 0,
        worker_init_fn=_leave_signals_to_the_loop,
        generator=torch.Generator(),  # of its own, or starting workers would draw from the run's random numbers
    )


def _leave_signals_to_the_loop(worker: int) -> None:
    """Queue systems signal whole process groups; the loop saves, and ends its workers itself."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _collate(samples: Sequence[Sample | DataError], canvas: Size | None) -> Parcel | DataError:
    sound = _sound(samples)
    return sound if isinstance(sound, DataError) else pack(Batch.collate(sound, canvas))


def _collate_views(images: Sequence[list[Sample] | DataError], settings: Sequence[Data]) -> list[Parcel] | DataError:
    sound = _sound(images)
    if isinstance(sound, DataError):
        return sound
    return [pack(Batch.collate(list(seen), data.canvas)) for seen, data in zip(zip(*sound), settings, strict=True)]


def _sound(loaded: Sequence[Loaded | DataError]) -> list[Loaded] | DataError:
    """What was loaded, or the errors of all that could not be, together."""
    errors = [one for one in loaded if isinstance(one, DataError)]
    if errors:
        return DataError([problem for error in errors for problem in error.problems])
    return [one for one in loaded if not isinstance(one, DataError)]


def _raising(loader: DataLoader[Any]) -> Generator[Any, None, None]:
    try:
        for sent in loader:
            if isinstance(sent, DataError):
                raise sent
            yield [parcel.unpack() for parcel in sent] if isinstance(sent, list) else sent.unpack()
    finally:
        del loader  # or an exception's traceback would keep it, and kept workers, who leave signals to the loop
