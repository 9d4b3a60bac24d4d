"""Inference in half precision: weights are stored so, and the answers are those of autocast, which casts them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from zoo.systems import built
from zoo.test_waits import SIZE

from cvzoo.engine.place import autocast, for_inference
from cvzoo.nn.deform import DeformConv
from cvzoo.recipes import Run
from cvzoo.structures import Batch, Target

CPU = torch.device("cpu")
RUN = Run(precision="bf16")
EPS = torch.finfo(torch.bfloat16).eps
ROWS = (
    "retinanet_r18_fpn_shapes",
    "reppoints_moment_r18_fpn_shapes",
    "mask_rcnn_r18_fpn_shapes",
    "densepose_r18_fpn_shapes",
    "centernet_r18_dcn_512",
    "cornernet_hourglass104_511",
    "deeplabv3plus_r18_shapes",
    "gcnet_r18_shapes",
)
"""Norms of all kinds, deformable convolutions, deconvolutions, linear layers, and those that read others' weights."""


class Casts(TorchDispatchMode):
    """Collects the tensors that are cast from float32 to half precision."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket is torch.ops.aten._to_copy and (kwargs or {}).get("dtype") is torch.bfloat16:
            self.found.add(args[0].data_ptr())
        return func(*args, **(kwargs or {}))


def answers(model: Any) -> tuple[list[Tensor], list[Tensor], Casts]:
    """The raw outputs of two images, the numbers of its answers, and what is cast for them."""
    pixels = torch.randint(256, (2, 3, *SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    batch = Batch(pixels, [SIZE] * 2, [SIZE] * 2, [Target.empty()] * 2, [0, 1])
    with torch.no_grad(), autocast(RUN, CPU), Casts() as casts:
        raw = model.raw(model.config.pixels(batch.images, batch.sizes))
        found = model.predict(batch)
    numbers = [value for answer in found for value in vars(answer).values() if isinstance(value, Tensor)]
    return [x for x in tree_leaves(raw) if isinstance(x, Tensor)], numbers, casts


@pytest.mark.parametrize("row", ROWS)
def test_weights_stored_in_bf16_answer_as_autocast_does(row: str) -> None:
    model = built(row)
    plain, half = model.for_inference(), for_inference(model, RUN)
    expected_raw, expected, cast_before = answers(plain)
    raw, found, cast_now = answers(half)
    for one, other in zip(raw + found, expected_raw + expected, strict=True):
        assert one.dtype == other.dtype
        torch.testing.assert_close(one, other, rtol=EPS, atol=EPS)
    assert sum(len(x) for x in found)
    weights = {p.data_ptr() for layer in halved(plain) for p in layer.parameters(recurse=False)}
    assert weights & cast_before.found
    weights = {p.data_ptr() for layer in halved(half) for p in layer.parameters(recurse=False)}
    assert not weights & cast_now.found


def halved(model: nn.Module) -> list[nn.Module]:
    """The layers that compute in half precision, and nothing else."""
    layers = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    return [x for x in model.modules() if isinstance(x, layers) and not isinstance(x, DeformConv)]


def test_norms_deformable_convolutions_and_boxes_stay_in_float32() -> None:
    model = built("centernet_r18_dcn_512")
    half = for_inference(model, RUN)
    low = {id(p) for layer in halved(half) for p in layer.parameters(recurse=False)}
    kept = [p for p in half.parameters() if id(p) not in low]
    assert kept
    assert {p.dtype for p in [*kept, *half.buffers()] if p.is_floating_point()} == {torch.float32}
    assert {p.dtype for p in half.parameters() if id(p) in low} == {torch.bfloat16}
    assert {p.dtype for p in model.parameters()} == {torch.float32}
