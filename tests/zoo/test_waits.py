"""A training step may not wait on a GPU for each image or object: such operations are counted on the CPU."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from zoo.systems import narrow

from cvzoo.engine.state import State
from cvzoo.engine.train import step
from cvzoo.nn import roi_pool
from cvzoo.ops import nms, transfer
from cvzoo.parts.rcnn import rpn
from cvzoo.recipes import Recipe
from cvzoo.structures import Batch, Mask, Surface, Target
from cvzoo.zoo.treefilter import tree

SIZE = (96, 128)
WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "equal", "is_nonzero", "nms")
"""Operations whose result, or its shape, the program cannot know before a GPU has computed it."""
ROWS = {
    "retinanet_r18_fpn_shapes": 1,
    "fcos_r18_fpn_shapes": 1,
    "freeanchor_r18_fpn_shapes": 2,
    "atss_r18_fpn_shapes": 1,
    "reppoints_moment_r18_fpn_shapes": 2,
    "faster_rcnn_r18_fpn_shapes": 7,
    "faster_rcnn_r50_c4_shapes": 7,
    "tridentnet_r50_c4_shapes": 7,
    "mask_rcnn_r18_fpn_shapes": 9,
    "cascade_mask_rcnn_r18_fpn_shapes": 12,
    "densepose_r18_fpn_shapes": 9,
    "tensormask_r50_fpn_1x": 2,
    "centernet_r18_512": 1,
    "centernet_r18_dcn_512": 1,
    "centernet_dla34_512": 1,
    "centernet_hourglass104_512": 1,
    "cornernet_hourglass104_511": 1,
    "fcn_r18_shapes": 0,
    "pspnet_r18_shapes": 0,
    "deeplabv3plus_r18_shapes": 0,
    "gcnet_r18_shapes": 0,
    "treefilter_r18_shapes": 0,
}
"""Rows and how often a step waits at most. One more look at whether NMS has settled is allowed for in R-CNNs."""


class Waits(TorchDispatchMode):
    """Collects the operations that would wait, while a test runs a GPU's ways."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.found: list[str] = []
        for owner, name in ((torch.Tensor, "tolist"), (torch.Tensor, "cpu"), (torch.Tensor, "new_tensor")):
            self._count(patch, owner, name)
        self._count(patch, torch, "tensor")

    def _count(self, patch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
        """Count calls of what no dispatch shows; `torch.tensor` where it is given a device."""
        plain = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            if name != "tensor" or "device" in kwargs:
                self.found.append(name)
            return plain(*args, **kwargs)

        patch.setattr(owner, name, counted)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in WAITING or _by_mask(name, args):
            self.found.append(name)
        if _repeats(name, kwargs):
            self.found += [name, name]  # for the sum, and for whether none is negative
        return func(*args, **(kwargs or {}))


def _by_mask(name: str, args: Any) -> bool:
    indices = args[1] if name in ("index", "index_put", "index_put_") else []
    return any(index is not None and index.dtype is torch.bool for index in indices)


def _repeats(name: str, kwargs: Any) -> bool:
    return name == "repeat_interleave" and (kwargs or {}).get("output_size") is None


def target_of(objects: int, classes: int, generator: torch.Generator) -> Target:
    """So many objects, with everything that a system may learn of them."""
    corner_N2 = torch.rand(objects, 2, generator=generator) * 60
    boxes = torch.cat([corner_N2, corner_N2 + 20 + corner_N2.flip(1) / 4], dim=1)
    masks: list[Mask] = [[np.array([x1, y1, x2, y1, x2, y2])] for x1, y1, x2, y2 in boxes.double().tolist()]
    surfaces: list[Surface | None] = [
        Surface((x1, y1, x2, y2), torch.rand(5, 2) * 256, torch.arange(1, 6), torch.rand(5, 2))
        for x1, y1, x2, y2 in boxes.tolist()
    ]
    label_map = torch.randint(classes, SIZE, dtype=torch.uint8, generator=generator)
    return Target(boxes, torch.arange(objects) % classes, masks, label_map, surfaces)


def batch_of(recipe: Recipe, images: int, objects: int) -> Batch:
    """So many images of so many objects, and of one more in turn."""
    generator = torch.Generator().manual_seed(1)
    targets = [target_of(objects + n % 2, recipe.model.num_classes, generator) for n in range(images)]
    pixels = torch.randint(256, (images, 3, *SIZE), dtype=torch.uint8, generator=generator)
    return Batch(pixels, [SIZE] * images, [SIZE] * images, targets, list(range(images)))


def waits_of_a_step(row: str, images: int, objects: int) -> list[str]:
    """Of everything that the engine does in a step: forward, losses, backward, the check of both, the optimiser."""
    torch.manual_seed(0)
    recipe = narrow(row)
    recipe = replace(recipe, run=replace(recipe.run, channels_last=False, device="cpu"))
    state = State.begin(recipe, recipe.model.build(), torch.device("cpu"))
    batch = batch_of(recipe, images, objects)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(roi_pool, "_pool_bags", roi_pool._pool_levels)
        patch.setattr(rpn, "suppress_levels", nms._at_once)
        patch.setattr(tree, "_method", lambda _: "jump")
        with Waits(patch) as waits:
            step(state.model, batch, state, recipe)
    state.read()
    return waits.found


@pytest.mark.parametrize("row", ROWS)
def test_a_step_waits_as_often_whatever_is_in_the_batch(row: str) -> None:
    few, many = waits_of_a_step(row, images=2, objects=2), waits_of_a_step(row, images=8, objects=7)
    assert max(len(few), len(many)) <= ROWS[row], (few, many)


def test_what_waits_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.arange(4)
    with Waits(monkeypatch) as waits:
        x[x > 1]
        torch.where(x > 1)
        x.sum().item()
        x.unique()
        torch.repeat_interleave(x)
        torch.repeat_interleave(x, output_size=6)
        x[torch.tensor([1, 2])]
        x.tolist()
        x.cpu()
        x.new_tensor([1])
        torch.tensor([1], device=x.device)
        transfer.rows_where([x > 1, x > 2])
    names = ["index", "nonzero", "_local_scalar_dense", "_unique2", *["repeat_interleave"] * 2]
    assert waits.found == [*names, "tolist", "cpu", "new_tensor", "tensor", "tolist"]
