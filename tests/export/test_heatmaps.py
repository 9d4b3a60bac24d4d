"""Exported files answer as their models do: detectors of key points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from export.pairs import UNTRACED, drawn, exported, same_answers
from zoo.systems import narrow

pytest.importorskip("onnxruntime")
SIZES = [(128, 128), (100, 128), (120, 90)]


def test_a_file_answers_as_its_model_does_at_any_size(tmp_path: Path) -> None:
    pair = exported("centernet_r18_shapes", tmp_path)
    for sizes in UNTRACED:
        same_answers(pair, *sizes)


@pytest.mark.parametrize(
    "row",
    [
        "centernet_dla34_512",
        "centernet_r18_512",
        "centernet_hourglass104_512",
        "cornernet_hourglass_shapes",
        "cornernet_hourglass104_511",
    ],
)
def test_the_graph_finds_what_predict_finds(row: str) -> None:
    torch.manual_seed(0)
    model: Any = narrow(row).model.build().eval()
    batch = drawn(*SIZES)
    batch.original_sizes = batch.sizes
    found = model.infer(batch.images, torch.tensor(batch.sizes))
    for n, expected in enumerate(model.predict(batch)):
        expected = expected[expected.scores > 0]
        count = int((found.scores[n] > 0).sum())
        assert count == len(expected) > 0
        assert torch.equal(found.labels[n, :count], expected.labels)
        torch.testing.assert_close(found.boxes[n, :count], expected.boxes)
        torch.testing.assert_close(found.scores[n, :count], expected.scores)
