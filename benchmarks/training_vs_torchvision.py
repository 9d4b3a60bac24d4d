"""One training step beside torchvision: forward, losses, backward and an SGD step on the CPU.

    python benchmarks/training_vs_torchvision.py retinanet [--rounds 7] [--height 512 --width 512] [--batch 2]

Time alternates in one process; peak memory is that of a fresh process for each side, everything included. Masks are
given as each side takes them: ours as COCO's polygons, torchvision's as bitmaps that have been drawn beforehand.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Literal

import torch
import tyro
from common import alternate, our_step, ratios, report, training_step
from side_by_side import System, batch_of, pair, sample, torchvision_inputs

from cvzoo.engine.measure import peak_memory_gb, reset_peak_memory
from cvzoo.structures import Batch

Side = Literal["ours", "torchvision"]


def steps(system: System, batch: Batch) -> dict[Side, Callable[[], None]]:
    theirs, ours = pair(system, batch)
    images, targets = torchvision_inputs(system, batch, ours.config.class_ids)
    theirs.train()
    return {
        "ours": our_step(ours, batch),
        "torchvision": training_step(theirs, lambda: theirs(images, targets)),
    }


def peak_mb(system: System, side: Side, height: int, width: int, batch: int) -> float:
    """Peak resident memory of a fresh process that does three steps of one side."""
    sizes = ["--height", str(height), "--width", str(width), "--batch", str(batch)]
    command = [sys.executable, __file__, system, "--only", side, *sizes]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])["peak_mb"]


def main(
    system: tyro.conf.Positional[System],
    rounds: int = 7,
    height: int = 512,
    width: int = 512,
    batch: int = 2,
    only: Side | None = None,
) -> None:
    images = batch_of([sample((height, width))] * batch)
    sides = steps(system, images)
    if only:
        step = sides[only]
        sides.clear()  # the other side's model goes
        gc.collect()
        cpu = torch.device("cpu")
        reset_peak_memory(cpu)
        for _ in range(3):
            step()
        print(json.dumps({"peak_mb": peak_memory_gb(cpu) * 1000}))
        return
    times = alternate(dict(sides), rounds)  # type: ignore[arg-type]
    ours, theirs = (peak_mb(system, side, height, width, batch) for side in ("ours", "torchvision"))
    report(
        f"training_{system}",
        **ratios(times),
        ratio_memory=ours / theirs,
        ours_peak_mb=ours,
        torchvision_peak_mb=theirs,
        size=[height, width],
        batch=batch,
    )


if __name__ == "__main__":
    tyro.cli(main)
