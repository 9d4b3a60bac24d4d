"""TensorMask on the CPU: its aligned bipyramid beside the plainest form computed densely, and what the swap costs.

    OMP_NUM_THREADS=2 python benchmarks/tensormask.py [inference training] [--rounds 5] [--inference-size 800 1216]

R-50-FPN at full width with random weights whose scores spread so that there are 100 detections; the real image with
most objects. The peer, `dense`, does what detectron2 does on a CPU, where its aligned heads cannot run: natural masks,
all three towers everywhere, norms not folded. detectron2 itself was measured with 11.9 CPU s for an image of 800x1216
and 8.22 for a training step at 512x512: a ratio of at most 0.9 is asked for. `swap_share` is the share of a training
step that the swap takes, forwards and backwards; at most 0.25 is asked for. One JSON line for each.
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

from cvzoo.nn.layers import FixedBatchNorm2d
from cvzoo.ops import swap_align2nat
from cvzoo.structures import Batch, Size, size_of
from cvzoo.zoo.tensormask.head import Representation, TensorMaskHead
from cvzoo.zoo.tensormask.model import TensorMask, TensorMaskConfig
from cvzoo.zoo.tensormask.windows import Windows

Task = Literal["inference", "training"]
SPREAD = 0.5
"""Standard deviation of the logits: of the millions of pairs some thousands pass the threshold."""


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
    """With activations near 1, as trained ones are, and the same weights wherever two representations share them."""
    torch.manual_seed(0)
    model = TensorMaskConfig(representation=representation).build()
    for module in model.modules():
        if isinstance(module, FixedBatchNorm2d):
            nn.init.constant_(module.weight, 0.5)
    images = model.config.pixels(batch.images, batch.sizes)
    with torch.no_grad():
        logits = model.eval().raw(images).logits
        deviation = torch.cat([x.flatten() for x in logits]).std()
        model.head.cls_out.weight.mul_(SPREAD / deviation)
    return model


def inference(batch: Batch, rounds: int) -> None:
    ours: Any = random_model("bipyramid", batch).for_inference()
    dense = random_model("natural", batch)
    dense.head.__class__ = DenseHead
    times = alternate({"ours": lambda: ours.predict(batch), "dense": lambda: dense.predict(batch)}, rounds)
    report("tensormask_inference", **ratios(times, "ours", "dense"), size=batch.sizes[0], **windows_of(ours, batch))


@torch.no_grad()
def windows_of(model: TensorMask, batch: Batch) -> dict[str, Any]:
    """How many detections there are, by the side of their masks."""
    images = model.config.pixels(batch.images, batch.sizes)
    (found,) = model.detections(model.raw(images), batch.sizes, size_of(images))
    return {"detections": len(found.masks), "mask_sides": dict(sorted(Counter(len(m) for m in found.masks).items()))}


def training(batch: Batch, rounds: int) -> None:
    ours, dense = random_model("bipyramid", batch), random_model("natural", batch).train()
    dense.head.__class__ = DenseHead
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
