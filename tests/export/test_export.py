"""Exported files answer as their models do: every kind of one-stage detector and segmenter in onnxruntime."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from export.pairs import (
    CANVAS,
    CLASSES,
    RETINANET,
    SCRIPT,
    UNTRACED,
    Pair,
    drawn,
    exported,
    same_answers,
    without_cvzoo,
)
from PIL import Image
from torch import Tensor, nn
from zoo.systems import narrow

import cvzoo
from cvzoo.export.compare import compared
from cvzoo.export.formats import write
from cvzoo.export.graph import graph_of, reason
from cvzoo.ops.boxes import clip_boxes
from cvzoo.predictor import Predictor
from cvzoo.runtime.model import Exported
from cvzoo.structures import Batch
from cvzoo.tasks.detections import Detections
from cvzoo.weights.errors import WeightsError

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
ROWS = [
    "fcos_r18_fpn_shapes",
    "freeanchor_r18_fpn_shapes",
    "reppoints_moment_r18_fpn_shapes",
    "atss_r18_fpn_shapes",
    "pspnet_r18_shapes",
    "deeplabv3plus_r18_shapes",
    "gcnet_r18_shapes",
    "treefilter_r18_shapes",
]
FCN = "fcn_r18_shapes"


@pytest.mark.parametrize("row", ROWS)
def test_a_file_answers_as_its_model_does_at_any_size(row: str, tmp_path: Path) -> None:
    pair = exported(row, tmp_path)
    for sizes in UNTRACED:
        same_answers(pair, *sizes)


def test_retinanets_file_answers_at_any_size(retinanet: Pair) -> None:
    for sizes in UNTRACED:
        same_answers(retinanet, *sizes)


def test_a_file_is_opened_without_a_report_to_anybody(retinanet: Pair, tmp_path: Path) -> None:
    """In a process of its own: what onnxruntime is to report it first writes down in the user's folder of caches."""
    script = "import sys, pathlib, cvzoo.runtime.formats as formats; formats.open_exported(pathlib.Path(sys.argv[1]))"
    variables = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    variables |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", script, retinanet.file.path], env=variables, check=True)
    assert not list(tmp_path.rglob("Microsoft"))


def test_a_file_of_one_canvas(tmp_path: Path) -> None:
    pair = exported(FCN, tmp_path, canvas=CANVAS)
    same_answers(pair, (128, 128), (100, 128), (120, 90))
    image, path = drawn((100, 128)).images, tmp_path / "image.png"
    Image.fromarray(image[0].permute(1, 2, 0).numpy()).save(path)
    assert without_cvzoo(pair, path) == []
    (found,) = pair.file.predict(Batch(image, [(100, 128)], [(100, 128)], [], []))
    assert (np.asarray(Image.open(f"{path}.labels.png")) == found.labels.numpy()).mean() > 0.999


def test_a_file_is_weights_of_its_row(retinanet: Pair) -> None:
    recipe = cvzoo.recipe(RETINANET, {"data.canvas": None, "weights": str(retinanet.file.path)})
    image = drawn((200, 280)).images[0]
    predictor = Predictor(recipe)
    assert predictor.classes == CLASSES
    (found,) = predictor([image])
    assert isinstance(found, Detections)
    assert len(found) > 0
    with pytest.raises(ValueError, match=r"thresholds of an exported file are part of its graph \(scores over 0.001"):
        predictor(image, conf=0.0001)
    with pytest.raises(WeightsError, match=r"whose model is as it is; leave out --model.candidates"):
        Predictor(replace(recipe, model=replace(recipe.model, candidates=7)))
    with pytest.raises(WeightsError, match="the row is another system"):
        Predictor(cvzoo.recipe("fcos_r18_fpn_shapes", {"weights": str(retinanet.file.path)}))


def test_the_comparison_tells_equal_from_different(retinanet: Pair) -> None:
    data = replace(retinanet.recipe.data, test_short_side=192, max_long_side=256, short_sides=(192,))
    recipe = replace(retinanet.recipe, data=data)
    same = compared(retinanet.model, retinanet.file, recipe, iterations=1)
    assert len(list(same.lines())) == 1 + len(same.cases) == 1 + 2 + 4
    assert min(case.agreement for case in same.cases) >= 0.99
    assert max(case.difference for case in same.cases) < 1e-4
    same.check(retinanet.file.path, "fp32")
    torch.manual_seed(1)
    other = compared(retinanet.recipe.model.build().for_inference(), retinanet.file, recipe, iterations=1)
    with pytest.raises(ValueError, match="does not answer as its model does"):
        other.check(retinanet.file.path, "fp32")


def test_it_runs_where_there_is_no_cvzoo(retinanet: Pair, tmp_path: Path) -> None:
    assert len(SCRIPT.read_text().splitlines()) < 60
    image = drawn((96, 140)).images[0]
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / "image.png")
    lines = without_cvzoo(retinanet, tmp_path / "image.png")
    recipe = cvzoo.recipe(RETINANET, {"data.canvas": None, "weights": str(retinanet.file.path)})
    found = Predictor(recipe)(tmp_path / "image.png")
    assert isinstance(found, Detections)
    assert len(lines) == len(found) > 0
    words = [line.removeprefix(f"{tmp_path / 'image.png'} ").split() for line in lines]
    assert words[0][0] in CLASSES
    # Pillow resizes otherwise by up to two grey levels
    np.testing.assert_allclose([float(w[1]) for w in words][:5], found.scores[:5], atol=2e-3)


def test_a_line_that_cannot_be_traced_is_named() -> None:
    with pytest.raises(TypeError) as raised:
        clip_boxes(torch.zeros(1, 4), None)  # type: ignore[arg-type]
    assert re.match(r"`.+` \(cvzoo/ops/boxes.py:\d+\): .", reason(raised.value))


class AsManyAsAreSeen(nn.Module):
    """What it does depends on what it computes."""

    def forward(self, features: list[Tensor]) -> Tensor:
        return features[-1][: int(features[-1].sum())]


class NotInONNX(nn.Module):
    """ONNX has no eigenvalues."""

    def forward(self, images: Tensor, sizes: Tensor) -> dict[str, Tensor]:
        return {"scores": torch.linalg.eigvals(images[:, 0, :3, :3].float()).real}


def test_a_model_that_is_refused_says_where_and_why(retinanet: Pair, tmp_path: Path) -> None:
    model = narrow(FCN).model.build().for_inference()
    model.head = AsManyAsAreSeen()
    with pytest.raises(
        ValueError, match=r"^Segmenter cannot be exported: `.*head\(.+` \(cvzoo/\S+\.py:\d+\): .*data-dep"
    ):
        graph_of(model, CANVAS)
    inputs = torch.zeros(1, 3, *CANVAS, dtype=torch.uint8), torch.tensor([CANVAS])
    graph = torch.export.export(NotInONNX(), inputs)
    with pytest.raises(
        ValueError, match=rf"^{RETINANET} cannot be written as onnx: .*No ONNX function found .*aten\.linalg_eig'"
    ):
        write(graph, retinanet.file.facts, tmp_path / "model.onnx", "onnx")
    assert not any(tmp_path.iterdir())


def test_a_file_that_is_none_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(ValueError, match=r"model.onnx cannot be opened: "):
        Exported(path)
    with pytest.raises(ValueError, match="there is no file"):
        Exported(tmp_path / "none.onnx")
