"""Batches on their device, in the precision and memory layout a recipe asks for."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TypeVar

import torch
from torch import nn

from cvzoo.engine.cuda_graphs import replay_parts
from cvzoo.nn.deform import DeformConv
from cvzoo.nn.model import Model
from cvzoo.nn.resnet import ResNet
from cvzoo.recipes import Run
from cvzoo.structures import Batch

Module = TypeVar("Module", bound=nn.Module)
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
HALVED = nn.Conv2d, nn.ConvTranspose2d, nn.Linear
"""What autocast computes in half precision, of the layers that have weights."""


def autocast(run: Run, device: torch.device) -> torch.autocast:
    """The context in which the model's forward pass runs; does nothing in fp32."""
    return torch.autocast(device.type, DTYPES[run.precision], enabled=run.precision != "fp32")


def memory_format(run: Run, device: torch.device) -> torch.memory_format:
    """The layout of images and convolutions; where the recipe leaves it open, the faster one to train in."""
    channels_last = run.channels_last
    if channels_last is None:
        channels_last = device.type == "cuda" or torch.backends.cpu.get_cpu_capability() == "AVX512"
    return torch.channels_last if channels_last else torch.contiguous_format


def laid_out(model: Module, run: Run, device: torch.device) -> Module:
    """The model on `device`, its convolutions in the recipe's memory layout."""
    return model.to(device).to(memory_format=memory_format(run, device))  # type: ignore[call-overload]


def compiled(model: Module, run: Run, backend: str = "inductor") -> Module:
    """The model; with `run.compile` its parts, such as body, neck and heads, are compiled, each when it first runs.

    What lies between them depends on the data: who learns what, and which boxes there are. Lengths that change become
    symbols: neither another canvas nor another number of regions is compiled for, once there have been two.

    With `run.cuda_graphs` those of them that depend on the canvas alone are replayed at inference.
    """
    if run.compile:
        options = _compile_options(model, run)
        for part in _parts(model):
            part.compile(backend=backend, options=options)
    if run.cuda_graphs and not model.training:
        replay_parts(model)
    return model


def _parts(model: nn.Module) -> Iterator[nn.Module]:
    """Body, neck and heads; and the layers that a body which ends early leaves for the regions."""
    for child in model.children():
        yield from child if isinstance(child, nn.ModuleList) else [child]
        if isinstance(child, ResNet):
            yield from child.layers[child.stages :]


def _compile_options(model: nn.Module, run: Run) -> dict[str, bool] | None:
    """On a GPU channels stay last where sizes are symbols, too.

    Otherwise torch 2.14 asks for the strides of convolutions' gradients in numbers, which binds a graph to one canvas;
    and after eight of them it compiles no more.
    """
    device = next(model.parameters()).device
    if device.type == "cuda" and memory_format(run, device) is torch.channels_last:
        return {"force_layout_optimization": True}
    return None


def for_inference(model: Model, run: Run) -> Model:
    """An equal, faster model that cannot be trained, for `run.precision`.

    In half precision convolutions and linear layers hold the numbers that autocast would make of their weights call by
    call. Norms keep theirs, and so do deformable convolutions, which sample in float32.
    """
    fast = model.for_inference()
    if run.precision != "fp32":
        for layer in fast.modules():
            if isinstance(layer, HALVED) and not isinstance(layer, DeformConv):
                layer.to(DTYPES[run.precision])
    return fast


def place(batch: Batch, run: Run, device: torch.device) -> Batch:
    """The batch on `device`, its images in the recipe's memory layout.

    On a GPU the copy does not queue behind the step before, which the device is still at work on.
    """
    batch = _copied(batch, device) if device.type == "cuda" else batch.to(device)
    batch.images = batch.images.contiguous(memory_format=memory_format(run, device))
    return batch


def _copied(batch: Batch, device: torch.device) -> Batch:
    """The batch on a GPU; what is queued from now on waits for it."""
    queue, side = torch.cuda.current_stream(device), _side_stream(device)
    with torch.cuda.stream(side):
        batch = batch.to(device, non_blocking=True)
    queue.wait_stream(side)
    for tensor in batch.tensors():
        tensor.record_stream(queue)  # or its memory would be free for the next copy while the queue still needs it
    return batch


@lru_cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)


def split(batch: Batch, parts: int) -> list[Batch]:
    """The batch in equal parts, all on its canvas. The number of images must be a multiple of `parts`."""
    size = len(batch) // parts
    assert size * parts == len(batch)
    return [
        Batch(
            images=batch.images[i : i + size],
            sizes=batch.sizes[i : i + size],
            original_sizes=batch.original_sizes[i : i + size],
            targets=batch.targets[i : i + size],
            image_ids=batch.image_ids[i : i + size],
        )
        for i in range(0, len(batch), size)
    ]
