"""Exported files answer as their models do: R-CNNs, with masks and dense pose."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from export.pairs import UNTRACED, drawn, exported, masks_without_cvzoo, same_answers
from zoo.systems import narrow

pytest.importorskip("onnxruntime")
SIZES = [(128, 128), (100, 128), (120, 90)]
ROWS = [
    "faster_rcnn_r50_c4_shapes",
    "faster_rcnn_r50_dc5_1x",
    "mask_rcnn_r18_fpn_shapes",
    "mask_rcnn_r50_dc5_1x",
    "mask_rcnn_r50_fpn_gcb_shapes",
    "cascade_rcnn_r50_fpn_1x",
    "cascade_mask_rcnn_r18_fpn_shapes",
    "tridentnet_r50_c4_shapes",
    "densepose_r18_fpn_shapes",
]


def test_a_file_answers_as_its_model_does_at_any_size(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The one with the most parts; tracing one takes most of a minute."""
    pair = exported("cascade_mask_rcnn_r18_fpn_shapes", tmp_path)
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert told == [], "the exporter's notes to its authors reach the user"
    for sizes in UNTRACED:
        same_answers(pair, *sizes)
    masks_without_cvzoo(pair, tmp_path / "image.png")


@pytest.mark.parametrize("row", ROWS)
def test_the_graph_finds_what_predict_finds(row: str) -> None:
    torch.manual_seed(0)
    model: Any = narrow(row).model.build().eval()
    batch = drawn(*SIZES)
    found = model.infer(batch.images, torch.tensor(batch.sizes))
    batch.original_sizes = batch.sizes
    for n, expected in enumerate(model.predict(batch)):
        count = int((found.scores[n] > 0).sum())
        assert count == len(expected) > 0
        assert torch.equal(found.labels[n, :count], expected.labels)
        torch.testing.assert_close(found.boxes[n, :count], expected.boxes)
        torch.testing.assert_close(found.scores[n, :count], expected.scores)
