"""A batch travels from a worker in few storages and comes out as it went in."""

from __future__ import annotations

import io
import pickle
from dataclasses import replace
from functools import partial
from multiprocessing.reduction import ForkingPickler
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from cvzoo.data.build import build_dataset
from cvzoo.data.config import Data, Shapes
from cvzoo.data.loader import _collate, training_batches
from cvzoo.data.parcel import pack
from cvzoo.engine.place import place
from cvzoo.recipes import Run
from cvzoo.structures import Batch, Sample, Surface, Target

DATA = Data(
    source="shapes",
    shapes=Shapes(size=48, train_images=16),
    short_sides=(48,),
    test_short_side=48,
    max_long_side=64,
    workers=0,
)


class Copies(TorchDispatchMode):
    """Counts copies between devices."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func.overloadpacket.__name__ == "_to_copy"
        return func(*args, **(kwargs or {}))


class Storages(ForkingPickler):
    """Counts the storages that a worker would send; each is a file descriptor."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO())
        self.found: set[int] = set()

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, Tensor):
            self.found.add(obj.untyped_storage().data_ptr())
            return bytes, ()
        return NotImplemented


def tensors(value: Any) -> list[Tensor]:
    """All tensors in a batch, in order."""
    if isinstance(value, Tensor):
        return [value]
    parts = value if isinstance(value, list | tuple) else getattr(value, "__dict__", {}).values()
    return [tensor for part in parts for tensor in tensors(part)]


def samples(data: Data) -> list[Sample]:
    dataset = build_dataset(data, "train")
    return [dataset[index] for index in range(16)]


@pytest.mark.parametrize(
    "data",
    [
        DATA,
        replace(DATA, masks=True),
        replace(DATA, shapes=Shapes(size=48, train_images=16, label_maps=True)),
        replace(DATA, shapes=Shapes(size=48, train_images=16, figures=True), surfaces=True, charts="flat"),
    ],
    ids=["boxes", "masks", "label maps", "surfaces"],
)
def test_a_batch_of_16_travels_in_two_storages(data: Data) -> None:
    sent = samples(data)
    counter = Storages()
    counter.dump(_collate(sent, None))
    assert len(counter.found) == 2
    parcel, batch = pack(Batch.collate(sent)), Batch.collate(sent)
    for arrived in (parcel.unpack(), pickle.loads(pickle.dumps(parcel)).unpack()):
        assert arrived.image_ids == batch.image_ids
        assert str(arrived.targets) == str(batch.targets)
        with Copies() as copies:
            elsewhere = arrived.to("meta")
        assert copies.count == 2
        assert [t.shape for t in elsewhere.tensors()] == [t.shape for t in batch.tensors()]
        assert {t.device.type for t in elsewhere.tensors()} == {"meta"}
        assert all(map(torch.equal, arrived.to("cpu").tensors(), batch.tensors()))
        for one, other in zip(tensors(arrived), tensors(batch), strict=True):
            assert one.dtype == other.dtype
            assert torch.equal(one, other)


def test_odd_tensors() -> None:
    """Empty ones, views with gaps, single bytes before numbers that must be aligned."""
    surface = Surface((0, 0, 1, 1), torch.rand(3, 5)[:, :2], torch.arange(3), torch.rand(3, 5)[:, 3:], None)
    label_map = torch.randint(5, (3, 3), dtype=torch.uint8)
    target = Target(torch.rand(1, 4), torch.ones(1, dtype=torch.int64), None, label_map, [surface])
    batch = Batch.collate([Sample(torch.zeros(3, 3, 3, dtype=torch.uint8), one) for one in (Target.empty(), target)])
    arrived = pack(batch).unpack()
    assert arrived.images is batch.images
    assert arrived.targets[0].boxes.shape == (0, 4)
    for one, other in zip(tensors(arrived), tensors(batch), strict=True):
        assert torch.equal(one, other)


@pytest.mark.gpu
def test_pinned_batches_are_on_a_gpu_what_they_were() -> None:
    data, device = replace(DATA, workers=1), torch.device("cuda", torch.cuda.current_device())
    load = partial(training_batches, build_dataset(data, "train"), data, batch=4, seed=0, start_step=0, steps=4)
    for pinned, plain in zip(load(pin=True), load()):
        assert all(tensor.is_pinned() for tensor in pinned.tensors() if tensor.numel())
        placed = place(pinned, Run(), device)
        assert all(map(torch.equal, placed.to("cpu").tensors(), plain.tensors()))


@pytest.mark.parametrize("workers", [0, 1])
def test_targets_of_a_batch_share_a_storage(workers: int) -> None:
    data = replace(DATA, workers=workers)
    dataset = build_dataset(data, "train")
    load = partial(training_batches, dataset, data, batch=16, seed=0, start_step=0, steps=1)
    (batch,) = load()
    assert len({tensor.untyped_storage().data_ptr() for tensor in tensors(batch.targets)}) == 1
