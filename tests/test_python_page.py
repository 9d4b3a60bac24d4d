"""The page on the Python side, executed as it stands there, and the objects it tells of."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from engine.tiny import tiny
from guides import BLOCK, ROOT, execute
from PIL import Image

import cvzoo
from cvzoo.data.shapes import draw
from cvzoo.tasks.detections import Detections


def test_the_page(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for number, path in enumerate(("street.jpg", "images/a.jpg", "images/b.jpg")):
        pixels = draw(96, 128, objects=3, seed=number).image.permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(tmp_path / path)
    texts = [text for _, _, text in BLOCK.findall((ROOT / "docs/python.md").read_text())]
    assert len(texts) == 6
    out = execute("python", "\n".join(texts), tmp_path)
    assert "<run runs/retinanet_r18_fpn_shapes: val box_AP 0." in out
    assert "in 128 x 96, street.jpg>" in out
    assert {path.name for path in (tmp_path / "drawn").iterdir()} == {"street.png", "a.jpg", "b.jpg"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> cvzoo.Run:
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return cvzoo.train(tiny(folder / "runs", schedule__iterations=3))


def test_a_run_tells_of_itself(run: cvzoo.Run) -> None:
    assert run.recipe.schedule.iterations == 3
    assert run.metrics["val"].keys() == run.details["val"]["stats"].keys()
    assert 0 <= run.metrics["val"]["box_AP"] <= 1
    assert run.report.exists()
    iterations, losses = run.curves["loss"]
    assert iterations.tolist() == [1, 2, 3]
    assert np.isfinite(losses).all()
    assert isinstance(run.predictor(device="cpu")(np.zeros((50, 60, 3), np.uint8)), Detections)


def test_its_row_file_is_found(run: cvzoo.Run) -> None:
    (path,) = run.row_files
    stored = json.loads(path.read_text())
    assert stored["results"]["val"] == run.metrics["val"]
    assert stored["row"] == run.recipe.row


def test_evaluation_gives_the_same_figures(run: cvzoo.Run, inside: Path) -> None:
    again = cvzoo.evaluate(cvzoo.recipe(str(run.folder), {"weights": str(run.folder / "model.safetensors")}))
    assert again.metrics["val"] == run.metrics["val"]
    assert again.folder.name == f"{run.folder.name}-eval"
    assert again.report.exists()
    assert again.row_files == run.row_files


def test_a_run_in_progress_and_no_run(run: cvzoo.Run, tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text((run.folder / "recipe.json").read_text())
    begun = cvzoo.Run(tmp_path)
    assert (begun.metrics, begun.curves, begun.row_files) == ({}, {}, [])
    assert repr(begun).endswith(": not evaluated>")
    with pytest.raises(ValueError, match="holds no run"):
        cvzoo.Run(tmp_path / "absent")


def test_changes_of_a_recipe() -> None:
    changed = cvzoo.recipe("retinanet_r18_fpn_shapes", {"schedule.batch": 3, "data.shapes.val-images": 7})
    assert (changed.schedule.batch, changed.data.shapes.val_images) == (3, 7)
    with pytest.raises(ValueError, match=r"unknown field schedule\.bach; did you mean schedule\.batch"):
        cvzoo.recipe("retinanet_r18_fpn_shapes", {"schedule.bach": 3})


FIRST_NAMES = """
import sys, threading
import cvzoo

def ask(name):
    together.wait()
    try:
        getattr(cvzoo, name)
    except BaseException as error:
        failed.append(error)

sys.setswitchinterval(1e-6)
failed, together = [], threading.Barrier(len(cvzoo.WITH_TORCH))
threads = [threading.Thread(target=ask, args=[name]) for name in cvzoo.WITH_TORCH]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
sys.exit(f"{failed}" if failed else 0)
"""


def test_threads_may_ask_for_the_first_names_at_once() -> None:
    """Each would import a part of what the others are importing."""
    subprocess.run([sys.executable, "-c", FIRST_NAMES], check=True)
