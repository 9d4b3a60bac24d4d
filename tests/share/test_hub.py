"""To a hub and back, by the hub's own library and a real server in its place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from engine.tiny import whole_run
from PIL import Image
from share.hub import TOKEN, Hub, serving

import cvzoo
from cvzoo.cli import main
from cvzoo.files import file_digest

IMAGE = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with serving() as running:
        running.use(monkeypatch, tmp_path / "hub")
        yield running


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return whole_run(tmp_path_factory, schedule__iterations=1)


def test_there_and_back(hub: Hub, run: Path) -> None:
    # files that others have put there, and figures of weights before these
    hub.models["me/mine"] = {"pytorch_model.bin": b"a pickle", "run.py": b"print(1)", "rows/old@machine.json": b"{}"}
    predictor = cvzoo.load(str(run), device="cpu")
    assert predictor.push_to_hub("me/mine", licence="mit", private=True) == f"{hub.url}/me/mine"
    assert hub.private["me/mine"]
    card = hub.models["me/mine"]["README.md"].decode()
    assert 'cvzoo.load("hf:me/mine")' in card
    assert "Of the weights: mit" in card

    again = cvzoo.Predictor.from_pretrained("me/mine", device="cpu")
    assert again.classes == predictor.classes
    assert np.array_equal(again(IMAGE, conf=0).boxes, predictor(IMAGE, conf=0).boxes)
    assert file_digest(Path(again.recipe.weights or "")) == file_digest(run / "model.safetensors")
    rows = [name for name in hub.models["me/mine"] if name.startswith("rows/")]
    assert len(rows) == 1
    assert "old" not in rows[0]
    assert sorted(hub.sent) == sorted(["README.md", "SHA256SUMS", "model.safetensors", "recipe.json", *rows])


def test_commands_take_it_for_a_row_and_for_weights(
    hub: Hub, run: Path, inside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(IMAGE).save("image.png")
    assert main(["share", str(run), "--to", "hf:me/run"]) == 0
    assert capsys.readouterr().out == f"{hub.url}/me/run\n"
    assert not hub.private["me/run"]
    assert main(["predict", "hf:me/run", "image.png", "--output", "drawn", "--device", "cpu"]) == 0
    assert (inside / "drawn" / "predictions.json").exists()
    same = cvzoo.load(str(run), weights="hf:me/run", device="cpu")
    assert same.classes == ["rectangle", "ellipse", "triangle"]


def test_a_revision(hub: Hub, run: Path) -> None:
    cvzoo.load(str(run), device="cpu").push_to_hub("me/run")
    assert cvzoo.recipe(f"hf:me/run@{hub.commit('me/run')}") == cvzoo.recipe("hf:me/run")


def test_without_a_network(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving() as hub:
        hub.use(monkeypatch, tmp_path / "hub")
        cvzoo.load(str(run), device="cpu").push_to_hub("me/run")
        recipe = cvzoo.trained_recipe("hf:me/run")
    hub.use(monkeypatch, tmp_path / "hub", offline=True)
    assert cvzoo.trained_recipe("hf:me/run") == recipe
    assert main(["show", "hf:me/other"]) == 2
    assert "Without a network copy the folder from elsewhere and give its path" in capsys.readouterr().err


def test_what_was_changed_on_the_hub_is_not_loaded(hub: Hub, run: Path) -> None:
    cvzoo.load(str(run), device="cpu").push_to_hub("me/run")
    files = hub.models["me/run"]
    files["model.safetensors"] = files["model.safetensors"][:-1] + b"\0"
    with pytest.raises(ValueError, match=r"the sha256 of .*model\.safetensors is"):
        cvzoo.load("hf:me/run", device="cpu")


def test_pickles_are_not_even_downloaded(hub: Hub, inside: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = b'{"row": "retinanet_r18_fpn_shapes", "weights": "model.pkl"}'
    hub.models["you/pickle"] = {"model.pkl": b"cos\nsystem\n(S'touch pwned'\ntR.", "recipe.json": recipe}
    assert main(["predict", "hf:you/pickle", "image.png"]) == 2
    message = "hf:you/pickle holds no model of cvzoo: it has no model.safetensors. Files of other kinds are not taken"
    assert message in capsys.readouterr().err
    assert hub.sent == ["recipe.json"]
    assert not (inside / "pwned").exists()


def test_what_the_hub_refuses_is_told_with_a_remedy(
    hub: Hub, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", "hf:me/none"]) == 2
    assert "cannot get hf:me/none: 404" in capsys.readouterr().err
    assert main(["share", str(run), "--to", "hf:mine"]) == 2
    assert "is called hf:OWNER/NAME, not hf:mine" in capsys.readouterr().err
    monkeypatch.setenv("HF_TOKEN", TOKEN + "x")
    assert main(["share", str(run), "--to", "hf:me/mine"]) == 2
    told = capsys.readouterr().err
    assert "cannot upload to hf:me/mine: Client error '401 " in told
    assert "`hf auth login`, or set HF_TOKEN" in told
