"""Where the time of a step goes: the kernels of a GPU and how long it has none, or the operations of a CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile

from cvzoo.engine.measure import synchronise

MOST = 10
"""So many are told."""
STEPS = {"cuda": 3, "cpu": 1}
"""So many steps are watched."""


class Profile(NamedTuple):
    """What a step is made of."""

    rows: list[tuple[str, float, float]]
    """Name, seconds and calls of the most expensive kernels; on a CPU of operations, without what they call."""
    total: float
    """Seconds of all of them."""

    def host_share(self, seconds: float) -> float:
        """The share of a step of so many `seconds` in which the GPU has no kernel at work: it waits for the program."""
        return max(0.0, 1 - self.total / seconds)

    def __str__(self) -> str:
        lines = [
            f"{1000 * s:9.3f} ms {s / self.total:6.1%} {calls:7.1f} x  {name[:100]}" for name, s, calls in self.rows
        ]
        return "\n".join(lines)


def profiled(step: Callable[[], object], device: torch.device) -> Profile:
    """What a step, which has warmed up, is made of; the mean of a few."""
    on_gpu, steps = device.type == "cuda", STEPS[device.type]
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as profiler:
        for _ in range(steps):
            step()
        synchronise(device)
    events = [e for e in profiler.key_averages() if e.device_type.name == device.type.upper()]
    spent = [(e.key, e.self_device_time_total if on_gpu else e.self_cpu_time_total, e.count) for e in events]
    rows = sorted(((name, us / 1e6 / steps, count / steps) for name, us, count in spent), key=lambda row: -row[1])
    return Profile(rows[:MOST], sum(seconds for _, seconds, _ in rows))
