"""What breaks people's days, looked for on this machine before it does. Imports no torch: it may be what is broken."""

from __future__ import annotations

import fcntl
import math
import os
import platform
import resource
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from cvzoo.results.machine import cores, hardware, machine_slug

State = Literal["ok", "warning", "fault"]
GB, MB = 1e9, 2**20
MEMORY = (4 * GB, 1 * GB)
"""Below the first a row with ResNet-50 may not train on the CPU, below the second hardly any."""
SHARED = (1024 * MB, 64 * MB + 1)
"""A batch of 16 images of 800 x 1333 pixels takes 50 MB, and every loader worker has two on the way; 64 MB is what
Docker gives unasked."""
OPEN_FILES = (1024, 256)
"""Loader workers send each batch as two open files, and keep their own besides."""
DISK = (10 * GB, 1 * GB)
"""A checkpoint of a ResNet-50 with its optimiser takes 0.3 GB, and while it is written the old one is there too."""
EXTENSIONS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    found: str
    """As it is."""
    state: State = "ok"
    """`warning`: something may be slow or fail; `fault`: something will."""
    cause: str = ""
    """What comes of it, where it is not ok."""
    remedy: str = ""
    """What to do about it."""


def findings(out: Path) -> list[Finding]:
    """All that decides what can run here and how fast; `out` is where run folders go."""
    found = [*_packages(), *_extras(), _processor(), _memory(), _shared_memory(), _open_files()]
    if problem := _broken_torch():
        return [*found, problem]
    from cvzoo.data.annotation_cache import cache_folder as data_cache
    from cvzoo.engine.doctor_cuda import devices
    from cvzoo.weights.download import cache_folder as weights_cache

    return [
        *found,
        *devices(),
        _threads(),
        folder("weights cache", weights_cache(), "warning", "weights cannot be downloaded", "set $CVZOO_CACHE"),
        folder("data cache", data_cache(), "warning", "every process reads all annotations", "set $CVZOO_CACHE"),
        folder("run folder", out, "fault", "no run can be written", "choose another with --out, and later --run.out"),
    ]


def judged(value: float, limits: tuple[float, float]) -> State:
    """Of an amount of which there should be much: below the first limit it is a warning, below the second a fault."""
    warning, fault = limits
    return "fault" if value < fault else "warning" if value < warning else "ok"


def _packages() -> Iterator[Finding]:
    wanted = SpecifierSet(metadata.metadata("cvzoo")["Requires-Python"])
    python = platform.python_version()
    state: State = "ok" if wanted.contains(python) else "fault"
    advice = (f"cvzoo needs {wanted}", "make a virtual environment with a newer Python")
    yield Finding("cvzoo", metadata.version("cvzoo"))
    yield Finding("python", python, state, *(advice if state != "ok" else ()))
    pair = [stated for stated in _requirements("torchvision") if stated.name == "torch"]
    for stated in _requirements("cvzoo"):
        asked = [stated, *pair] if stated.name == "torch" else [stated]
        yield _package(stated.name, asked)


def _package(name: str, asked: list[Requirement]) -> Finding:
    """Whether a package is there in a version that all who need it can use."""
    wanted = " and ".join(str(one.specifier) for one in asked)
    remedy = "pip install " + " ".join(f"'{one}'" for one in asked)
    version = _version(name)
    if version is None:
        return Finding(name, "not installed", "fault", f"cvzoo needs {wanted}", remedy)
    if all(one.specifier.contains(version, prereleases=True) for one in asked):
        return Finding(name, version)
    return Finding(name, version, "fault", f"the packages here need {wanted}", remedy)


def _extras() -> Iterator[Finding]:
    for extra in metadata.metadata("cvzoo").get_all("Provides-Extra") or ():
        wanted = [one for one in _requirements("cvzoo", extra) if one not in _requirements("cvzoo")]
        versions = {one: _version(one.name) for one in wanted}
        absent = [one.name for one, version in versions.items() if version is None]
        old = [str(one) for one, version in versions.items() if version and not one.specifier.contains(version, True)]
        install = f"pip install 'cvzoo[{extra}]'"
        if absent:
            yield Finding(f"extra {extra}", f"not installed: {', '.join(absent)}", remedy=install)
        elif old:
            yield Finding(f"extra {extra}", "too old", "warning", f"it needs {', '.join(old)}", install)
        else:
            yield Finding(f"extra {extra}", "installed")


def _requirements(package: str, extra: str = "") -> list[Requirement]:
    """What a package states that it needs on this machine; nothing of one that is not installed."""
    try:
        stated = [Requirement(text) for text in metadata.requires(package) or ()]
    except metadata.PackageNotFoundError:
        return []
    return [one for one in stated if one.marker is None or one.marker.evaluate({"extra": extra})]


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _broken_torch() -> Finding | None:
    """What keeps torch and torchvision from working, whatever their versions say."""
    remedy = "install both anew, from one place: https://pytorch.org/get-started/locally"
    try:
        import torch
        import torchvision
    except Exception as error:  # a library that is missing, a symbol that is, a file that is cut off ...
        return Finding("torch", "cannot be imported", "fault", f"{type(error).__name__}: {error}", remedy)
    if not hasattr(torch.ops.torchvision, "nms"):
        return Finding("torchvision", "has no compiled operations", "fault", "it was built for another torch", remedy)
    built = (torch.version.cuda or "").replace(".", "")
    if (other := getattr(torchvision.version, "cuda", None)) and built and not str(other).startswith(built):
        cause = f"torch is built for CUDA {torch.version.cuda}, torchvision for {other}"
        return Finding("torchvision", "does not fit torch", "fault", cause, remedy)
    return None


def _processor() -> Finding:
    cpuinfo = Path("/proc/cpuinfo")
    flags = set(cpuinfo.read_text().split()) if cpuinfo.exists() else set()
    known = [extension for extension in EXTENSIONS if extension in flags]
    return Finding("machine", f"{machine_slug()}: {hardware()}, {' '.join(known) or 'no known vector extensions'}")


def _memory() -> Finding:
    """What the system would give this process, and what its container would."""
    meminfo = Path("/proc/meminfo")
    lines = dict(line.split(":") for line in meminfo.read_text().splitlines()) if meminfo.exists() else {}
    free = int(lines["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in lines else math.inf
    limit, used = _cgroup("memory.max"), _cgroup("memory.current")
    if limit and limit[0].isdigit() and used:
        free = min(free, int(limit[0]) - int(used[0]))
    if math.isinf(free):
        return Finding("memory", "unknown")
    cause, remedy = "a training or prediction may be killed", "close what else runs, or give the container more"
    state = judged(free, MEMORY)
    return Finding("memory", f"{free / GB:.1f} GB free", state, *((cause, remedy) if state != "ok" else ()))


def _shared_memory(place: Path = Path("/dev/shm")) -> Finding:
    if not place.is_dir():
        return Finding("shared memory", f"no {place}")
    free = shutil.disk_usage(place).free
    state = judged(free, SHARED)
    advice = (
        "loader workers pass images through it and die of a bus error when it is full",
        "start the container with `docker run --shm-size 8g` (or --ipc host), or train with --data.workers 0",
    )
    return Finding("shared memory", f"{free / GB:.2f} GB free in {place}", state, *(advice if state != "ok" else ()))


def _open_files() -> Finding:
    limit, highest = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit, highest = (math.inf if one == resource.RLIM_INFINITY else one for one in (limit, highest))
    state = judged(limit, OPEN_FILES)
    raised = f"`ulimit -n {min(highest, 65536):.0f}` before the command"
    remedy = (
        raised if highest > limit else "raise it in /etc/security/limits.conf, or `docker run --ulimit nofile=65536`"
    )
    advice = ("loader workers and clients of a server are open files: 'Too many open files'", remedy)
    return Finding("open files", f"at most {limit:.0f}", state, *(advice if state != "ok" else ()))


def _threads() -> Finding:
    import torch

    threads, own = torch.get_num_threads(), cores()
    quota = _cgroup("cpu.max")
    allowed = own if not quota or quota[0] == "max" else min(own, max(round(int(quota[0]) / int(quota[1])), 1))
    found = f"{threads} of torch on {allowed} cores (OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'not set')})"
    if threads > allowed:
        cause = f"this container may use {allowed} cores: more threads wait for each other"
        return Finding("threads", found, "warning", cause, f"export OMP_NUM_THREADS={allowed}")
    if 2 * threads < allowed and "OMP_NUM_THREADS" in os.environ:
        cause = "most cores stay idle where one process works on the CPU"
        return Finding("threads", found, "warning", cause, f"unset OMP_NUM_THREADS, or set it to {allowed}")
    return Finding("threads", found)


def _cgroup(name: str) -> list[str]:
    """The words of a file in which a container's limits stand; none where there is no such limit."""
    try:
        return Path("/sys/fs/cgroup", name).read_text().split()
    except OSError:
        return []


def folder(name: str, place: Path, worst: State, cause: str, remedy: str) -> Finding:
    """Whether there may be written in a folder, or where it would be made, and how much; leaves nothing there."""
    place = place.absolute()
    there = next(one for one in (place, *place.parents) if one.exists())
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return Finding(name, f"{place}: {error.strerror} in {there}", worst, cause, remedy)
    free = shutil.disk_usage(there).free
    state = judged(free, DISK)
    advice = (f"little space: {cause} when the disk is full", remedy)
    return Finding(name, f"{place}, {free / GB:.0f} GB free", state, *(advice if state != "ok" else ()))
