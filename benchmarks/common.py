"""What the benchmarks share: the machine, alternating measurements, the line they print."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cvzoo.engine.place import memory_format, place
from cvzoo.recipes import Run
from cvzoo.results.machine import commit, hardware, machine_slug, versions
from cvzoo.structures import Batch

DATA = Path(os.environ.get("CVZOO_DATA", Path(__file__).parents[2] / "shared" / "data"))


def environment() -> dict[str, Any]:
    """Machine, versions and commit of a measurement."""
    return {
        "machine": machine_slug(),
        "hardware": hardware(),
        "threads": torch.get_num_threads(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "versions": versions(),
        "commit": commit(),
    }


def report(name: str, **figures: Any) -> None:
    """Print the one JSON line of a benchmark."""
    rounded = {key: round(value, 4) if isinstance(value, float) else value for key, value in figures.items()}
    print(json.dumps({"benchmark": name, **rounded, **environment()}))


def alternate(sides: dict[str, Callable[[], object]], rounds: int, warmup: int = 1) -> dict[str, dict[str, float]]:
    """Median process CPU time and wall time in seconds of each side, run in turn so that noise meets both."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for turn in range(warmup + rounds):
        for name, side in sides.items():
            wall, cpu = time.perf_counter(), time.process_time()
            side()
            if turn >= warmup:
                taken[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    return {
        name: {"cpu": statistics.median(t[0] for t in times), "wall": statistics.median(t[1] for t in times)}
        for name, times in taken.items()
    }


def ratios(times: dict[str, dict[str, float]], ours: str = "ours", theirs: str = "torchvision") -> dict[str, float]:
    """Ours over theirs, and the seconds of both."""
    return {
        "ratio_cpu": times[ours]["cpu"] / times[theirs]["cpu"],
        "ratio_wall": times[ours]["wall"] / times[theirs]["wall"],
        f"{ours}_cpu_s": times[ours]["cpu"],
        f"{theirs}_cpu_s": times[theirs]["cpu"],
    }


def our_step(model: nn.Module, batch: Batch) -> Callable[[], None]:
    """A training step of one of our models, laid out in memory as `cvzoo train` does it."""
    cpu = torch.device("cpu")
    model = model.to(memory_format=memory_format(Run(), cpu)).train()  # type: ignore[call-overload]
    placed = place(batch, Run(), cpu)
    return training_step(model, lambda: model(placed))


def training_step(model: nn.Module, losses: Callable[[], dict[str, Tensor]]) -> Callable[[], None]:
    """Forward, losses, backward and a step of SGD with momentum."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.SGD(parameters, lr=1e-5, momentum=0.9)

    def step() -> None:
        optimiser.zero_grad()
        torch.stack(list(losses().values())).sum().backward()
        optimiser.step()

    return step
