"""Training on images of many sizes must not cost much more per pixel than on one size.

    python benchmarks/mixed_sizes.py [--steps 30] [--short-side 320] [--root ../shared/data/coco] [--device cuda]

Trains RetinaNet with EfficientNet-Lite0 on real images as they come, each batch on a canvas of its own, and on one
fixed canvas; prints the ratio of time per padded pixel, which is to be at most 1.25 in process CPU time on a CPU. On
CUDA, time runs between two events, and peak memory is told of both.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
import tyro
from common import DATA, report, seconds

import cvzoo
from cvzoo.data.build import build_dataset
from cvzoo.data.config import Data
from cvzoo.data.loader import training_batches
from cvzoo.engine.measure import peak_memory_gb, reset_peak_memory
from cvzoo.engine.place import place
from cvzoo.engine.state import State
from cvzoo.engine.train import step
from cvzoo.recipes import Recipe


def cost_per_pixel(recipe: Recipe[Any], steps: int, device: torch.device) -> tuple[dict[str, float], int]:
    """Seconds per million padded pixels, CPU and wall, on CUDA MB of memory at the peak; and the number of canvases."""
    reset_peak_memory(device)
    torch.manual_seed(0)
    state = State.begin(recipe, recipe.model.build(), device)
    dataset = build_dataset(recipe.data, "train")
    batches = training_batches(dataset, recipe.data, batch=recipe.schedule.batch, seed=0, start_step=0, steps=steps + 2)
    pixels, canvases, cpu, wall = 0, set(), 0.0, 0.0
    for number, batch in enumerate(batches):
        batch = place(batch, recipe.run, device)
        step_cpu, step_wall = seconds(partial(step, state.model, batch, state, recipe), device)
        if number >= 2:
            cpu, wall = cpu + step_cpu, wall + step_wall
            height, width = (side + -side % recipe.model.pixels.divisor for side in batch.images.shape[-2:])
            pixels += len(batch) * height * width
            canvases.add((height, width))
    memory = {"memory": 1000 * peak_memory_gb(device)} if device.type == "cuda" else {}
    return {"cpu": cpu / pixels * 1e6, "wall": wall / pixels * 1e6} | memory, len(canvases)


def main(
    steps: int = 30, short_side: int = 320, root: Path = DATA / "coco", device: Literal["cpu", "cuda"] = "cpu"
) -> None:
    recipe, on = cvzoo.recipe("retinanet_lite0_fpn_320_mini"), torch.device(device)
    long_side = short_side * 5 // 3

    def with_data(**changed: Any) -> Recipe[Any]:
        changed |= {"root": root, "max_long_side": long_side}
        data: Data = replace(recipe.data, short_sides=(short_side,), test_short_side=short_side, **changed)
        return replace(recipe, data=data)

    mixed, canvases = cost_per_pixel(with_data(canvas=None), steps, on)
    fixed, _ = cost_per_pixel(with_data(canvas=(long_side, long_side)), steps, on)
    sides = {"mixed": mixed, "fixed": fixed}
    report(
        "mixed_sizes",
        on,
        **{f"ratio_{name}": mixed[name] / fixed[name] for name in mixed},
        canvases=canvases,
        steps=steps,
        **{f"{name}_s_per_mpixel": side["wall"] for name, side in sides.items()},
        **{f"{name}_peak_mb": side["memory"] for name, side in sides.items() if "memory" in side},
    )


if __name__ == "__main__":
    tyro.cli(main)
