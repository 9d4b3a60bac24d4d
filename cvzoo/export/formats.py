"""Writes graphs in the format of each runtime, with what they say of themselves."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from cvzoo.export.graph import reason
from cvzoo.export.quantise import Feed, quantise
from cvzoo.files import atomic
from cvzoo.runtime.facts import KEY, Facts, Format
from cvzoo.runtime.formats import openvino, runtime

OPSET = 20
"""The first ONNX opset with all that our graphs need (DeformConv came with 19)."""


def write(graph: ExportedProgram, facts: Facts, path: Path, format: Format, feeds: Iterable[Feed] = ()) -> None:
    """Write `path`, whole or not at all; where `facts` say int8, with the ranges that `feeds` show.

    ValueError where the format cannot express the graph.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        if facts.precision == "int8":
            _int8(graph, facts, path, format, feeds)
        else:
            WRITERS[format](graph, facts, path)
    except (ValueError, OSError):
        raise
    except Exception as error:  # each exporter has its own
        raise ValueError(f"{facts.row} cannot be written as {format}: {reason(error)}") from error


def _onnx(graph: ExportedProgram, facts: Facts, path: Path) -> None:
    runtime("onnxscript", "export")
    with torch.no_grad(), _quiet():
        program: Any = torch.onnx.export(
            graph,
            dynamo=True,
            verbose=False,
            optimize=False,  # onnxruntime does as much when it opens the file
            opset_version=OPSET,
            input_names=["images", "sizes"],
            output_names=facts.outputs,
            custom_translation_table=TRANSLATED,
        )
    program.model.metadata_props[KEY] = facts.to_json()
    with atomic(path) as temporary:
        program.save(temporary)


def _deform_conv2d(x: Any, weight: Any, offset: Any, mask: Any, bias: Any, *numbers: int | bool) -> Any:
    """ONNX's for torchvision's; the numbers are stride, padding and dilation of rows and columns, groups, a flag."""
    from onnxscript import opset20 as op

    *pairs, groups, offset_groups, masked = numbers
    stride, padding, dilation = pairs[:2], pairs[2:4], pairs[4:]
    return op.DeformConv(
        x,
        weight,
        offset,
        bias,
        mask if masked else None,
        strides=stride,
        pads=[*padding, *padding],
        dilations=dilation,
        group=groups,
        offset_group=offset_groups,
    )


def _stable_sort(x: Any, stable: bool = True, dim: int = -1, descending: bool = False) -> Any:
    """ONNX has no sort, and of equal values its TopK takes first the one that comes first."""
    from onnxscript import opset20

    op: Any = opset20
    length = op.Gather(op.Shape(x), op.Constant(value_ints=[dim]))
    return op.TopK(x, length, axis=dim, largest=int(descending), sorted=1)


TRANSLATED: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.torchvision.deform_conv2d.default: _deform_conv2d,
    torch.ops.aten.sort.stable: _stable_sort,
}
"""What PyTorch's exporter does not know."""


def _torch_export(graph: ExportedProgram, facts: Facts, path: Path) -> None:
    with atomic(path) as temporary, temporary.open("wb") as file:
        torch.export.save(graph, file, extra_files={KEY: facts.to_json()})


def _aoti(graph: ExportedProgram, facts: Facts, path: Path) -> None:
    from torch._inductor import aoti_compile_and_package

    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        package = Path(folder) / "model.pt2"
        aoti_compile_and_package(
            graph,
            package_path=str(package),
            inductor_configs={
                "aot_inductor.metadata": {KEY: facts.to_json()},
                # PyTorch 2.14.1 takes what a convolution of as many regions as were found returns for contiguous, which
                # it is not where this has made its input channels_last; the weights bring that memory format anyway
                "layout_optimization": False,
            },
        )
        with atomic(path) as temporary:
            temporary.write_bytes(package.read_bytes())


def _openvino(graph: ExportedProgram, facts: Facts, path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _onnx(graph, facts, Path(folder) / "model.onnx")
        _converted(Path(folder) / "model.onnx", facts, path)


def _int8(graph: ExportedProgram, facts: Facts, path: Path, format: Format, feeds: Iterable[Feed]) -> None:
    """Both runtimes read the same quantised file of ONNX."""
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "model.onnx"
        _onnx(graph, facts, whole)
        quantise(whole, feeds)
        if format == "openvino":
            _converted(whole, facts, path)
            return
        with atomic(path) as temporary:
            temporary.write_bytes(whole.read_bytes())


def _converted(onnx: Path, facts: Facts, path: Path) -> None:
    """A file of ONNX as OpenVINO's."""
    ov = openvino()
    model = ov.convert_model(onnx)
    model.set_rt_info(facts.to_json(), [KEY])
    with tempfile.TemporaryDirectory() as folder:
        ov.save_model(model, Path(folder) / "model.xml", compress_to_fp16=facts.precision in ("fp16", "bf16"))
        for suffix in (".bin", ".xml"):  # the .xml names no .bin: its own lies beside it under its name
            with atomic(path.with_suffix(suffix)) as temporary:
                temporary.write_bytes((Path(folder) / f"model{suffix}").read_bytes())


WRITERS: dict[Format, Callable[[ExportedProgram, Facts, Path], None]] = {
    "onnx": _onnx,
    "torch_export": _torch_export,
    "aoti": _aoti,
    "openvino": _openvino,
}


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns of what it does itself, by warnings and by its log."""
    log = logging.getLogger("onnx_ir")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
