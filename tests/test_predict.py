"""The Python API: from any kind of images to detections in their own pixels."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from data.cameras import attach
from engine.tiny import tiny
from PIL import Image
from torch import Tensor

import cvzoo
from cvzoo.data.inputs import Frame
from cvzoo.data.sources import frames_of
from cvzoo.data.videos import VideoFile
from cvzoo.engine.train import train
from cvzoo.predict import predict_files
from cvzoo.predictor import How, Predictor
from cvzoo.structures import Answer, Prediction
from cvzoo.tasks.detections import Detections


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
    wrong = [tmp_path / "empty.jpg", np.zeros((4, 4, 7), np.uint8), tmp_path / "missing.png", torch.zeros(3, 4, 4)]
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


def test_a_video_is_drawn_and_told_frame_by_frame(
    predictor: Predictor, images: list[tuple[Path, np.ndarray]], tmp_path: Path
) -> None:
    pytest.importorskip("av")
    (tmp_path / "in").mkdir()
    Image.fromarray(images[0][1]).save(tmp_path / "in" / "a.png")
    with closing(VideoFile(tmp_path / "in" / "clip.mov")) as video:
        for number in range(4):
            video.add(Image.fromarray(images[0][1]).rotate(90 * number), 0.5 * number)
    written = list(predict_files(predictor.recipe, [tmp_path / "in"], tmp_path / "out", min_score=0.0))
    assert [path.name for path in written] == ["a.png", "clip.mp4", "clip.jsonl", "predictions.json"]
    answers = list(predictor.stream(tmp_path / "in" / "clip.mov"))
    lines = [json.loads(line) for line in written[2].read_text().splitlines()]
    assert [line["frame"] for line in lines] == [0, 1, 2, 3]
    assert [line["time"] for line in lines] == pytest.approx([0.0, 0.5, 1.0, 1.5])
    for line, answer in zip(lines, answers):
        assert isinstance(answer, Detections)
        assert [one["score"] for one in line["found"]] == pytest.approx(answer.scores.tolist(), abs=1e-5)
        assert [one["name"] for one in line["found"]] == answer.names
    drawn = [frame for frame in frames_of(written[1]) if isinstance(frame, Frame)]
    assert [frame.time for frame in drawn] == pytest.approx([0.0, 0.5, 1.0, 1.5])
    wanted = torch.from_numpy(np.array(answers[1].draw())).permute(2, 0, 1)
    assert (drawn[1].pixels.float() - wanted).abs().mean() < 20  # the noise of the image does not survive the encoder
    with pytest.raises(ValueError, match="a camera has no end; name it alone"):
        list(predict_files(predictor.recipe, [Path("camera:0"), tmp_path / "in"], tmp_path / "out", 0.5))


def test_what_a_camera_has_shown_until_ctrl_c_is_whole(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera, add, added = attach(monkeypatch), VideoFile.add, []

    def third_is_interrupted(video: VideoFile, image: Image.Image, seconds: float) -> None:
        added.append(seconds)
        if len(added) == 3:
            raise KeyboardInterrupt
        add(video, image, seconds)

    monkeypatch.setattr(VideoFile, "add", third_is_interrupted)
    video, lines = predict_files(predictor.recipe, [Path("camera:0")], tmp_path, 0.0)
    shown = [frame.time for frame in frames_of(video) if isinstance(frame, Frame)]
    assert shown == pytest.approx([0.0, added[1] - added[0]], abs=1e-3)
    assert [json.loads(line)["time"] for line in lines.read_text().splitlines()] == added
    assert camera.closed.wait(9)


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


def test_it_knows_its_image(predictor: Predictor, images: list[tuple[Path, np.ndarray]]) -> None:
    path, pixels = images[1]
    found = predictor(path)
    assert isinstance(found, Detections)
    assert (found.size, found.path, found.about.pixels) == ((120, 90), path, None)
    assert np.array_equal(found.image.permute(1, 2, 0).numpy(), pixels)
    assert set(found.seconds) == {"read", "resize", "predict"}
    assert all(second > 0 for second in found.seconds.values())
    assert np.array_equal(predictor(pixels).image.permute(1, 2, 0).numpy(), pixels)
    assert_same(predictor(pixels[:, :, ::-1], bgr=True), found)


def test_limits(predictor: Predictor, images: list[tuple[Path, np.ndarray]]) -> None:
    path = images[0][0]
    found = predictor(path)
    assert isinstance(found, Detections)
    middle = float(found.scores.median())
    assert_same(predictor(path, conf=middle), found.filter(middle))
    name = found[0].name
    assert_same(predictor(path, classes=[name], max_detections=2), found.filter(classes=name)[:2])
    assert_same(predictor(path), found)  # nothing stays behind


def test_thresholds_reach_the_model(predictor: Predictor, images: list[tuple[Path, np.ndarray]]) -> None:
    path = images[0][0]
    own = predictor.recipe.model.detect
    model = replace(predictor.recipe.model, detect=replace(own, nms_threshold=0.1, score_threshold=0.0, detections=300))
    other = Predictor(replace(predictor.recipe, model=model))
    expected = other(path)
    assert_same(predictor(path, iou=0.1, conf=0.0, max_detections=300), expected)
    assert len(expected) != len(predictor(path))  # type: ignore[arg-type]
    assert predictor.recipe.model.detect == own


def test_what_cannot_be_asked(predictor: Predictor, images: list[tuple[Path, np.ndarray]]) -> None:
    path = images[0][0]
    wrong: tuple[tuple[How, str], ...] = (
        ({"conf": 30}, "conf is 0 to 1, not 30"),
        ({"max_detections": 0}, "max_detections is 1 or more"),
        ({"classes": ["elipse"]}, "did you mean ellipse"),
        ({"tile": (0, 5)}, "tile is a height and a width"),
        ({"tile": 64}, r"tile is a height and a width in pixels, such as \(640, 640\), not 64"),
        ({"tile": (64.5, 64)}, "tile is a height and a width"),
        ({"tile": (32, 32), "overlap": 1.0}, "overlap is a share"),
    )
    for how, reason in wrong:
        with pytest.raises(ValueError, match=reason):
            predictor(path, **how)
    with pytest.raises(TypeError, match=r"no option max_detection; did you mean max_detections"):
        predictor(path, max_detection=3)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="no option threshold; it is called conf"):
        predictor(path, threshold=0.5)  # type: ignore[call-overload]
    assert re.fullmatch(r"<predictor \w+, 3 classes, on cpu>", repr(predictor))
    with pytest.raises(ValueError, match="batch is 1 or more"):
        predictor.stream([path], batch=0)  # at once, before the first answer is asked for


def test_a_stream_gives_what_calls_give(predictor: Predictor, images: list[tuple[Path, np.ndarray]]) -> None:
    folder = images[0][0].parent
    for found, (path, _) in zip(predictor.stream(folder, batch=3), images, strict=True):
        assert found.path == path
        assert_same(found, predictor(path))


def test_a_stream_is_bounded(predictor: Predictor, images: list[tuple[Path, np.ndarray]]) -> None:
    taken = 0

    def endless() -> Iterator[np.ndarray]:
        nonlocal taken
        while True:
            taken += 1
            yield images[0][1]

    found = predictor.stream(endless(), batch=2)
    for _ in range(3):
        next(found)
    assert taken <= 4 + 2 * 2
    found.close()  # type: ignore[attr-defined]


def test_a_stream_goes_on_after_what_cannot_be_read(
    predictor: Predictor, images: list[tuple[Path, np.ndarray]], tmp_path: Path
) -> None:
    answers = []
    with pytest.raises(ValueError, match=r"(?s)a\.jpg: cannot be read.*an array must be"):
        answers.extend(predictor.stream([tmp_path / "a.jpg", images[0][0], np.zeros((2, 2, 9)), images[1][0]]))
    assert [answer.path for answer in answers] == [images[0][0], images[1][0]]


def test_several_threads_may_share_a_predictor(predictor: Predictor, images: list[tuple[Path, np.ndarray]]) -> None:
    asked: list[How] = [({}, {"iou": 0.3}, {"conf": 0.0}, {"tile": (48, 48)})[number % 4] for number in range(16)]
    paths = [images[number % len(images)][0] for number in range(16)]
    expected = [predictor(path, **how) for path, how in zip(paths, asked)]
    before = torch.get_num_threads(), torch.is_grad_enabled()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda path, how: predictor(path, **how), paths, asked))
    for one, other in zip(found, expected):
        assert_same(one, other)
    assert (torch.get_num_threads(), torch.is_grad_enabled()) == before


def test_one_tile_is_the_image(predictor: Predictor, images: list[tuple[Path, np.ndarray]]) -> None:
    path = images[0][0]
    assert_same(predictor(path, tile=(500, 500)), predictor(path))


def test_tiles_find_what_crops_show(predictor: Predictor, images: list[tuple[Path, np.ndarray]]) -> None:
    """Tiles that share nothing: what is found is what is found in crops of the image, moved, less parts."""
    pixels = images[1][1]  # 120 x 90
    tiled = predictor(pixels, tile=(60, 90), overlap=0.0)
    upper, lower = predictor([pixels[:60], pixels[60:]])
    assert isinstance(upper, Detections)
    assert isinstance(lower, Detections)
    assert isinstance(tiled, Detections)
    moved = lower.boxes + torch.tensor([0, 60, 0, 60])
    expected = {tuple(box) for box in [*upper.boxes.tolist(), *moved.tolist()]}
    assert {tuple(box) for box in tiled.boxes.tolist()} <= expected
    assert len(tiled) > len(expected) / 3
    assert (tiled.scores.diff() <= 0).all()
