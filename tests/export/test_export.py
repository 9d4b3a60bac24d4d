"""Exported files answer as their models do: every kind of one-stage detector and segmenter in onnxruntime."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from zoo.systems import narrow, same_detections

from cvzoo.data.shapes import draw_for
from cvzoo.export.export import facts_of
from cvzoo.export.formats import write
from cvzoo.export.graph import graph_of
from cvzoo.loading import Loaded
from cvzoo.nn.model import Model
from cvzoo.recipes import Recipe
from cvzoo.runtime.formats import SUFFIXES, Format
from cvzoo.runtime.model import Exported
from cvzoo.structures import Batch, Sample, Segmentation, Size

pytest.importorskip("onnxruntime")
ROWS = [
    "retinanet_r18_fpn_shapes",
    "fcos_r18_fpn_shapes",
    "freeanchor_r18_fpn_shapes",
    "reppoints_moment_r18_fpn_shapes",
    "reppoints_partial_minmax_r18_fpn_shapes",
    "atss_r18_fpn_shapes",
    "fcn_r18_shapes",
    "pspnet_r18_shapes",
    "deeplabv3plus_r18_shapes",
    "gcnet_r18_shapes",
]
CANVAS = (128, 128)


def exported(row: str, folder: Path, format: Format = "onnx", canvas: Size | None = CANVAS) -> tuple[Model, Exported]:
    """The narrow model of a row, and what became of it."""
    torch.manual_seed(0)
    recipe: Recipe[Any] = narrow(row)
    recipe = replace(recipe, data=replace(recipe.data, canvas=canvas))
    model = recipe.model.build().for_inference()
    path = folder / f"{row}{SUFFIXES[format]}"
    write(graph_of(model, canvas), facts_of(Loaded(model, recipe, {}), model), path, format)
    found = Exported(path)
    found.config = model.config
    return model, found


def drawn(model: Model, sizes: list[Size]) -> Batch:
    """Images of some sizes, whose answers are wanted at another one."""
    recipe = narrow("retinanet_r18_fpn_shapes")
    samples = [draw_for(recipe.data, size, objects=4, seed=seed) for seed, size in enumerate(sizes)]
    return Batch.collate([Sample(s.image, original_size=s.size) for s in samples])


def same_answers(model: Model, other: Model, batch: Batch) -> None:
    for ours, theirs in zip(other.predict(batch), model.predict(batch), strict=True):
        if isinstance(theirs, Segmentation):
            assert (ours.labels != theirs.labels).float().mean() < 1e-3
        else:
            same_detections(ours, theirs)


@pytest.mark.parametrize("row", ROWS)
def test_a_file_answers_as_its_model_does(row: str, tmp_path: Path) -> None:
    model, file = exported(row, tmp_path)
    batch = drawn(model, [(128, 128), (100, 128), (120, 90)])
    same_answers(model, file, batch)
