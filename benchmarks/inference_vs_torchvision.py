"""Inference beside torchvision: same architecture, weights and images, alternating in one process.

    python benchmarks/inference_vs_torchvision.py retinanet fcos [--precision fp32 bf16] [--rounds 7]
        [--height 800 --width 1216] [--batch 1 8] [--device cuda [--graphs]]

A JSON line for each detector, batch and precision. Both sides go from decoded images on the CPU to final detections
there, which are compared before anything is timed. On a CPU bf16 is ours alone; on CUDA both sides have the same
precision, and peak memory is told too. Masks are pasted into the image on both sides: ours are run-length codes then,
torchvision's (D, 1, H, W) floats, which its caller has yet to threshold. Those of random weights are ragged, and that
costs ours more than real ones.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Literal

import torch
import tyro
from common import FP32, alternate, built, ratios, report
from side_by_side import BACKGROUND, System, batch_of, pair, sample
from torch import Tensor, nn

from cvzoo.engine.place import autocast, compiled, for_inference, place, split
from cvzoo.nn.model import Model
from cvzoo.ops.class_ids import classes_of
from cvzoo.recipes import Run
from cvzoo.recipes.recipe import Precision
from cvzoo.structures import Batch, Prediction


def main(
    systems: tyro.conf.Positional[tuple[System, ...]],
    precision: tuple[Precision, ...] = ("fp32",),
    rounds: int = 7,
    height: int = 800,
    width: int = 1216,
    batch: tuple[int, ...] = (1,),
    device: Literal["cpu", "cuda"] = "cpu",
    graphs: bool = False,
) -> None:
    for system, size, number in product(systems, batch, precision):
        images = batch_of([sample((height, width))] * size)
        compare(system, images, Run(precision=number, device=device, cuda_graphs=graphs), rounds)


def compare(system: System, images: Batch, run: Run, rounds: int) -> None:
    """Both models are gone when it returns."""
    device = torch.device(run.device)
    theirs, ours = pair(system, split(images, len(images))[0])
    class_ids = ours.config.class_ids
    sides, memory = built(
        {
            "ours": lambda: our_side(ours, images, run, device),
            "torchvision": lambda: their_side(theirs, images, run if run.device == "cuda" else FP32, device),
        },
        device,
    )
    found, expected = sides["ours"]()[0], sides["torchvision"]()[0]
    labels = classes_of(expected["labels"] - BACKGROUND[system], class_ids)
    report(
        f"inference_{system}_{run.precision}{'_graphs' if run.cuda_graphs else ''}",
        device,
        **ratios(alternate(sides, rounds, device=device)),
        **memory,
        size=images.sizes[0],
        batch=len(images),
        detections=len(found),
        torchvision_detections=len(labels),
        detections_equal=matched(found, expected["boxes"], expected["scores"], labels),
    )


def our_side(model: Model, batch: Batch, run: Run, device: torch.device) -> Callable[[], list[Prediction]]:
    fast = compiled(for_inference(model, run).to(device), run)

    def detect() -> list[Prediction]:
        with autocast(run, device):
            return [found.to("cpu") for found in fast.predict(place(batch, run, device))]

    return detect


def their_side(model: nn.Module, batch: Batch, run: Run, device: torch.device) -> Callable[[], list[dict[str, Tensor]]]:
    model.to(device)

    def detect() -> list[dict[str, Tensor]]:
        images = [image.to(device) / 255 for image in batch.images]
        with torch.no_grad(), autocast(run, device):
            return [_boxes_on_cpu(found) for found in model(images)]

    return detect


def _boxes_on_cpu(found: dict[str, Tensor]) -> dict[str, Tensor]:
    """Masks stay where they are: they are floats of the whole image."""
    return {name: value if name == "masks" else value.cpu() for name, value in found.items()}


def matched(found: Prediction, boxes: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor) -> int:
    """How many of torchvision's detections ours has: same class, box within 0.1 px, score within 1e-4."""
    near = (found.boxes[None] - boxes[:, None]).abs().amax(-1) < 0.1
    near &= (found.scores[None] - scores[:, None]).abs() < 1e-4
    near &= found.labels[None] == labels[:, None]
    return int(near.any(dim=1).sum())


if __name__ == "__main__":
    tyro.cli(main)
