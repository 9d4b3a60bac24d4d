"""A shared folder gives back the model it was made of, and says of it what the row files say."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from engine.tiny import whole_run

import cvzoo
from cvzoo.cli import main
from cvzoo.files import file_digest
from cvzoo.loading import build_with_weights
from cvzoo.share.folder import save
from cvzoo.weights.remote import Remote
from cvzoo.zoo import ROWS

IMAGE = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return whole_run(tmp_path_factory, schedule__iterations=2)


@pytest.fixture(scope="module")
def shared(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cvzoo.load(str(run), device="cpu").save_pretrained(tmp_path_factory.mktemp("of") / "model", "apache-2.0")


def found(folder: Path) -> np.ndarray:
    return cvzoo.Predictor.from_pretrained(folder, device="cpu")(IMAGE, conf=0).boxes.numpy()


def row_file(folder: Path) -> dict:
    (path,) = (folder / "rows").iterdir()
    return json.loads(path.read_text())


def test_it_is_the_same_model(run: Path, shared: Path) -> None:
    ours = cvzoo.load(str(run), device="cpu")(IMAGE, conf=0).boxes.numpy()
    assert len(ours)
    assert np.array_equal(found(shared), ours)
    assert cvzoo.load(shared, device="cpu").classes == ["rectangle", "ellipse", "triangle"]
    assert file_digest(shared / "model.safetensors") == file_digest(run / "model.safetensors")


def test_every_file_is_in_the_sums(shared: Path) -> None:
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=shared, check=True)
    named = {line.split()[1] for line in (shared / "SHA256SUMS").read_text().splitlines()}
    assert named == {str(p.relative_to(shared)) for p in shared.rglob("*") if p.is_file()} - {"SHA256SUMS"}


def test_no_path_of_this_machine_is_in_it(run: Path, shared: Path) -> None:
    for path in shared.rglob("*"):
        assert path.is_dir() or str(run.parent).encode() not in path.read_bytes()


def test_the_card_says_what_the_row_file_says(shared: Path) -> None:
    text, measured = (shared / "README.md").read_text(), row_file(shared)
    _, head, body = text.split("---\n", 2)
    metadata = yaml.safe_load(head)
    (entry,) = metadata["model-index"]
    stated = {metric["type"]: metric["value"] for metric in entry["results"][0]["metrics"]}
    assert stated == {name: measured["results"]["val"][name] for name in ("box_AP", "box_AP50", "box_AP75")}
    assert (metadata["license"], metadata["pipeline_tag"]) == ("apache-2.0", "object-detection")
    for name, value in measured["results"]["val"].items():
        assert (f"| {name.replace('_', ' ')} | {value:.3f} |" in body) == (value >= 0)
    assert f"| training, s per iteration | {measured['cost']['train_s_per_iter']:.3g} |" in body
    assert measured["hardware"] in body
    assert measured["weights_sha256"] == file_digest(shared / "model.safetensors")
    assert f"`{measured['weights_sha256']}`" in body
    assert "2 iterations of 4 images" in body
    assert "Of the weights: apache-2.0" in body
    assert "https://arxiv.org/abs/1708.02002" in body
    assert "title = {{Focal Loss for Dense Object Detection}}," in body
    assert f'cvzoo.load("{shared}")' in body


def test_a_damaged_file_is_not_loaded(shared: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(shared, tmp_path / "copy")
    content = bytearray((copy / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (copy / "model.safetensors").write_bytes(content)
    with pytest.raises(
        ValueError, match=r"the sha256 of .*model\.safetensors is .* SHA256SUMS .* get the folder again"
    ):
        found(copy)


def test_it_can_be_shared_on(shared: Path, tmp_path: Path) -> None:
    again = save(cvzoo.trained_recipe(str(shared)), tmp_path / "again")
    for name in ("model.safetensors", "recipe.json"):
        assert (again / name).read_bytes() == (shared / name).read_bytes()
    assert row_file(again) == row_file(shared)
    save(cvzoo.trained_recipe(str(again)), again)  # also onto itself
    assert row_file(again) == row_file(shared)
    assert "has stated no licence" in (again / "README.md").read_text()


def test_weights_of_another_kind_are_converted(run: Path, tmp_path: Path) -> None:
    """A pickle becomes safetensors; nothing has measured it, and the card says so."""
    recipe = cvzoo.trained_recipe(str(run))
    state = {key: torch.rand_like(x) * 0.1 for key, x in build_with_weights(recipe).model.state_dict().items()}
    torch.save(state, tmp_path / "w.pth")
    recipe = replace(recipe, weights=str(tmp_path / "w.pth"))
    folder = save(recipe, tmp_path / "shared", name="`|<b>")
    model = build_with_weights(cvzoo.trained_recipe(str(folder))).model.state_dict()
    assert all(model[key].equal(x) for key, x in state.items() if not key.endswith("num_batches_tracked"))
    text = (folder / "README.md").read_text()
    assert "Nobody has measured these weights" in text
    assert not (folder / "rows").exists()


def test_published_weights_keep_the_licence_of_their_publisher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a small file in the place of the published one."""
    row = ROWS["retinanet_r18_fpn_shapes"]
    torch.save(row.recipe().model.build().state_dict(), tmp_path / "w.pth")
    file = Remote(url=f"file://{tmp_path}/w.pth", algorithm="sha256", digest=file_digest(tmp_path / "w.pth"))
    entry = next(entry for entry in ROWS["retinanet_r50_fpn_1x"].published if entry.name == "detectron2")
    monkeypatch.setitem(ROWS, row.name, replace(row, published=(replace(entry, file=file),)))
    folder = save(replace(row.recipe(), weights="detectron2"), tmp_path / "shared")
    text = (folder / "README.md").read_text()
    assert f"detectron2 has published (640-800), {entry.page}, under" in text
    assert "Of the weights: cc-by-sa-3.0" in text
    assert f"| detectron2 | box AP {entry.results['box_AP']:.3f} |" in text
    assert "Data set: shapes" in text
    assert build_with_weights(cvzoo.trained_recipe(str(folder))).recipe.model == row.recipe().model


def test_a_run_stays_as_it_is(run: Path) -> None:
    with pytest.raises(ValueError, match="is the folder of a run; share it to another"):
        save(cvzoo.trained_recipe(str(run)), run)
    assert not (run / "README.md").exists()


def test_the_command(run: Path, inside: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["share", str(run), "--to", "out", "--licence", "CC-BY-4.0"]) == 0
    assert capsys.readouterr().out == "out\n"
    assert (inside / "out" / "README.md").read_text().count("cc-by-4.0") == 2
    assert main(["share", "retinanet_r18_fpn_shapes", "--to", "other"]) == 2
    assert "has no weights" in capsys.readouterr().err
    assert not (inside / "other").exists()
