"""`cvzoo export`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Generic

from cvzoo.commands.rows import Flat
from cvzoo.recipes import Recipe
from cvzoo.recipes.recipe import Config
from cvzoo.runtime.facts import Format


@dataclass(frozen=True, kw_only=True)
class Export(Generic[Config]):
    """Options of `cvzoo export`."""

    recipe: Annotated[Recipe[Config], Flat]
    """The row."""
    format: Format = "onnx"
    """What runs the file: ONNX runtimes; PyTorch; PyTorch with machine code compiled for this machine; OpenVINO."""
    output: Path | None = None
    """The file; None is the row's name in the current folder."""
    int8: int | None = None
    """Compute in int8 (onnx, openvino), with the ranges that so many training images show; 100 is usual. None: in the
    precision of `--precision`."""


def export_row(options: Export) -> None:
    """Export weights to a file that runs without cvzoo (docs/export.md)."""
    from cvzoo.export.export import export

    path, comparison = export(options.recipe, options.format, options.output, options.int8)
    print(*comparison.lines(), sep="\n")
    print(path)
