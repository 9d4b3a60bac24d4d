"""What the benchmarks share: the machine, alternating measurements, the line they print."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cvzoo.engine.measure import machine, peak_memory_gb, reset_peak_memory
from cvzoo.engine.place import autocast, laid_out, place
from cvzoo.recipes import Run
from cvzoo.results.machine import commit, versions
from cvzoo.structures import Batch

CPU = torch.device("cpu")
FP32 = Run()
DATA = Path(os.environ.get("CVZOO_DATA", Path(__file__).parents[2] / "shared" / "data"))


def environment(device: torch.device = CPU) -> dict[str, Any]:
    """Machine, versions and commit of a measurement."""
    return {
        **machine(device),
        "threads": torch.get_num_threads(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "versions": versions(),
        "commit": commit(),
    }


def report(name: str, device: torch.device = CPU, /, **figures: Any) -> None:
    """Print the one JSON line of a benchmark."""
    rounded = {key: round(value, 4) if isinstance(value, float) else value for key, value in figures.items()}
    print(json.dumps({"benchmark": name, **rounded, **environment(device)}))


def alternate(
    sides: dict[str, Callable[[], object]], rounds: int, warmup: int = 1, device: torch.device = CPU, in_a_row: int = 1
) -> dict[str, dict[str, float]]:
    """Median process CPU time and wall time in seconds of a call of each side, run in turn so that noise meets both.

    On a GPU `in_a_row` calls are timed together, so that as in a training loop none need wait for the one before.
    """
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for turn in range(warmup + rounds):
        for name, side in sides.items():
            spent = seconds(side, device, in_a_row)
            if turn >= warmup:
                taken[name].append(spent)
    return {
        name: {"cpu": statistics.median(t[0] for t in times), "wall": statistics.median(t[1] for t in times)}
        for name, times in taken.items()
    }


def seconds(side: Callable[[], object], device: torch.device = CPU, in_a_row: int = 1) -> tuple[float, float]:
    """Process CPU time and wall time of a call; on a GPU of one of several calls in a row, between two events."""
    if device.type != "cuda":
        wall, cpu = time.perf_counter(), time.process_time()
        side()
        return time.process_time() - cpu, time.perf_counter() - wall
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize(device)
    cpu = time.process_time()
    begin.record()
    for _ in range(in_a_row):
        side()
    end.record()
    torch.cuda.synchronize(device)
    return (time.process_time() - cpu) / in_a_row, begin.elapsed_time(end) / 1000 / in_a_row


def built(
    builders: Mapping[Any, Callable[[], Callable[[], Any]]], device: torch.device
) -> tuple[dict[str, Callable[[], Any]], dict[str, float]]:
    """The sides; and on a GPU the peak memory of each in MB: of two calls, beyond what is in use before it is built."""
    if device.type != "cuda":
        return {name: build() for name, build in builders.items()}, {}
    sides, peaks = {}, {}
    for name, build in builders.items():
        before = torch.cuda.memory_allocated(device) / 1e9
        reset_peak_memory(device)
        sides[name] = build()
        for _ in range(2):
            sides[name]()
        peaks[name] = 1000 * (peak_memory_gb(device) - before)
    ours, *others = peaks.values()
    figures = {f"{name}_peak_mb": peak for name, peak in peaks.items()}
    return sides, figures | {"ratio_memory": ours / others[-1]}


def ratios(times: dict[str, dict[str, float]], ours: str = "ours", theirs: str = "torchvision") -> dict[str, float]:
    """Ours over theirs, and the seconds of both."""
    return {
        "ratio_cpu": times[ours]["cpu"] / times[theirs]["cpu"],
        "ratio_wall": times[ours]["wall"] / times[theirs]["wall"],
        f"{ours}_cpu_s": times[ours]["cpu"],
        f"{theirs}_cpu_s": times[theirs]["cpu"],
    }


def our_step(model: nn.Module, batch: Batch, run: Run = FP32, device: torch.device = CPU) -> Callable[[], None]:
    """A training step of one of our models, laid out in memory as `cvzoo train` does it."""
    model = laid_out(model, run, device).train()
    placed = place(batch, run, device)
    return training_step(model, lambda: model(placed), run, device)


def training_step(
    model: nn.Module, losses: Callable[[], dict[str, Tensor]], run: Run = FP32, device: torch.device = CPU
) -> Callable[[], None]:
    """Forward, losses, backward and a step of SGD with momentum."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.SGD(parameters, lr=1e-5, momentum=0.9)

    def step() -> None:
        optimiser.zero_grad()
        with autocast(run, device):
            found = losses()
        torch.stack(list(found.values())).sum().backward()
        optimiser.step()

    return step
