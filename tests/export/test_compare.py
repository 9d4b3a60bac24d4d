"""The comparison of answers sees boxes, masks and surfaces that differ."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cvzoo.export.compare import Case, Comparison, agreement
from cvzoo.ops import rle
from cvzoo.structures import Prediction, Segmentation

FILE = Path("a.onnx")
BOX = torch.tensor([[2.0, 2.0, 10.0, 10.0]])


def found(columns: slice | None = None, surface: torch.Tensor | None = None, shift: float = 0.0) -> Prediction:
    """One detection, with a mask in these columns of the image."""
    masks = None
    if columns is not None:
        bitmap = np.zeros((12, 12), np.uint8)
        bitmap[2:10, columns] = 1
        masks = [rle.encode(bitmap)]
    surfaces = None if surface is None else [surface]
    return Prediction(BOX + shift, torch.tensor([0.9]), torch.tensor([1]), masks, surfaces)


def test_masks() -> None:
    assert agreement([found(slice(2, 10))], [found(slice(2, 10))]) == (1.0, 1, 0.0, 0.0, 1.0)
    assert agreement([found(slice(2, 8))], [found(slice(5, 8))])[-1] == pytest.approx(0.5)
    assert agreement([found(slice(2, 8))], [found(slice(2, 8), shift=5)]) == (0.0, 1, 0.0, 0.0, None)
    assert agreement([found()], [found()])[-1] is None


def test_surfaces() -> None:
    ours = torch.zeros(3, 8, 8, dtype=torch.uint8)
    ours[0, :, :4] = 7
    theirs = ours.clone()
    theirs[0, :, 2:4] = 8
    assert agreement([found(surface=ours)], [found(surface=ours[:, :, :7])])[-1] == 1.0
    assert agreement([found(surface=ours)], [found(surface=theirs)])[-1] == pytest.approx(0.5)


def test_label_maps() -> None:
    labels = torch.zeros(4, 4, dtype=torch.uint8)
    other = labels.clone()
    other[0] = 1
    assert agreement([Segmentation(labels)], [Segmentation(other)]) == (0.75, 16, 0.0, 0.0, None)


def case(agreed: float, shapes: float) -> Comparison:
    return Comparison([Case("an image", agreed, 1, 0.0, 0.0, shapes, 1.0, 1.0)])


def test_shapes_that_differ_are_an_error_and_rounded_ones_are_not() -> None:
    wrong, rounded = case(1.0, 0.3), case(0.4, 0.95)
    assert "30.00%" in list(wrong.lines())[1]
    rounded.check(FILE, "int8")
    for comparison, precision in ((wrong, "fp32"), (wrong, "bf16"), (case(1.0, 0.95), "fp32")):
        with pytest.raises(ValueError, match=r"a.onnx does not answer as its model does: of an image the shapes"):
            comparison.check(FILE, precision)
    with pytest.raises(ValueError, match=r"a.onnx does not answer as its model does: of an image they agree in 40"):
        rounded.check(FILE, "fp32")
