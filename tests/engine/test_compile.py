"""What `--run.compile` compiles gives what it gave before, in training and in inference."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters
from zoo.systems import narrow, total
from zoo.test_waits import SIZE, target_of

from cvzoo.engine.place import compiled, laid_out
from cvzoo.nn.fpn import FPN, FPNConfig
from cvzoo.recipes import Run
from cvzoo.structures import Batch

RUN = Run(compile=True)


def batch_of(images: int, classes: int) -> Batch:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(256, (images, 3, *SIZE), dtype=torch.uint8, generator=generator)
    targets = [target_of(3, classes, generator) for _ in range(images)]
    return Batch(pixels, [SIZE] * images, [SIZE] * images, targets, list(range(images)))


def learnt(model: Any, batch: Batch) -> dict[str, torch.Tensor]:
    """The losses of a batch and the gradients of the parameters."""
    torch.manual_seed(0)
    model.zero_grad()
    losses = model(batch)
    total(losses).backward()
    return losses | {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("row", ["mask_rcnn_r18_fpn_shapes", "fcn_r18_shapes", "treefilter_r18_shapes"])
def test_compiled_parts_learn_the_same(row: str) -> None:
    config = narrow(row).model
    plain = config.build().train()
    model = compiled(copy.deepcopy(plain), RUN, backend="eager")
    batch = batch_of(2, config.num_classes)
    before = counters["stats"]["unique_graphs"]
    for name, (one, other) in joined(learnt(model, batch), learnt(plain, batch)).items():
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")
    assert counters["stats"]["unique_graphs"] - before <= 12  # trees are neither traced nor is Numba, at work on them


def test_compiled_parts_answer_the_same() -> None:
    config = narrow("retinanet_r18_fpn_shapes").model
    plain = config.build().for_inference()
    batch = batch_of(2, config.num_classes)
    expected = plain.predict(batch)
    for found, other in zip(compiled(plain, RUN, backend="eager").predict(batch), expected, strict=True):
        assert len(found)
        for name in ("boxes", "scores", "labels"):
            torch.testing.assert_close(getattr(found, name), getattr(other, name), rtol=1e-4, atol=1e-4)


def test_layers_left_for_the_regions_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    model = compiled(narrow("faster_rcnn_r50_c4_shapes").model.build(), RUN, backend="eager")
    names = {module: name for name, module in model.named_modules()}
    plain, alone = nn.Conv2d.forward, []

    def forward(conv: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
        if not torch.compiler.is_compiling():
            alone.append(names[conv])
        return plain(conv, x)

    monkeypatch.setattr(nn.Conv2d, "forward", forward)
    model.backbone.layer4(torch.rand(2, model.backbone.channels[2], 6, 6))
    assert not alone


@pytest.mark.gpu
def test_canvases_after_the_second_are_not_compiled_for() -> None:
    torch._dynamo.reset()
    gpu = torch.device("cuda")
    layers = nn.Sequential(nn.Conv2d(4, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3, stride=2))
    model = compiled(laid_out(nn.Sequential(layers), RUN, gpu), RUN)
    before = counters["stats"]["unique_graphs"]
    for size in ((32, 48), (48, 32), (32, 40), (56, 44)):
        images = torch.rand(2, 4, *size, device=gpu).contiguous(memory_format=torch.channels_last)
        model(images).sum().backward()
    assert counters["stats"]["unique_graphs"] - before == 2


def joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Both values of each name; the names are the same."""
    assert one.keys() == other.keys()
    return {name: (value, other[name]) for name, value in one.items()}


def test_maps_of_a_pyramid_are_no_views_of_one_another() -> None:
    """torch.compile fails on such inputs once their size has changed."""
    maps = FPN(FPNConfig(channels=4, first_level=2, extra="pool"), (4, 4, 4, 4))(
        [torch.rand(1, 4, n, n) for n in (16, 8, 4, 2)]
    )
    assert len({x.untyped_storage().data_ptr() for x in maps}) == len(maps) == 5
