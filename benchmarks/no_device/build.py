"""Builds the CUDA that has no device, for the torch that is installed; needs a C++ compiler and torch built for CUDA.

python benchmarks/no_device/build.py COMMAND ...     # runs the command with such a device
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

SOURCE = Path(__file__).with_name("runtime.cpp")
ASKED = re.compile(r"\b(?:__cuda|cuda|cu|cublas|cudnn)[A-Z]\w+")
ASKING = "libtorch_cuda", "libtorch_cuda_linalg", "libc10_cuda", "libcaffe2_nvrtc"


def environment() -> dict[str, str]:
    """What a process is given in which torch finds the device. RuntimeError where it cannot be built."""
    folder = _built()
    return os.environ | {
        "LD_PRELOAD": str(folder / "libcuda.so.1"),
        "LD_LIBRARY_PATH": str(folder),
        "TRITON_LIBCUDA_PATH": str(folder),
        "TORCH_CUDNN_V8_API_DISABLED": "1",
    }


def _built() -> Path:
    """The folder with the library, built once for each version of torch and of the source."""
    torch, triton = _package("torch"), _package("triton")
    asked = _asked_for(torch, triton)
    answered = set(re.findall(r"(\w+)\(", SOURCE.read_text()))
    stubs = "".join(f"int {name}() {{ return 0; }}\n" for name in sorted(asked - answered - _from_macros()))
    key = hashlib.sha256((SOURCE.read_text() + stubs + str(torch)).encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"cvzoo-no-device-{key}"
    if folder.is_dir():
        return folder
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        (Path(scratch) / "stubs.c").write_text(stubs)
        nvidia = torch.parent / "nvidia"
        headers = [*nvidia.glob("cu*/include"), nvidia / "cudnn/include", triton / "backends/nvidia/include"]
        includes = [f"-I{path}" for path in headers]
        for compiler, source in (("gcc", "stubs.c"), ("g++", str(SOURCE))):
            _run([compiler, "-w", "-O1", "-fPIC", "-c", *includes, source, "-o", f"{Path(source).stem}.o"], scratch)
        (Path(scratch) / "out").mkdir()
        _run(["g++", "-shared", "runtime.o", "stubs.o", "-ldl", "-o", "out/libcuda.so.1"], scratch)
        (Path(scratch) / "out/libcuda.so").symlink_to("libcuda.so.1")
        (Path(scratch) / "out").rename(folder)
    return folder


def _asked_for(torch: Path, triton: Path) -> set[str]:
    """The functions of CUDA, cuBLAS and cuDNN that torch's libraries and Triton's launcher call."""
    names = set(ASKED.findall((triton / "backends/nvidia/driver.c").read_text()))
    for name in ASKING:
        library = torch / "lib" / f"{name}.so"
        if library.exists():
            listed = _run(["nm", "-D", "--undefined-only", str(library)])
            names |= {word.split("@")[0] for word in listed.split() if ASKED.match(word)}
    return {name for name in names if not name.startswith("cuFile") and not name.endswith(("_t", "Handle"))}


def _from_macros() -> set[str]:
    """The functions that the source defines by a macro of part of their names."""
    source = SOURCE.read_text()
    descriptors = re.findall(r"DESCRIPTOR\((\w+)\)", source)
    passes = re.findall(r"CONVOLUTION\((\w+)\)", source)
    forms = "cudnnGetConvolution{}Algorithm_v7", "cudnnGetConvolution{}WorkspaceSize", "cudnnConvolution{}"
    return {f"cudnnCreate{name}Descriptor" for name in descriptors} | {f.format(p) for f in forms for p in passes}


def _package(name: str) -> Path:
    found = find_spec(name)
    if found is None or found.origin is None:
        raise RuntimeError(f"{name} is not installed, and this device is made from its files")
    return Path(found.origin).parent


def _run(command: list[str], folder: str | None = None) -> str:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise RuntimeError(f"{command[0]} is missing: apt-get install g++") from error
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    os.execvpe(sys.argv[1], sys.argv[1:], environment())
