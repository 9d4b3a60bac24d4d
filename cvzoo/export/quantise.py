"""Static quantisation: the network of an ONNX file computes in int8, whose ranges are those seen in some images.

Weights have a scale for each channel, activations one for each tensor. What a system reads off its network (scores,
deltas, offsets, masks) and all that follows stays in float: the last layers, and the way from there to the answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cvzoo.data.build import build_dataset
from cvzoo.data.config import Data
from cvzoo.data.transforms import eval_resize
from cvzoo.runtime.facts import Facts
from cvzoo.runtime.formats import onnxruntime
from cvzoo.runtime.model import on_canvas
from cvzoo.structures import Batch, Sample

Feed = dict[str, np.ndarray]
"""The inputs of a graph by name."""
LAYERS = ("Conv", "Gemm", "MatMul")
"""What multiplies by weights."""
BETWEEN = ("Relu", "Clip", "MaxPool", "Add", "Concat", "Resize")
"""What may stand between two layers without leaving int8."""
APART = ("RoiAlign", "DeformConv", "NonMaxSuppression", "TopK")
"""What does not hand on values but looks up places: what leads there is as good as an answer."""


def feeds_of(data: Data, facts: Facts, count: int) -> Iterator[Feed]:
    """So many images of the training split, from all of it, as the graph wants them. ValueError where it is missing."""
    dataset: Any = build_dataset(data, "train")
    indices = np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round().astype(int).tolist()
    return (_feed(eval_resize(dataset[index], data), facts) for index in indices)


def _feed(sample: Sample, facts: Facts) -> Feed:
    images = on_canvas(Batch.collate([sample]).images, facts, facts.row)
    return {"images": images.numpy(), "sizes": np.array([sample.size], np.int64)}


def quantise(path: Path, feeds: Iterable[Feed]) -> None:
    """Write an ONNX file anew, in int8."""
    onnxruntime().set_default_logger_severity(3)  # 2 tells what it does not fold
    import onnx
    from onnxruntime.quantization import QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    # folds norms into convolutions and makes constants of what is computed of constants: else they would stay in float
    quant_pre_process(path, path, skip_symbolic_shape=True)
    model = onnx.load(path)
    quantize_static(
        model,
        path,
        _Reader(iter(feeds)),  # type: ignore[arg-type]
        activation_type=QuantType.QUInt8,  # onnxruntime fuses signed ones on x86 only where one node reads them
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,  # without VNNI products of 8 and 8 bits, added in pairs, would not fit in 16
        op_types_to_quantize=[*LAYERS, *BETWEEN],
        nodes_to_quantize=in_int8(model.graph),
    )


class _Reader:
    """Inputs in the way that onnxruntime asks for them."""

    def __init__(self, feeds: Iterator[Feed]) -> None:
        self._feeds = feeds

    def get_next(self) -> Feed | None:
        return next(self._feeds, None)


def in_int8(graph: Any) -> list[str]:
    """Names of an ONNX graph's nodes that are to compute in int8: layers that another layer follows, and what stands
    between two of them.
    """
    makers = {name: node for node in graph.node for name in node.output}
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    weights = {one.name for one in graph.initializer}
    layers = [node for node in graph.node if node.op_type in LAYERS and node.input[1] in weights]

    def following(node: Any) -> Iterator[Any]:
        return (reader for name in node.output for reader in readers.get(name, ()))

    def preceding(node: Any) -> Iterator[Any]:
        return (makers[name] for name in node.input if name in makers)

    leading = _reached(layers, preceding, lambda node: node.op_type not in APART)
    inner = [node for node in layers if node.name in leading]
    after = _reached(inner, following, lambda node: node.op_type in BETWEEN)
    before = _reached(layers, preceding, lambda node: node.op_type in BETWEEN)
    return [node.name for node in inner] + sorted(
        node.name for node in graph.node if node.op_type in BETWEEN and node.name in after & before
    )


def _reached(begin: Iterable[Any], step: Callable[[Any], Iterable[Any]], passes: Callable[[Any], bool]) -> set[str]:
    """Names of the nodes that one comes to from some, through those that let pass."""
    found, ahead = set(), [node for start in begin for node in step(start)]
    while ahead:
        node = ahead.pop()
        if node.name not in found:
            found.add(node.name)
            if passes(node):
                ahead.extend(step(node))
    return found
