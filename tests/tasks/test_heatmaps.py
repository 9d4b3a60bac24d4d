"""`cvzoo predict --show heatmaps`: what it writes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from zoo.systems import narrow

from cvzoo.cli import main
from cvzoo.predictor import Predictor
from cvzoo.recipes.codec import to_json

pytestmark = pytest.mark.usefixtures("inside")


def predict(row: str, *arguments: str) -> int:
    """Predict two images with a fresh narrow model."""
    recipe = narrow(row)
    Path("recipe.json").write_text(json.dumps(to_json(recipe)))
    torch.manual_seed(0)
    torch.save(recipe.model.build().state_dict(), "weights.pth")
    random = np.random.default_rng(0)
    Path("images").mkdir(exist_ok=True)
    for name, size in (("a.png", (60, 80, 3)), ("b.jpg", (500, 90, 3))):
        Image.fromarray(random.integers(0, 255, size, dtype=np.uint8)).save(Path("images") / name)
    low = ("--min-score", "0.05")
    return main(["predict", "recipe.json", "images", "--weights", "weights.pth", "--device", "cpu", *low, *arguments])


@pytest.mark.parametrize("row", ["centernet_r18_shapes", "cornernet_hourglass_shapes"])
def test_heatmaps_are_written_besides_the_answers(row: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(row, "--output", "plain") == 0
    before = capsys.readouterr().out.replace("plain", "warm").splitlines()
    assert before == ["warm/a.png", "warm/b.png", "warm/predictions.json"]
    assert predict(row, "--output", "warm", "--show", "heatmaps") == 0
    assert capsys.readouterr().out.splitlines() == [
        *("warm/a.png", "warm/a_heatmaps.png", "warm/b.png", "warm/b_heatmaps.png", "warm/predictions.json")
    ]
    assert {path.name for path in Path("plain").iterdir()} == {"a.png", "b.png", "predictions.json"}
    for path in Path("plain").iterdir():
        assert path.read_bytes() == (Path("warm") / path.name).read_bytes()
    small, large = (np.asarray(Image.open(f"warm/{name}_heatmaps.png")).astype(int) for name in "ab")
    assert small.shape[0] > 360
    assert small.shape[1] == 480
    assert large.shape[0] > 500
    assert np.ptp(small[:360], axis=-1).max() > 60  # heat or dots


@pytest.mark.parametrize("row", ["retinanet_r18_fpn_shapes", "pspnet_r18_shapes"])
def test_a_row_without_heat_maps_is_refused(
    row: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def called(self: Predictor, images: Any) -> None:
        raise AssertionError("it has predicted")

    monkeypatch.setattr(Predictor, "__call__", called)
    assert predict(row, "--show", "heatmaps", "--output", "out") == 2
    *_, said = capsys.readouterr().err.splitlines()
    assert said.startswith(f"cvzoo: error: {row} has no heat maps, which --show heatmaps asks for; leave that out, or")
    assert not Path("out").exists()
