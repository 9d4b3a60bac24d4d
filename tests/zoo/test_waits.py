"""A training step may not wait on a GPU for each image or object: such operations are counted on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from zoo.systems import built, total

from cvzoo.structures import Batch, Mask, Target

SIZE = (96, 128)
WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "equal", "is_nonzero")
"""Operations whose result, or its shape, the program cannot know before a GPU has computed it."""
ROWS = {
    "centernet_r18_512": 1,
    "centernet_r18_dcn_512": 1,
    "centernet_dla34_512": 1,
    "centernet_hourglass104_512": 1,
    "cornernet_hourglass104_511": 1,
    "tensormask_r50_fpn_1x": 1,
}
"""Rows of which it is settled, and how often a step waits: once, for how many cells its Gaussians cover, or how many
windows learn an object."""


class Waits(TorchDispatchMode):
    """Collects the operations that would wait."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in WAITING or _by_mask(name, args) or _repeats(name, kwargs):
            self.found.append(name)
        return func(*args, **(kwargs or {}))


def _by_mask(name: str, args: Any) -> bool:
    indices = args[1] if name in ("index", "index_put", "index_put_") else []
    return any(index is not None and index.dtype is torch.bool for index in indices)


def _repeats(name: str, kwargs: Any) -> bool:
    return name == "repeat_interleave" and (kwargs or {}).get("output_size") is None


def waits_of_a_step(row: str, images: int, objects: int) -> list[str]:
    model = built(row).train()
    corner_N2 = torch.rand(objects, 2) * 60
    boxes = torch.cat([corner_N2, corner_N2 + 20], dim=1)
    masks: list[Mask] = [[np.array([x1, y1, x2, y1, x2, y2])] for x1, y1, x2, y2 in boxes.double().tolist()]
    target = Target(boxes, torch.arange(objects) % 3, masks)
    pixels = torch.randint(256, (images, 3, *SIZE), dtype=torch.uint8)
    batch = Batch(pixels, [SIZE] * images, [SIZE] * images, [target] * images, list(range(images)))
    with Waits() as waits:
        total(model(batch)).backward()
    return waits.found


@pytest.mark.parametrize("row", ROWS)
def test_a_step_waits_as_often_whatever_is_in_the_batch(row: str) -> None:
    few, many = waits_of_a_step(row, images=1, objects=2), waits_of_a_step(row, images=3, objects=7)
    assert len(few) == len(many) == ROWS[row], (few, many)


def test_what_waits_is_counted() -> None:
    x = torch.arange(4)
    with Waits() as waits:
        x[x > 1]
        torch.where(x > 1)
        x.sum().item()
        x.unique()
        torch.repeat_interleave(x)
        torch.repeat_interleave(x, output_size=6)
        x[torch.tensor([1, 2])]
    assert waits.found == ["index", "nonzero", "_local_scalar_dense", "_unique2", "repeat_interleave"]
