"""Narrow models and the files that they were exported to."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from zoo.systems import narrow, same_detections

from cvzoo.data.shapes import draw_for
from cvzoo.export.export import facts_of
from cvzoo.export.formats import write
from cvzoo.export.graph import graph_of
from cvzoo.loading import Loaded
from cvzoo.nn.model import Model
from cvzoo.ops.masks import to_bitmap
from cvzoo.recipes import Recipe
from cvzoo.runtime.formats import SUFFIXES, Format
from cvzoo.runtime.model import Exported
from cvzoo.structures import Batch, Prediction, Sample, Segmentation, Size

SCRIPT = Path(__file__).parents[2] / "examples" / "use_onnx.py"
CANVAS = (128, 128)
UNTRACED: tuple[list[Size], ...] = ([(193, 230)], [(260, 199), (200, 190)])
"""Images of two batches: on canvases whose sides differ from those of the traced one and from each other."""
RETINANET = "retinanet_r18_fpn_shapes"
CLASSES = ["rectangle", "ellipse", "triangle"]


class Pair(NamedTuple):
    """A narrow model, and what became of it."""

    model: Model
    file: Exported
    recipe: Recipe[Any]


def exported(row: str, folder: Path, format: Format = "onnx", canvas: Size | None = None, **options: Any) -> Pair:
    """With these options of the model changed."""
    torch.manual_seed(0)
    recipe: Recipe[Any] = narrow(row, **options)
    recipe = replace(recipe, data=replace(recipe.data, canvas=canvas))
    model = recipe.model.build().for_inference()
    path = folder / f"{row}{SUFFIXES[format]}"
    data = {"classes": CLASSES} if row == RETINANET else {}
    write(graph_of(model, canvas), facts_of(Loaded(model, recipe, data), model), path, format)
    file = Exported(path)
    file.config = model.config
    return Pair(model, file, recipe)


def drawn(*sizes: Size) -> Batch:
    """Images whose answers are wanted at another size."""
    samples = [draw_for(narrow(RETINANET).data, size, objects=4, seed=seed) for seed, size in enumerate(sizes)]
    return Batch.collate([Sample(s.image, original_size=(2 * s.size[0], s.size[1])) for s in samples])


def same_answers(pair: Pair, *sizes: Size) -> None:
    """To images of these sizes. `predict` of detectors by key points fills up with boxes that score 0."""
    batch = drawn(*sizes)
    batch.original_sizes = batch.sizes
    for ours, theirs in zip(pair.file.predict(batch), pair.model.predict(batch), strict=True):
        if isinstance(theirs, Segmentation):
            assert isinstance(ours, Segmentation)
            assert (ours.labels != theirs.labels).float().mean() < 1e-3
        else:
            assert isinstance(ours, Prediction)
            same_detections(ours, theirs[theirs.scores > 0])


def without_cvzoo(pair: Pair, image: Path) -> list[str]:
    """What the example prints of an image; it cannot import cvzoo or torch."""
    run = (
        "import runpy, sys; sys.modules |= {'cvzoo': None, 'torch': None};"
        f" sys.argv = ['', {str(pair.file.path)!r}, {str(image)!r}];"
        f" runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    )
    return subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, check=True).stdout.splitlines()


def masks_without_cvzoo(pair: Pair, path: Path) -> None:
    """The example draws the masks that the model finds, the best on top."""
    size = (128, 128)
    image = drawn(size).images
    Image.fromarray(image[0].permute(1, 2, 0).numpy()).save(path)
    lines = without_cvzoo(pair, path)
    (found,) = pair.file.predict(Batch(image, [size], [size], [], []))
    assert isinstance(found, Prediction)
    assert found.masks is not None
    assert len(lines) == len(found)
    owners, drawn_owners = np.zeros(size, np.uint16), np.asarray(Image.open(f"{path}.masks.png"))
    for number in reversed(range(len(found))):
        owners[to_bitmap(found.masks[number], size) > 0] = number + 1
    assert (owners > 0).any()
    assert (owners == drawn_owners).mean() > 0.95
