"""Where a figure was measured: machine, package versions, commit. Imports no torch."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path

PACKAGES = ("cvzoo", "torch", "torchvision", "timm", "numpy", "pycocotools", "hotcoco")


def machine_slug(cuda_name: str | None = None) -> str:
    """Short name of the machine for file names: `h100` for a GPU named so by torch, else like `epyc-2c` for the CPU."""
    if cuda_name:
        words = re.sub(r"nvidia|geforce|tesla|quadro", " ", cuda_name.lower()).replace("-", " ").split()
        end = next((i for i, word in enumerate(words) if any(c.isdigit() for c in word)), len(words) - 1) + 1
        return "".join(words[:end] + [word for word in words[end : end + 1] if word in ("ti", "super")])
    family = re.search(r"epyc|ryzen|threadripper|xeon|core|neoverse|graviton|apple m\d+", _cpu_name().lower())
    return f"{(family[0] if family else platform.machine()).replace(' ', '-')}-{cores()}c"


def hardware(cuda_name: str | None = None) -> str:
    """The GPU, if one is used, the CPU and the memory in words."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (f"{cuda_name}, " if cuda_name else "") + f"{_cpu_name()}, {cores()} cores, {memory:.0f} GB"


def versions() -> dict[str, str]:
    """Installed versions of what decides results and speed; a package that is missing is left out."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str | None:
    """Commit of this package's checkout, with `-dirty` where its code differs from it; None outside a checkout."""
    here = Path(__file__).parent
    # An installed copy may lie in somebody else's repository; only one that tracks this file is ours.
    if _git(here, "ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None
    head = _git(here, "rev-parse", "--short=12", "HEAD")
    return head and head + ("-dirty" if _git(here.parent, "status", "--porcelain", ".") else "")


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _cpu_name() -> str:
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def cores() -> int:
    """Cores this process may use, which a container sets below those of the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
