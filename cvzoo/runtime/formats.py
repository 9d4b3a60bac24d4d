"""Opens exported files of each format: what they say of themselves, and a function that runs them."""

from __future__ import annotations

import os
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision  # noqa: F401 - whose operations exported graphs have
from torch import Tensor

from cvzoo.runtime.facts import KEY, Facts, Format

SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "torch_export": ".pt2", "aoti": ".aoti.pt2", "openvino": ".xml"}
"""What the names of a format's files end with."""
Run = Callable[[Tensor, Tensor], dict[str, Tensor]]
"""From images (N, 3, H, W) uint8 and sizes (N, 2) int64 to answers by name, all on the CPU."""
_ONE_AT_A_TIME = threading.RLock()
"""While a file is opened: torch.export's reader is one for all threads, and so is what OpenVINO does once."""


def is_exported(path: Path | str) -> bool:
    """Whether a file is an exported one, by its name."""
    return str(path).endswith(tuple(SUFFIXES.values()))


def open_exported(path: Path) -> tuple[Facts, Run]:
    """An exported file. ValueError where it is missing, damaged or of another kind, or its runtime is not installed.

    Any number of threads may open files, and ask one of them, at once.
    """
    if not path.is_file():
        raise ValueError(f"there is no file {path}; check the path")
    try:
        with _ONE_AT_A_TIME:
            text, run = _opener(path)(path)
    except (ValueError, ImportError):
        raise
    except Exception as error:  # each runtime has its own ways to say that a file is damaged
        reason = str(error).strip().splitlines()
        raise ValueError(f"{path} cannot be opened: {reason[0] if reason else type(error).__name__}") from error
    return Facts.from_json(text, str(path)), run


def runtime(module: str, extra: str) -> Any:
    """The module of a runtime; ValueError where it is not installed."""
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as error:
        raise ValueError(f"{module.split('.')[0]} is not installed; pip install 'cvzoo[{extra}]'") from error


def onnxruntime() -> Any:
    """onnxruntime, without the reports that it sends to Microsoft of every session."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    return runtime("onnxruntime", "export")


def openvino() -> Any:
    """OpenVINO, ready for several threads, and without the reports that it sends to Google Analytics on its import."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type] - it then takes its own stub
    module = runtime("openvino", "openvino")
    with _ONE_AT_A_TIME:  # it looks NumPy up once: two threads that do so at one moment wait for ever, with the GIL
        _ = module.Tensor(np.zeros(1, np.uint8)).data
    return module


def _opener(path: Path) -> Callable[[Path], tuple[str | None, Run]]:
    if path.suffix == ".onnx":
        return _onnx
    if path.suffix == ".xml":
        return _openvino
    return _aoti if _is_compiled(path) else _torch_export


def _is_compiled(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any("aotinductor" in name for name in archive.namelist())


def _onnx(path: Path) -> tuple[str | None, Run]:
    ort = onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = ort.InferenceSession(str(path), options, providers=ort.get_available_providers())
    names = [output.name for output in session.get_outputs()]

    def run(images_N3HW: Tensor, sizes_N2: Tensor) -> dict[str, Tensor]:
        found = session.run(None, {"images": images_N3HW.cpu().numpy(), "sizes": sizes_N2.cpu().numpy()})
        return dict(zip(names, map(torch.from_numpy, found)))

    return session.get_modelmeta().custom_metadata_map.get(KEY), run


def _openvino(path: Path) -> tuple[str | None, Run]:
    core = openvino().Core()
    model = core.read_model(path)
    text = model.get_rt_info([KEY]).astype(str) if model.has_rt_info([KEY]) else None
    precision = Facts.from_json(text, str(path)).precision
    hints = {"INFERENCE_NUM_THREADS": torch.get_num_threads()}
    hints |= {"INFERENCE_PRECISION_HINT": {"bf16": "bf16", "fp16": "f16"}.get(precision, "f32")}
    compiled = core.compile_model(model, "CPU", hints)
    names = [output.get_any_name() for output in compiled.outputs]
    of_thread = threading.local()  # a request holds the tensors of one image

    def run(images_N3HW: Tensor, sizes_N2: Tensor) -> dict[str, Tensor]:
        if not hasattr(of_thread, "request"):
            of_thread.request = compiled.create_infer_request()
        found = of_thread.request.infer([images_N3HW.cpu().numpy(), sizes_N2.cpu().numpy()])
        return {name: torch.from_numpy(np.array(found[place])) for place, name in enumerate(names)}

    return text, run


def _torch_export(path: Path) -> tuple[str | None, Run]:
    extra = {KEY: ""}
    module: Any = torch.export.load(path, extra_files=extra).module()
    return extra[KEY], _on_device(module)


def _aoti(path: Path) -> tuple[str | None, Run]:
    compiled: Any = torch._inductor.aoti_load_package(str(path))
    return compiled.get_metadata().get(KEY), _on_device(compiled)


def _on_device(module: Callable[[Tensor, Tensor], dict[str, Tensor]]) -> Run:
    def run(images_N3HW: Tensor, sizes_N2: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            found = module(images_N3HW.contiguous(), sizes_N2.to(images_N3HW.device))
        return {name: values.cpu() for name, values in found.items()}

    return run
