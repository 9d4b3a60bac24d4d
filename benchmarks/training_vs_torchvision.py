"""One training step beside torchvision: forward, losses, backward and an SGD step.

    python benchmarks/training_vs_torchvision.py retinanet fcos [--rounds 7] [--height 512 --width 512]
        [--batch 2 16] [--precision fp32 bf16] [--device cuda]

A JSON line for each detector, batch and precision. Time alternates in one process. On a CPU peak memory is that of a
fresh process for each side, everything included; on CUDA what a side adds. Masks are given as each side takes them:
ours as COCO's polygons, torchvision's as bitmaps that have been drawn beforehand, and lie on the GPU.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from typing import Literal

import torch
import tyro
from common import alternate, built, our_step, ratios, report, training_step
from side_by_side import System, batch_of, pair, sample, torchvision_inputs

from cvzoo.engine.measure import peak_memory_gb, reset_peak_memory
from cvzoo.engine.place import split
from cvzoo.recipes import Run
from cvzoo.recipes.recipe import Precision
from cvzoo.structures import Batch

Side = Literal["ours", "torchvision"]


def builders(
    system: System, batch: Batch, run: Run, device: torch.device
) -> dict[Side, Callable[[], Callable[[], None]]]:
    theirs, ours = pair(system, split(batch, len(batch))[0])

    def build_theirs() -> Callable[[], None]:
        images, targets = torchvision_inputs(system, batch, ours.config.class_ids)
        images = [image.to(device) for image in images]
        targets = [{name: value.to(device) for name, value in target.items()} for target in targets]
        theirs.to(device).train()
        return training_step(theirs, lambda: theirs(images, targets), run, device)

    return {"ours": lambda: our_step(ours, batch, run, device), "torchvision": build_theirs}


def peak_mb(system: System, side: Side, *options: str) -> float:
    """Peak resident memory of a fresh process that does three steps of one side."""
    command = [sys.executable, __file__, system, "--only", side, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])["peak_mb"]


def compare(system: System, batch: Batch, run: Run, rounds: int) -> None:
    """Both models are gone when it returns."""
    device = torch.device(run.device)
    sides, memory = built(builders(system, batch, run, device), device)
    times = alternate(sides, rounds, device=device, in_a_row=5)
    height, width = batch.sizes[0]
    if run.device == "cpu":
        options = {"height": height, "width": width, "batch": len(batch), "precision": run.precision}
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        ours, theirs = (peak_mb(system, side, *words) for side in ("ours", "torchvision"))
        memory = {"ratio_memory": ours / theirs, "ours_peak_mb": ours, "torchvision_peak_mb": theirs}
    name = f"training_{system}_{run.precision}"
    report(name, device, **ratios(times), **memory, size=[height, width], batch=len(batch))


def three_steps(system: System, batch: Batch, run: Run, side: Side) -> None:
    """Print the peak memory of one side alone."""
    device = torch.device(run.device)
    sides = builders(system, batch, run, device)
    step = sides[side]()
    sides.clear()  # the other side's model goes
    gc.collect()
    reset_peak_memory(device)
    for _ in range(3):
        step()
    print(json.dumps({"peak_mb": peak_memory_gb(device) * 1000}))


def main(
    systems: tyro.conf.Positional[tuple[System, ...]],
    rounds: int = 7,
    height: int = 512,
    width: int = 512,
    batch: tuple[int, ...] = (2,),
    precision: tuple[Precision, ...] = ("fp32",),
    device: Literal["cpu", "cuda"] = "cpu",
    only: Side | None = None,
) -> None:
    for system, size, number in product(systems, batch, precision):
        images = batch_of([sample((height, width))] * size)
        run = Run(precision=number, device=device)
        if only:
            three_steps(system, images, run, only)
        else:
            compare(system, images, run, rounds)


if __name__ == "__main__":
    tyro.cli(main)
