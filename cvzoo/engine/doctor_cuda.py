"""The doctor's look at NVIDIA's driver, what torch is built for, and each device."""

from __future__ import annotations

import ctypes
import os
import warnings
from pathlib import Path
from typing import Any

import torch

from cvzoo.engine.doctor import GB, Finding, judged
from cvzoo.results.machine import machine_slug

MEMORY = (4 * GB, 1 * GB)
"""Below the first no row with ResNet-50 trains with two images, below the second hardly one predicts."""
INSTALL = "choose a build at https://pytorch.org/get-started/locally"


def devices() -> list[Finding]:
    """What torch can use of CUDA, then each device."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        available = torch.cuda.is_available()
    words = " ".join(str(warning.message) for warning in said)
    module = Path("/proc/driver/nvidia/version").exists()
    found = driver_and_build(torch.version.cuda, _driver(), module, available, words)
    return [found, *(_device(i) for i in range(torch.cuda.device_count() if available else 0))]


def driver_and_build(build: str | None, driver: int | None, module: bool, available: bool, said: str) -> Finding:
    """Whether driver and torch fit.

    Args:
        build: the CUDA that torch is built for, such as 12.8; None of a torch for the CPU.
        driver: the highest CUDA that the driver can, as it says it (12080); None without a driver that can be called.
        module: whether the system has loaded NVIDIA's kernel module.
        available: whether torch can use a device.
        said: torch's own words on why not.
    """
    able = f"driver for CUDA {driver // 1000}.{driver % 1000 // 10}" if driver else "no NVIDIA driver"
    found = f"{able}, torch " + (f"built for CUDA {build}" if build else "built for the CPU alone")
    if available or (driver is None and not module):
        return Finding("CUDA", found)
    if driver is None:
        cause = "the kernel has NVIDIA's driver, but libcuda.so.1 cannot be loaded"
        return Finding(
            "CUDA", found, "warning", cause, "start a container with `--gpus all`; else reinstall the driver"
        )
    if build is None:
        return Finding("CUDA", found, "warning", "torch does not use the GPU", f"install torch with CUDA: {INSTALL}")
    if driver // 1000 < int(build.split(".")[0]):
        cause = f"the driver is too old for torch's CUDA {build}"
        return Finding(
            "CUDA", found, "fault", cause, f"update the driver, or install an older build of torch: {INSTALL}"
        )
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None:
        cause = f"CUDA_VISIBLE_DEVICES={hidden} leaves none of the devices that `nvidia-smi -L` lists"
        return Finding("CUDA", found, "warning", cause, "unset it, or name the number of a device")
    cause = said or "no device can be used"
    return Finding("CUDA", found, "fault", cause, "look whether `nvidia-smi` runs; restart the machine after an update")


def _driver() -> int | None:
    """The highest CUDA of the driver, 1000 * major + 10 * minor."""
    version = ctypes.c_int(0)
    try:
        failed = ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version))
    except (OSError, AttributeError):
        return None
    return None if failed else version.value or None


def _device(index: int) -> Finding:
    properties: Any = torch.cuda.get_device_properties(index)
    name = f"GPU {index}"
    described = (
        f"{properties.name} ({machine_slug(properties.name)}), compute capability {properties.major}.{properties.minor}"
    )
    try:
        torch.ones(8, device=f"cuda:{index}").sum().item()
        free, whole = torch.cuda.mem_get_info(index)
    except RuntimeError as error:
        known = ", ".join(torch.cuda.get_arch_list())
        cause = f"it cannot compute: {str(error).splitlines()[0]} (torch is built for {known})"
        return Finding(name, described, "fault", cause, f"end what occupies it (`nvidia-smi`), or {INSTALL}")
    state = judged(free, MEMORY)
    if state == "ok" and free < whole / 2:
        state = "warning"
    advice = (
        "other processes hold the rest",
        "end them (`nvidia-smi` lists them), or choose with CUDA_VISIBLE_DEVICES",
    )
    memory = f"{free / GB:.1f} of {whole / GB:.1f} GB free"
    return Finding(name, f"{described}, {memory}", state, *(advice if state != "ok" else ()))
