"""TensorMask on the CPU: its aligned bipyramid beside the plainest form computed densely, and what the swap costs.

    OMP_NUM_THREADS=2 python benchmarks/tensormask.py [inference training] [--rounds 5] [--inference-size 800 1216]

R-50-FPN at full width with random weights; the real image with most objects, whose windows are made to score high, so
that detections lie where a trained network has them. The peer, `dense`, does what detectron2 does on a CPU, where its
aligned heads cannot run: natural masks, all three towers everywhere, the usual convolutions, norms not folded.
detectron2 itself was measured with 11.9 CPU s for an image of 800x1216 and 8.22 for a training step at 512x512: a ratio
of at most 0.9 is asked for.
`swap_share` is the share of a training step that the swap takes, forwards and backwards; at most 0.25 is asked for.
One JSON line for each.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import torch
import tyro
from common import alternate, our_step, ratios, report, training_step
from side_by_side import batch_of, sample
from torch import Tensor, nn

from cvzoo.nn.layers import ConvNorm, FixedBatchNorm2d
from cvzoo.nn.winograd import WinogradConv
from cvzoo.ops import swap_align2nat
from cvzoo.ops.anchors import anchors_of
from cvzoo.structures import Batch, Size, size_of
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
                    places = (torch.from_numpy(at[rows]) for at in (windows.image, windows.row, windows.column))
                    image_P, row_P, column_P = places
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
        return logits + rise[size_of(logits)]

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


def inference(batch: Batch, rounds: int) -> None:
    ours: Any = random_model("bipyramid", batch).for_inference()
    dense = dense_model(batch)
    times = alternate({"ours": lambda: ours.predict(batch), "dense": lambda: dense.predict(batch)}, rounds)
    report("tensormask_inference", **ratios(times, "ours", "dense"), size=batch.sizes[0], **windows_of(ours, batch))


@torch.no_grad()
def windows_of(model: TensorMask, batch: Batch) -> dict[str, Any]:
    """How many detections there are, by the side of their masks."""
    images = model.config.pixels(batch.images, batch.sizes)
    (found,) = model.detections(model.raw(images), batch.sizes, size_of(images))
    return {"detections": len(found.masks), "mask_sides": dict(sorted(Counter(len(m) for m in found.masks).items()))}


def training(batch: Batch, rounds: int) -> None:
    ours, dense = random_model("bipyramid", batch), dense_model(batch).train()
    sides: dict[str, Callable[[], object]] = {
        "ours": our_step(ours, batch),
        "dense": training_step(dense, lambda: dense(batch)),
    }
    times = alternate(sides, rounds)
    shares = [swap_share(sides["ours"]) for _ in range(rounds)]
    share = sorted(shares)[rounds // 2]
    report("tensormask_training", **ratios(times, "ours", "dense"), swap_share=share, size=batch.sizes[0])


def swap_share(step: Callable[[], object]) -> float:
    """CPU time of the swap and of its gradient in that of a training step."""
    spent: list[float] = []
    swap: Any = swap_align2nat._Swap
    plain = swap.forward, swap.backward

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            start = time.process_time()
            result = function(*arguments)
            spent.append(time.process_time() - start)
            return result

        return run

    swap.forward, swap.backward = (staticmethod(timed(function)) for function in plain)
    start = time.process_time()
    step()
    whole = time.process_time() - start
    swap.forward, swap.backward = map(staticmethod, plain)
    return sum(spent) / whole


def main(
    tasks: tyro.conf.Positional[tuple[Task, ...]] = ("inference", "training"),
    rounds: int = 5,
    inference_size: Size = (800, 1216),
    training_size: Size = (512, 512),
    images: int = 1,
) -> None:
    """`images` are those of a training step."""
    if "inference" in tasks:
        inference(batch_of([sample(inference_size)]), rounds)
    if "training" in tasks:
        training(batch_of([sample(training_size)] * images), rounds)


if __name__ == "__main__":
    tyro.cli(main)
