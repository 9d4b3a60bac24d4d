"""The share of a training step that the assignment takes: who learns what, for two crowded images.

    python benchmarks/assignment.py [fcos atss ...] [--rounds 3] [--steps 1] [--height 800 --width 1333] [--boxes 60]
        [--device cuda]

Assignment is what a detector's `losses` does before it computes any loss. It is timed alone, on the network's outputs
for the batch; the step is forward, losses, backward and SGD of the same batch. The share is to stay under 5 %. R-50-FPN
with random weights, one JSON line for each detector.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Literal

import torch
import tyro
from common import FP32, alternate, built, our_step, report
from paste_masks import boxes_in
from side_by_side import batch_of, sample
from training_vs_retinanet import Detector, random_model

from cvzoo.engine.place import laid_out, place
from cvzoo.ops.anchors import anchors_of, per_anchor
from cvzoo.structures import Batch, Sample, Size, Target, size_of
from cvzoo.zoo.freeanchor.model import Bags, FreeAnchor, Localised

System = Literal["fcos", "freeanchor", "reppoints", "atss", "retinanet"]


def crowded(size: Size, boxes: int, seed: int) -> Sample:
    """An image under that many boxes of real objects, of random classes."""
    labels_G = torch.randint(80, (boxes,), generator=torch.Generator().manual_seed(seed))
    return replace(sample(size), target=Target(boxes_in(size, boxes, seed), labels_G))


@torch.no_grad()
def assignment(model: Detector, batch: Batch, device: torch.device) -> Callable[[], object]:
    """The detector's assignment for a batch, given its outputs."""
    model, batch = laid_out(model, FP32, device), place(batch, FP32, device)
    images = model.config.pixels(batch.images, batch.sizes)
    canvas = size_of(images)
    if not isinstance(model, FreeAnchor):
        return partial(model.matches, model.raw(images), batch.targets, batch.sizes, canvas)
    raw = model.raw(images)
    anchors_M4 = torch.cat(anchors_of(model.config.anchors, raw.logits, canvas))
    deltas_NM4 = torch.cat([per_anchor(x, 4) for x in raw.deltas], dim=1)

    def compete() -> tuple[Bags, Localised]:
        return model.bags(anchors_M4, batch.targets), model.localised(anchors_M4, deltas_NM4, batch.targets)

    return compete


def shares(system: System, batch: Batch, rounds: int, steps: int, device: torch.device) -> dict[str, float]:
    """Cost of the assignment relative to a whole step's. The model is gone when it returns."""
    model = random_model(system)
    builders = {
        "assignment": partial(assignment, model, batch, device),
        "step": partial(our_step, model, batch, FP32, device),
    }
    sides, memory = built(builders, device)
    alone = alternate({"assignment": sides["assignment"]}, rounds, device=device)["assignment"]
    step = alternate({"step": sides["step"]}, steps, device=device)["step"]
    return memory | {
        "share_cpu": alone["cpu"] / step["cpu"],
        "share_wall": alone["wall"] / step["wall"],
        "assignment_cpu_s": alone["cpu"],
        "step_cpu_s": step["cpu"],
    }


def main(
    systems: tyro.conf.Positional[tuple[System, ...]] = ("fcos", "freeanchor", "reppoints", "atss", "retinanet"),
    rounds: int = 3,
    steps: int = 1,
    height: int = 800,
    width: int = 1333,
    boxes: int = 60,
    device: Literal["cpu", "cuda"] = "cpu",
) -> None:
    batch, on = batch_of([crowded((height, width), boxes, seed) for seed in (0, 1)]), torch.device(device)
    for system in systems:
        figures = shares(system, batch, rounds, steps, on)
        report(f"assignment_{system}", on, **figures, size=[height, width], boxes=boxes, batch=len(batch))


if __name__ == "__main__":
    tyro.cli(main)
