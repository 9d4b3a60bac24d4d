"""Training on images of many sizes must not cost much more per pixel than on one size (CPU).

    python benchmarks/mixed_sizes.py [--steps 30] [--short-side 320] [--root ../shared/data/coco]

Trains RetinaNet with EfficientNet-Lite0 on real images as they come, each batch on a canvas of its own, and on one
fixed canvas; prints the ratio of process CPU time per padded pixel, which is to be at most 1.25.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import tyro
from common import DATA, report

import cvzoo
from cvzoo.data.build import build_dataset
from cvzoo.data.config import Data
from cvzoo.data.loader import training_batches
from cvzoo.engine.place import place
from cvzoo.engine.state import State
from cvzoo.engine.train import step
from cvzoo.recipes import Recipe


def cost_per_pixel(recipe: Recipe[Any], steps: int) -> tuple[dict[str, float], int]:
    """Seconds per million padded pixels, CPU and wall, and the number of canvases."""
    device = torch.device("cpu")
    torch.manual_seed(0)
    state = State.begin(recipe, recipe.model.build(), device)
    dataset = build_dataset(recipe.data, "train")
    batches = training_batches(dataset, recipe.data, batch=recipe.schedule.batch, seed=0, start_step=0, steps=steps + 2)
    pixels, canvases, cpu, wall = 0, set(), 0.0, 0.0
    for number, batch in enumerate(batches):
        batch = place(batch, recipe.run, device)
        start_cpu, start_wall = time.process_time(), time.perf_counter()
        step(state.model, batch, state, recipe)
        if number >= 2:
            cpu, wall = cpu + time.process_time() - start_cpu, wall + time.perf_counter() - start_wall
            height, width = (side + -side % recipe.model.pixels.divisor for side in batch.images.shape[-2:])
            pixels += len(batch) * height * width
            canvases.add((height, width))
    return {"cpu": cpu / pixels * 1e6, "wall": wall / pixels * 1e6}, len(canvases)


def main(steps: int = 30, short_side: int = 320, root: Path = DATA / "coco") -> None:
    recipe = cvzoo.recipe("retinanet_lite0_fpn_320_mini")
    long_side = short_side * 5 // 3

    def with_data(**changed: Any) -> Recipe[Any]:
        changed |= {"root": root, "max_long_side": long_side}
        data: Data = replace(recipe.data, short_sides=(short_side,), test_short_side=short_side, **changed)
        return replace(recipe, data=data)

    mixed, canvases = cost_per_pixel(with_data(canvas=None), steps)
    fixed, _ = cost_per_pixel(with_data(canvas=(long_side, long_side)), steps)
    report(
        "mixed_sizes",
        ratio_cpu=mixed["cpu"] / fixed["cpu"],
        ratio_wall=mixed["wall"] / fixed["wall"],
        canvases=canvases,
        steps=steps,
        mixed_s_per_mpixel=mixed["wall"],
        fixed_s_per_mpixel=fixed["wall"],
    )


if __name__ == "__main__":
    tyro.cli(main)
