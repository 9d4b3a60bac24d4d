"""Files in int8: what computes in it, and that they still answer as their models do, nearly."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from export.pairs import Pair, drawn

import cvzoo
from cvzoo.export.export import export
from cvzoo.export.formats import OPSET
from cvzoo.export.quantise import feeds_of, in_int8, quantise
from cvzoo.ops.pool import SPLITS_BY_PARITY
from cvzoo.runtime.model import Exported
from cvzoo.structures import Boxes

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def test_a_file_in_int8_answers_nearly_as_its_model_does(retinanet: Pair, tmp_path: Path) -> None:
    path = tmp_path / "int8.onnx"
    shutil.copy(retinanet.file.path, path)
    feeds = list(feeds_of(retinanet.recipe.data, retinanet.file.facts, 3))
    assert len({feed["images"].tobytes() for feed in feeds}) == 3
    quantise(path, feeds)
    file = Exported(path)
    assert file.facts == retinanet.file.facts
    batch = drawn((192, 224), (180, 200))
    sizes = torch.tensor(batch.sizes)
    ours, theirs = (one.infer(batch.images, sizes) for one in (file, retinanet.model))
    assert isinstance(ours, Boxes)
    assert isinstance(theirs, Boxes)
    assert (ours.scores - theirs.scores).abs().max() < 0.02


def test_what_computes_in_int8(retinanet: Pair) -> None:
    """All layers but the last: the head's two outputs at each of five levels."""
    graph = onnx.load(retinanet.file.path).graph
    inside = set(in_int8(graph))
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert sum(node.name not in inside for node in convolutions) == 2 * 5
    others = {node.op_type for node in graph.node if node.name in inside} - {"Conv"}
    pooled = set() if SPLITS_BY_PARITY else {"MaxPool"}  # torch 2.11's is in two steps, of which one is no arithmetic
    assert {"Relu", "Add"} | pooled <= others
    of_boxes = [node for node in graph.node if node.op_type == "Add" and node.name not in inside]
    assert len(of_boxes) > 0


def test_norms_are_part_of_the_convolutions_before_them(tmp_path: Path) -> None:
    """Between two of them a norm would compute in float, and what follows it, too."""
    path, random = tmp_path / "model.onnx", np.random.default_rng(0)
    weights = {name: random.standard_normal((4, 4, 1, 1), np.float32) for name in ("w", "v")}
    weights |= {name: random.uniform(1, 2, 4).astype(np.float32) for name in ("scale", "shift", "mean", "var")}
    nodes = [
        onnx.helper.make_node("Conv", ["images", "w"], ["a"], "first"),
        onnx.helper.make_node("BatchNormalization", ["a", "scale", "shift", "mean", "var"], ["b"], "norm"),
        onnx.helper.make_node("Relu", ["b"], ["c"], "relu"),
        onnx.helper.make_node("Conv", ["c", "v"], ["maps"], "last"),
    ]
    places = [onnx.helper.make_tensor_value_info(name, 1, (1, 4, 8, 8)) for name in ("images", "maps")]
    constants = [onnx.numpy_helper.from_array(values, name) for name, values in weights.items()]
    graph = onnx.helper.make_graph(nodes, "graph", places[:1], places[1:], constants)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=10), path)
    images = random.standard_normal((1, 4, 8, 8), np.float32)
    quantise(path, [{"images": images}])
    kinds = [node.op_type for node in onnx.load(path).graph.node]
    assert "BatchNormalization" not in kinds
    assert kinds.count("QuantizeLinear") == 2  # of the images, and of what the first layer makes of them


@pytest.mark.parametrize(
    ("format", "precision", "images", "said"),
    [
        ("onnx", "fp32", 0, "give their number"),
        ("onnx", "fp16", 10, "exclude each other"),
        ("torch_export", "fp32", 10, "torch_export runs in fp32 or fp16 or bf16, not in int8"),
    ],
)
def test_what_cannot_be_in_int8_is_refused(format: str, precision: str, images: int, said: str) -> None:
    recipe = cvzoo.recipe("retinanet_r18_fpn_shapes", {"run.precision": precision})
    with pytest.raises(ValueError, match=said):
        export(recipe, format, int8=images)  # type: ignore[arg-type]
