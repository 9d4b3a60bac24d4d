"""A model's answers as one graph whose batch, height and width are free."""

from __future__ import annotations

import traceback
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from cvzoo.nn.model import Model
from cvzoo.runtime.facts import LARGEST, SMALLEST
from cvzoo.structures import Size

PACKAGE = Path(__file__).parents[1]
TRACED = (256, 320)
"""The canvas on which a graph is traced whose canvas is free; multiples of any divisor of ours."""


class Answers(nn.Module):
    """A model whose forward pass is `infer`, its answers by name: a file knows no classes of ours."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, sizes: Tensor) -> dict[str, Tensor]:
        return self.model.infer(images, sizes)._asdict()


def graph_of(model: Model, canvas: Size | None) -> ExportedProgram:
    """The graph of a model's `infer`, for any number of images on the one `canvas`, or on any.

    ValueError where the model cannot be traced, with the line that could not.
    """
    device = next(model.parameters()).device
    images = torch.zeros(2, 3, *(canvas or TRACED), dtype=torch.uint8, device=device)
    sizes = torch.tensor([canvas or TRACED] * 2, device=device)
    batch = Dim("batch", min=1, max=1024)
    free = {0: batch} if canvas else {0: batch, 2: _side("height", model), 3: _side("width", model)}
    try:
        with torch.no_grad():
            shapes = {"images": free, "sizes": {0: batch}}
            return torch.export.export(Answers(model), (images, sizes), dynamic_shapes=shapes)
    except Exception as error:  # tracing fails in many ways, which have no class in common
        if isinstance(error, ValueError) and _is_ours(traceback.extract_tb(error.__traceback__)[-1]):
            raise  # a model that says itself what has no place in a graph
        raise ValueError(f"{type(model).__name__} cannot be exported: {reason(error)}") from error


def _side(name: str, model: Model) -> Dim:
    divisor = model.config.pixels.divisor
    bounds = {"min": -(-SMALLEST // divisor), "max": LARGEST // divisor}
    return Dim(name, **bounds) if divisor == 1 else divisor * Dim(f"{name}_cells", **bounds)


def reason(error: Exception) -> str:
    """Why something of a model has no place in a graph: the last line of ours, and what was said of it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = (line for line in lines if "No ONNX function found" in line or "Error when translating node" in line)
    said = next(causes, (lines or [type(error).__name__])[0])
    return f"{_last_line(error.__traceback__)}{said}"


def _last_line(trace: TracebackType | None) -> str:
    frames = [frame for frame in traceback.extract_tb(trace) if _is_ours(frame)]
    frames = [frame for frame in frames if Path(frame.filename).parent != Path(__file__).parent]
    if not frames:
        return ""
    last = frames[-1]
    return f"`{last.line}` ({Path(last.filename).relative_to(PACKAGE.parent)}:{last.lineno}): "


def _is_ours(frame: traceback.FrameSummary) -> bool:
    return PACKAGE in Path(frame.filename).parents
