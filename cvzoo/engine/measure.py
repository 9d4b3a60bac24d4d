"""What is measured, and where: memory and time of this process, the machine, the precision, the parameters."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TypedDict

import torch
from torch import nn

from cvzoo.recipes import Run
from cvzoo.results.machine import hardware, machine_slug


class Machine(TypedDict):
    """A machine."""

    machine: str
    """Its short name, in the names of row files."""
    hardware: str
    """In words."""


STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")


def reset_peak_memory(device: torch.device) -> None:
    """Start a new peak from what is in use now."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif CLEAR_REFS.exists():
        CLEAR_REFS.write_text("5")  # resets VmHWM, see proc(5)


def peak_memory_gb(device: torch.device) -> float:
    """Peak since the last reset in GB (1e9 bytes): allocated by torch on CUDA, resident set on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    if STATUS.exists():
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


def synchronise(device: torch.device) -> None:
    """Wait until the device has finished what was queued."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def median_seconds(step: Callable[[], object], device: torch.device, *, warmup: int, iterations: int) -> float:
    """Median wall time of `step`, synchronised before and after each call."""
    seconds = []
    for _ in range(warmup + iterations):
        synchronise(device)
        start = time.perf_counter()
        step()
        synchronise(device)
        seconds.append(time.perf_counter() - start)
    return median(seconds[warmup:])


def machine(device: torch.device) -> Machine:
    """Where a figure is measured, as row files hold it."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {"machine": machine_slug(gpu), "hardware": hardware(gpu)}


def precision(run: Run, device: torch.device) -> str:
    """The precision in words: convolutions in fp32 run as TF32 on CUDA unless torch is told otherwise."""
    tf32 = run.precision == "fp32" and device.type == "cuda" and torch.backends.cudnn.allow_tf32
    return "tf32" if tf32 else run.precision


def parameters_m(model: nn.Module) -> float:
    """Parameters in millions, frozen ones included."""
    return sum(parameter.numel() for parameter in model.parameters()) / 1e6
