"""A batch on its way from a loader worker, in two tensors.

Every storage that a worker sends is an open file of both processes until it is freed. Boxes, labels, label maps and
surfaces of 16 images would be dozens, and systems allow a process a few hundred; so they travel as one.
"""

from __future__ import annotations

import io
import math
import pickle
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cvzoo.structures import Batch

ALIGNED = 16
"""Each tensor begins at a multiple of so many bytes, as its numbers need it."""
_Place = tuple[int, torch.dtype, tuple[int, ...]]
"""First byte, kind of the numbers, and shape."""


@dataclass
class Parcel:
    """What `pack` makes of a batch."""

    images: Tensor
    rest: Tensor
    """uint8: the bytes of all other tensors."""
    content: bytes
    """The batch, with the tensors' places for the tensors."""

    def pin_memory(self) -> Parcel:
        """Called by torch's DataLoader when it pins."""
        self.images, self.rest = self.images.pin_memory(), self.rest.pin_memory()
        return self

    def unpack(self) -> Batch:
        """The batch; its tensors lie where they came."""
        return _Unpickler(self).load()


def pack(batch: Batch) -> Parcel:
    """Put a batch into two tensors."""
    content = io.BytesIO()
    pickler = _Pickler(content, batch.images)
    pickler.dump(batch)
    rest = torch.zeros(pickler.size, dtype=torch.uint8)
    for start, tensor in pickler.tensors:
        if tensor.numel():  # of an empty one NumPy makes strides 0, which torch does not view
            found = tensor.contiguous().view(-1).view(torch.uint8)
            rest[start : start + len(found)] = found
    return Parcel(batch.images, rest, content.getvalue())


class _Pickler(pickle.Pickler):
    """Leaves tensors out, and notes where each is to lie."""

    def __init__(self, file: io.BytesIO, images: Tensor) -> None:
        super().__init__(file)
        self.images, self.size = images, 0
        self.tensors: list[tuple[int, Tensor]] = []

    def persistent_id(self, obj: Any) -> _Place | str | None:
        if obj is self.images:
            return "images"
        if not isinstance(obj, Tensor):
            return None
        start = self.size
        self.tensors.append((start, obj))
        self.size += math.ceil(obj.nbytes / ALIGNED) * ALIGNED
        return start, obj.dtype, tuple(obj.shape)


class _Unpickler(pickle.Unpickler):
    """Puts them back."""

    def __init__(self, parcel: Parcel) -> None:
        super().__init__(io.BytesIO(parcel.content))
        self.parcel = parcel

    def persistent_load(self, pid: Any) -> Tensor:
        if pid == "images":
            return self.parcel.images
        start, dtype, shape = pid
        size = math.prod(shape) * dtype.itemsize
        return self.parcel.rest[start : start + size].view(dtype).view(shape)
