"""The commands of docs/sharing.md, executed as they stand there, with a hub on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from guides import BLOCK, ROOT, execute
from PIL import Image
from share.hub import serving

from cvzoo.data.shapes import draw


def test_every_command_of_the_guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(draw(96, 128, objects=3, seed=0).image.permute(1, 2, 0).numpy()).save(tmp_path / "street.png")
    blocks = BLOCK.findall((ROOT / "docs/sharing.md").read_text())
    with serving() as hub:
        for name, value in hub.environment(tmp_path / "home").items():
            monkeypatch.setenv(name, value)
        # the hub's library reads its variables when it is imported
        folder, uploaded, _, mirror = (execute(language, text, tmp_path, fresh=True) for _, language, text in blocks)
    names = {"model.safetensors", "recipe.json", "rows", "README.md", "SHA256SUMS"}
    for shared in ("shapes_detector", "my_copy"):
        assert {path.name for path in (tmp_path / shared).iterdir()} == names
    assert (tmp_path / "seen" / "predictions.json").read_bytes() == (
        tmp_path / "seen_again/predictions.json"
    ).read_bytes()
    assert "seen/street.png" in folder
    assert f"{hub.url}/me/shapes\n" in uploaded
    assert hub.private == {"me/shapes": True, "me/copy": True}
    weights = [hub.models[model]["model.safetensors"] for model in ("me/shapes", "me/copy")]
    assert weights[0] == weights[1] == (tmp_path / "shapes_detector/model.safetensors").read_bytes()
    assert mirror.startswith("0 files")
