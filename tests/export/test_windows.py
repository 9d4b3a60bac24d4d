"""Exported files answer as their models do: TensorMask, whose masks lie in windows of many sizes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from export.pairs import UNTRACED, drawn, exported, masks_without_cvzoo, same_answers
from torch import Tensor
from zoo.systems import narrow

from cvzoo.export.compare import agreement
from cvzoo.ops.anchors import AnchorConfig
from cvzoo.ops.masks import paste_masks, to_bitmap
from cvzoo.structures import Prediction
from cvzoo.zoo.tensormask import graph
from cvzoo.zoo.tensormask.head import Representation
from cvzoo.zoo.tensormask.model import TensorMask

ROW = "tensormask_r18_fpn_shapes"
SIZES = [(128, 128), (100, 128), (120, 90)]


def test_a_file_answers_as_its_model_does_at_any_size(tmp_path: Path) -> None:
    """Of three levels and one kind of window: to trace all of them takes a minute."""
    pytest.importorskip("onnxruntime")
    windows = AnchorConfig(sizes=((40.0,), (80.0,), (160.0,)), ratios=((1.0,),), strides=(8, 16, 32))
    pair = exported(ROW, tmp_path, windows=windows, fpn=replace(narrow(ROW).model.fpn, first_level=3))
    for sizes in UNTRACED:
        same_answers(pair, *sizes)
        batch = drawn(*sizes)
        shapes = agreement(pair.model.predict(batch), pair.file.predict(batch))[-1]
        assert shapes is not None
        assert shapes > 0.99
    masks_without_cvzoo(pair, tmp_path / "image.png")


@pytest.mark.parametrize("representation", ["bipyramid", "aligned", "natural"])
def test_the_graph_finds_what_predict_finds(representation: Representation) -> None:
    torch.manual_seed(0)
    model: TensorMask = narrow(ROW, representation=representation).model.build().eval()
    for parameter in model.head.parameters():
        torch.nn.init.normal_(parameter, std=0.2)  # hidden values that differ from cell to cell
    batch = drawn(*SIZES)
    batch.original_sizes = batch.sizes
    found = model.infer(batch.images, torch.tensor(batch.sizes))
    for n, expected in enumerate(model.predict(batch)):
        count, size = int((found.scores[n] > 0).sum()), batch.sizes[n]
        assert count == len(expected) > 0
        assert torch.equal(found.labels[n, :count], expected.labels)
        torch.testing.assert_close(found.boxes[n, :count], expected.boxes)
        torch.testing.assert_close(found.scores[n, :count], expected.scores)
        masks = paste_masks(found.masks[n, :count], found.windows[n, :count], size)
        ours = Prediction(found.boxes[n, :count], found.scores[n, :count], found.labels[n, :count], masks)
        shapes: Any = agreement([expected], [ours])[-1]
        assert shapes > 0.999


def disc(cells: int) -> Tensor:
    """(C, C): the probability that a cell is within a quarter of the mask's side from its middle."""
    place_C = torch.arange(cells) + 0.5 - cells / 2
    away_CC = (place_C.square() + place_C[:, None].square()).sqrt()
    return (cells / 4 - away_CC).sigmoid()


@pytest.mark.parametrize(
    ("cells", "window"),
    [
        (15, (70.0, 40.0, 130.0, 100.0)),  # all of its cells have a place
        (100, (-90.0, -110.0, 310.0, 290.0)),  # all that the image shows
        (150, (-140.0, -170.0, 460.0, 430.0)),  # sampled
        (150, (190.0, 250.0, 790.0, 850.0)),  # out of sight
    ],
)
def test_masks_of_one_side_are_the_windows_masks(cells: int, window: tuple[float, ...]) -> None:
    size, mask_CC, windows_14 = (240, 200), disc(cells), torch.tensor([window])
    fitted, places_14 = graph._fitted(mask_CC[None], windows_14, torch.tensor([size]), 64)
    assert fitted.shape == (1, 64, 64)
    (wanted,), (found,) = (
        paste_masks(masks, places, size) for masks, places in ((mask_CC[None], windows_14), (fitted, places_14))
    )
    different = (to_bitmap(wanted, size) != to_bitmap(found, size)).mean()
    assert different <= (0.002 if cells == 150 else 0)
