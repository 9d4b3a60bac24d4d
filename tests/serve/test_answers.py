"""What a server answers is what a predictor says."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from serve.serving import Client, a_run, encoded, pixels, running, served

from cvzoo.serve.models import Served
from cvzoo.tasks.detections import Detections
from cvzoo.tasks.labelled_pixels import LabelledPixels

BOXES, MAPS = "retinanet_r18_fpn_shapes", "fcn_r18_shapes"
FILE = encoded(pixels(0))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Served]:
    folder = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return {row: served(a_run(folder, row)) for row in (BOXES, MAPS)}


@pytest.fixture(scope="module")
def client(models: dict[str, Served]) -> Iterator[Client]:
    with running(list(models.values())) as client:
        yield client


def expected(models: dict[str, Served], **how: Any) -> Detections:
    found = models[BOXES].predictor(pixels(0), **how)
    assert isinstance(found, Detections)
    return found


def test_detections(client: Client, models: dict[str, Served]) -> None:
    wanted = expected(models, conf=0.005, max_detections=7)
    answer = client.predict(FILE, min_score=0.005, max_detections=7).json
    assert (answer["model"], answer["task"], answer["width"], answer["height"]) == (BOXES, "boxes", 80, 60)
    assert answer["seconds"].keys() == {"queue", "read", "resize", "predict"}
    found = answer["detections"]
    assert len(found) == len(wanted) == 7
    assert [one["class"] for one in found] == wanted.names
    assert [one["label"] for one in found] == wanted.labels.tolist()
    np.testing.assert_allclose([one["box"] for one in found], wanted.boxes, atol=0.01)
    np.testing.assert_allclose([one["score"] for one in found], wanted.scores, atol=1e-4)


def test_the_same_in_json(client: Client) -> None:
    fields = {"image": base64.b64encode(FILE).decode(), "min_score": 0.005, "max_detections": 3, "model": BOXES}
    answer = client.ask("POST", "/predict", json.dumps(fields).encode(), {"Content-Type": "application/json"}).json
    assert answer["detections"] == client.predict(FILE, min_score=0.005, max_detections=3).json["detections"]


def test_cocos_format(client: Client, models: dict[str, Served]) -> None:
    found = client.predict(FILE, format="coco", image_id=7, min_score=0.005).json
    wanted = expected(models, conf=0.005).to_coco(7)
    assert [one | {"bbox": 0, "score": 0} for one in found] == [one | {"bbox": 0, "score": 0} for one in wanted]
    np.testing.assert_allclose([one["bbox"] for one in found], [one["bbox"] for one in wanted], atol=1e-3)


def test_a_drawing(client: Client, models: dict[str, Served]) -> None:
    answer = client.predict(FILE, format="png", min_score=0.01, max_detections=2)
    assert answer.headers["content-type"] == "image/png"
    drawn = expected(models, conf=0.01, max_detections=2).draw()
    np.testing.assert_array_equal(np.asarray(answer.image), np.asarray(drawn))


def test_a_label_map(client: Client, models: dict[str, Served]) -> None:
    wanted = models[MAPS].predictor(pixels(0))
    assert isinstance(wanted, LabelledPixels)
    answer = client.predict(FILE, model=MAPS).json
    label_map = Image.open(io.BytesIO(base64.b64decode(answer["label_map"])))
    np.testing.assert_array_equal(np.asarray(label_map), wanted.labels)
    assert {one["class"]: one["pixels"] for one in answer["classes"]} == wanted.counts
    assert sum(one["share"] for one in answer["classes"]) == pytest.approx(1, abs=1e-3)
    assert "detections" not in answer
    coco = client.predict(FILE, model=MAPS, format="coco").json
    assert coco == wanted.to_coco()
    assert client.predict(FILE, model=MAPS, format="png").image.width == 80


def test_the_models(client: Client, models: dict[str, Served]) -> None:
    found = client.get("/models").json["models"]
    assert [one["name"] for one in found] == list(models)
    assert [one["classes"] for one in found] == [model.predictor.classes for model in models.values()]
    assert [len(one["colours"]) for one in found] == [len(one["classes"]) for one in found]
    assert client.get("/healthz").status == client.get("/readyz").status == 200
