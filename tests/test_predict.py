"""The Python API: from any kind of images to detections in their own pixels."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from engine.tiny import tiny
from PIL import Image
from torch import Tensor

import cvzoo
from cvzoo.engine.train import train
from cvzoo.predict import Predictor, predict_files
from cvzoo.structures import Answer, Prediction


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """A predictor with barely trained weights and no score threshold, so that it always finds something."""
    folder = tmp_path_factory.mktemp("predict")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        changed = {"model__detect__score_threshold": 0.001, "data__canvas": None, "data__max_long_side": 96}
        recipe = tiny(folder / "runs", schedule__iterations=1, **changed)
        train(recipe)
        return Predictor(recipe)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, np.ndarray]]:
    """PNG files of three sizes and their pixels (H, W, 3)."""
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    found = []
    for number, (height, width) in enumerate([(60, 80), (120, 90), (60, 80), (64, 64)]):
        pixels = random.integers(0, 255, (height, width, 3), dtype=np.uint8)
        path = folder / f"{number}.png"
        Image.fromarray(pixels).save(path)
        found.append((path, pixels))
    return found


def assert_same(one: Answer, other: Answer) -> None:
    assert isinstance(one, Prediction)
    assert isinstance(other, Prediction)
    assert len(one) == len(other) > 0
    assert torch.equal(one.labels, other.labels)
    torch.testing.assert_close(one.boxes, other.boxes, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(one.scores, other.scores, rtol=1e-4, atol=1e-5)


def test_every_kind_of_image_gives_the_same(predictor: Predictor, images: list[tuple[Path, np.ndarray]]) -> None:
    path, pixels = images[0]
    expected = predictor(path)
    assert isinstance(expected, Prediction)
    tensor: Tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    for image in (str(path), Image.open(path), pixels, tensor):
        assert_same(predictor(image), expected)


def test_images_of_mixed_sizes_in_order(predictor: Predictor, images: list[tuple[Path, np.ndarray]]) -> None:
    together = predictor([path for path, _ in images])
    assert isinstance(together, list)
    for prediction, (path, pixels) in zip(together, images):
        assert_same(prediction, predictor(path))
        assert isinstance(prediction, Prediction)
        assert (prediction.boxes[:, 2] <= pixels.shape[1] + 1e-3).all()
        assert (prediction.boxes[:, 3] <= pixels.shape[0] + 1e-3).all()
    assert predictor([]) == []
    assert len(predictor([images[0][0]])) == 1


def test_every_image_that_cannot_be_read_is_named(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    wrong = [tmp_path / "empty.jpg", np.zeros((4, 4), np.uint8), tmp_path / "missing.png", torch.zeros(3, 4, 4)]
    with pytest.raises(ValueError, match=r"(?s)empty\.jpg.*picture 1: .*\(H, W, 3\).*missing\.png.*picture 3: .*uint8"):
        predictor(wrong)


def test_classes_come_with_the_weights(predictor: Predictor) -> None:
    assert predictor.classes == ["rectangle", "ellipse", "triangle"]


def test_load_takes_the_weights_of_the_run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"no weights: runs/retinanet_r18_fpn_shapes/model\.safetensors.*cvzoo train"):
        cvzoo.load("retinanet_r18_fpn_shapes", device="cpu")


def test_files_are_drawn_and_listed(
    predictor: Predictor, images: list[tuple[Path, np.ndarray]], tmp_path: Path
) -> None:
    folder = images[0][0].parent
    written = list(predict_files(predictor.recipe, [folder], tmp_path / "out", min_score=0.5))
    assert [path.name for path in written] == ["0.png", "1.png", "2.png", "3.png", "predictions.json"]
    assert Image.open(written[1]).size == (90, 120)
    found = json.loads(written[-1].read_text())
    assert [Path(image["file_name"]).name for image in found["images"]] == ["0.png", "1.png", "2.png", "3.png"]
    expected = predictor(folder / "1.png")
    assert isinstance(expected, Prediction)
    ours = [annotation for annotation in found["annotations"] if annotation["image_id"] == 2]  # they count from 1
    assert [annotation["score"] for annotation in ours] == pytest.approx(expected.scores.tolist(), abs=1e-5)
    assert {annotation["category_id"] for annotation in ours} <= {category["id"] for category in found["categories"]}


def test_missing_files_are_named(predictor: Predictor, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no such image or folder: .*a\.jpg, .*b\.jpg"):
        list(predict_files(predictor.recipe, [tmp_path / "a.jpg", tmp_path / "b.jpg"], tmp_path / "out", 0.5))
    with pytest.raises(ValueError, match="no images"):
        list(predict_files(predictor.recipe, [tmp_path], tmp_path / "out", 0.5))
    assert not (tmp_path / "out").exists()


def test_unknown_row_gets_a_suggestion() -> None:
    with pytest.raises(ValueError, match="did you mean retinanet_r50_fpn_1x"):
        cvzoo.recipe("retinanet_r50_fpn_2x")
    assert "retinanet_r18_fpn_shapes" in cvzoo.rows()


def test_importing_the_package_imports_no_torch() -> None:
    root = Path(cvzoo.__file__).parents[1]
    code = "import sys, cvzoo; cvzoo.rows(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)


@pytest.mark.parametrize("given", [None, b"bytes", 3])
def test_what_is_no_image_is_said_in_a_line(predictor: Predictor, given: object) -> None:
    with pytest.raises(ValueError, match=r"^an image \(a picture\) is a path, .*, not (NoneType|bytes|int)$"):
        predictor(given)  # type: ignore[call-overload]


def test_an_empty_crop_is_named(predictor: Predictor) -> None:
    whole = np.zeros((40, 40, 3), np.uint8)
    with pytest.raises(ValueError, match=r"^picture 1: an array must be .*\(0, 40, 3\)"):
        predictor([whole, whole[:0], whole])
