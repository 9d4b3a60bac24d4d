"""TensorMask: its aligned bipyramid beside the plainest form computed densely, and what the swap costs.

    OMP_NUM_THREADS=2 python benchmarks/tensormask.py [inference training] [--rounds 5] [--inference-size 800 1216]
        [--device cuda]

R-50-FPN at full width with random weights; the real image with most objects, whose windows are made to score high, so
that detections lie where a trained network has them. The peer, `dense`, does what detectron2 does on a CPU, where its
aligned heads cannot run: natural masks, all three towers everywhere, the usual convolutions, norms not folded.
detectron2 itself was measured with 11.9 CPU s for an image of 800x1216 and 8.22 for a training step at 512x512, both on
a CPU: a ratio of at most 0.9 is asked for there.
`swap_share` is the share of a training step that the swap takes, forwards and backwards: of its CPU time, on CUDA of
the time between two events; at most 0.25 is asked for.
One JSON line for each.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
import tyro
from common import FP32, alternate, built, our_step, ratios, report, seconds, training_step
from side_by_side import batch_of, sample
from torch import Tensor, nn

from cvzoo.engine.place import place
from cvzoo.nn.layers import ConvNorm, FixedBatchNorm2d
from cvzoo.nn.winograd import WinogradConv
from cvzoo.ops import swap_align2nat
from cvzoo.ops.anchors import anchors_of
from cvzoo.ops.transfer import on_device
from cvzoo.structures import Batch, Prediction, Size, size_of
from cvzoo.zoo.tensormask.head import Representation, TensorMaskHead
from cvzoo.zoo.tensormask.model import TensorMask, TensorMaskConfig
from cvzoo.zoo.tensormask.windows import Windows, match_windows

Task = Literal["inference", "training"]


class DenseHead(TensorMaskHead):
    """All boxes and natural masks, of which those of the windows are read."""

    def deltas(self, features: list[Tensor], windows: Windows) -> list[Tensor]:
        return [self.box_out(self.box_tower(x)) for x in features]

    def masks(self, features: list[Tensor], windows: Windows) -> Iterator[tuple[np.ndarray, Tensor]]:
        hidden = [self.mask_tower(x) for x in features]
        for level, x in enumerate(hidden):
            for kind, side in enumerate(self.sides):
                logits_NCHW = self.mask_out[str(side)](x)
                rows = windows.at(level, kind)
                if len(rows):
                    places = np.stack([at[rows] for at in (windows.image, windows.row, windows.column)])
                    image_P, row_P, column_P = on_device(places, x.device)
                    yield rows, logits_NCHW[image_P, :, row_P, column_P].unflatten(1, (side, side))


def random_model(representation: Representation, batch: Batch) -> TensorMask:
    """With activations near 1, as trained ones are, and high scores of the windows that learn an object."""
    torch.manual_seed(0)
    model = TensorMaskConfig(representation=representation).build().eval()
    for module in model.modules():
        if isinstance(module, FixedBatchNorm2d):
            nn.init.constant_(module.weight, 0.5)
    rise = rise_of(model, batch)

    def hook(_module: nn.Module, _inputs: Any, logits: Tensor) -> Tensor:
        grid = size_of(logits)
        rise[grid] = rise[grid].to(logits.device)  # where the model has moved to since
        return logits + rise[grid]

    model.head.cls_out.register_forward_hook(hook)
    return model


def dense_model(batch: Batch) -> TensorMask:
    """The peer, whose convolutions are the usual ones."""
    model = random_model("natural", batch)
    model.head.__class__ = DenseHead
    for layer in model.modules():
        if isinstance(layer, WinogradConv):
            layer.__class__ = ConvNorm  # pyright: ignore[reportAttributeAccessIssue]
    return model


@torch.no_grad()
def rise_of(model: TensorMask, batch: Batch) -> dict[Size, Tensor]:
    """By the size of a level: what its logits rise by."""
    images, config = model.config.pixels(batch.images, batch.sizes), model.config
    maps = model.raw(images).logits
    windows, grids = anchors_of(config.windows, maps, size_of(images)), [size_of(x) for x in maps]
    labels_NM = match_windows(config.windows, windows, grids, batch.targets, ()).labels_NM
    rise_NMK = torch.full((*labels_NM.shape, config.num_classes), -5.0)
    image_F, index_F = torch.where(labels_NM >= 0)
    rise_NMK[image_F, index_F, labels_NM[image_F, index_F]] = 5.0
    of_levels = rise_NMK.split([len(level) for level in windows], dim=1)
    return {grid: x.reshape(len(x), *grid, -1).permute(0, 3, 1, 2) for grid, x in zip(grids, of_levels)}


def inference(batch: Batch, rounds: int, device: torch.device) -> None:
    ours = random_model("bipyramid", batch).for_inference()
    dense = dense_model(batch)
    builders = {
        "ours": lambda: predicting(ours.to(device), lambda: place(batch, FP32, device)),
        "dense": lambda: predicting(dense.to(device), lambda: batch.to(device)),
    }
    sides, memory = built(builders, device)
    times = ratios(alternate(sides, rounds, device=device), "ours", "dense")
    found = windows_of(ours, batch.to(device))
    report("tensormask_inference", device, **times, **memory, size=batch.sizes[0], **found)


def predicting(model: TensorMask, placed: Callable[[], Batch]) -> Callable[[], list[Prediction]]:
    """From decoded images to predictions, both on the CPU."""
    return lambda: [found.to("cpu") for found in model.predict(placed())]


@torch.no_grad()
def windows_of(model: TensorMask, batch: Batch) -> dict[str, Any]:
    """How many detections there are, by the side of their masks."""
    images = model.config.pixels(batch.images, batch.sizes)
    (found,) = model.detections(model.raw(images), batch.sizes, size_of(images))
    return {"detections": len(found.masks), "mask_sides": dict(sorted(Counter(len(m) for m in found.masks).items()))}


def training(batch: Batch, rounds: int, device: torch.device) -> None:
    ours, dense = random_model("bipyramid", batch), dense_model(batch)

    def build_dense() -> Callable[[], None]:
        placed, model = batch.to(device), dense.to(device).train()
        return training_step(model, lambda: model(placed), FP32, device)

    sides, memory = built({"ours": partial(our_step, ours, batch, FP32, device), "dense": build_dense}, device)
    times = ratios(alternate(sides, rounds, device=device), "ours", "dense")
    share = statistics.median(swap_share(sides["ours"], device) for _ in range(rounds))
    report("tensormask_training", device, **times, **memory, swap_share=share, size=batch.sizes[0])


def swap_share(step: Callable[[], object], device: torch.device) -> float:
    """The time of the swap and of its gradient in that of a training step."""
    clock = 1 if device.type == "cuda" else 0
    spent: list[float] = []
    swap: Any = swap_align2nat._Swap
    plain = swap.forward, swap.backward

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            results: list[Any] = []
            spent.append(seconds(lambda: results.append(function(*arguments)), device)[clock])
            return results[0]

        return run

    swap.forward, swap.backward = (staticmethod(timed(function)) for function in plain)
    whole = seconds(step, device)[clock]
    swap.forward, swap.backward = map(staticmethod, plain)
    return sum(spent) / whole


def main(
    tasks: tyro.conf.Positional[tuple[Task, ...]] = ("inference", "training"),
    rounds: int = 5,
    inference_size: Size = (800, 1216),
    training_size: Size = (512, 512),
    images: int = 1,
    device: Literal["cpu", "cuda"] = "cpu",
) -> None:
    """`images` are those of a training step."""
    on = torch.device(device)
    if "inference" in tasks:
        inference(batch_of([sample(inference_size)]), rounds, on)
    if "training" in tasks:
        training(batch_of([sample(training_size)] * images), rounds, on)


if __name__ == "__main__":
    tyro.cli(main)
