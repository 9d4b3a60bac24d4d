"""What users do with the detections of an image."""

import json
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from cvzoo.ops.rle import encode
from cvzoo.structures import Prediction
from cvzoo.tasks.about import About
from cvzoo.tasks.detections import Detection, Detections

CLASSES = ["person", "traffic light", "dog"]
BOXES = [[10.0, 20.0, 40.0, 60.0], [50.0, 5.0, 70.0, 25.5], [0.0, 0.0, 12.0, 12.0], [60.0, 60.0, 99.0, 79.0]]
PIXELS = torch.arange(3 * 80 * 100, dtype=torch.int64).reshape(3, 80, 100).to(torch.uint8)


@pytest.fixture
def detections() -> Detections:
    """Three persons and a dog in an image of 100 x 80 pixels, with masks."""
    masks = []
    for x1, y1, x2, y2 in BOXES:
        bitmap = np.zeros((80, 100), np.uint8)
        bitmap[int(y1) : int(y2), int(x1) : int(x2)] = 1
        masks.append(encode(bitmap))
    found = Prediction(torch.tensor(BOXES), torch.tensor([0.9, 0.8, 0.4, 0.3]), torch.tensor([0, 0, 2, 0]), masks)
    about = About(classes=CLASSES, category_ids=[1, 10, 18], size=(80, 100), pixels=PIXELS, path="a/street.jpg")
    return Detections.of(found, about)


def test_it_says_what_was_found(detections):
    assert repr(detections) == "<3 × person, 1 × dog in 100 x 80, street.jpg>"
    assert repr(detections[:0]) == "<nothing in 100 x 80, street.jpg>"
    assert (detections.size, detections.path, detections.names[2]) == ((80, 100), "a/street.jpg", "dog")


def test_single_ones(detections):
    assert len(list(detections)) == len(detections) == 4
    first, last = detections[0], detections[-1]
    assert first == first
    assert isinstance(first, Detection)
    assert (first.box, first.name, first.label) == ((10.0, 20.0, 40.0, 60.0), "person", 0)
    assert first.score == pytest.approx(0.9)
    assert first.mask is not None
    assert first.mask.sum() == 40 * 30
    assert last.box == tuple(BOXES[3])
    assert detections[np.int64(1)].box == tuple(BOXES[1])
    with pytest.raises(IndexError):
        detections[4]
    with pytest.raises(IndexError, match=r"those of a class are .filter\(classes=\['dog'\]\)"):
        detections["dog"]


@pytest.mark.parametrize(
    ("index", "rows"),
    [
        (slice(1, 3), [1, 2]),
        (slice(None, None, -1), [3, 2, 1, 0]),
        ([2, 0], [2, 0]),
        ([], []),
        (np.array([3, -4]), [3, 0]),
        (torch.tensor([1]), [1]),
        ([True, False, False, True], [0, 3]),
        (np.array([False, True, False, False]), [1]),
        (torch.tensor([False, False, True, True]), [2, 3]),
    ],
)
def test_some_of_them(detections, index, rows):
    some = detections[index]
    assert isinstance(some, Detections)
    assert some.boxes.tolist() == [BOXES[row] for row in rows]
    assert some.scores.tolist() == [detections.scores[row] for row in rows]
    assert some.masks == [detections.masks[row] for row in rows]
    assert some.classes == CLASSES


def test_a_mask_of_another_length_is_refused(detections):
    with pytest.raises(IndexError):
        detections[torch.tensor([True, False])]


def test_filter(detections):
    assert detections.filter(0.4).labels.tolist() == [0, 0, 2]
    assert detections.filter(classes=["dog"]).boxes.tolist() == [BOXES[2]]
    assert detections.filter(classes="dog").boxes.tolist() == [BOXES[2]]
    assert len(detections.filter(0.5, [0, "traffic light"])) == 2
    assert len(detections.filter(classes=[])) == 0
    with pytest.raises(ValueError, match="no class is called 'persn'; did you mean person"):
        detections.filter(classes=["persn"])
    with pytest.raises(ValueError, match="no class is called 7; there are person, traffic light, dog"):
        detections.filter(classes=[7])


def test_it_is_drawn_and_saved(detections, tmp_path):
    for name in ("drawn", "drawn.txt"):
        with pytest.raises(ValueError, match=r"names no format of images; give it a name that ends in \.png or \.jpg"):
            detections.save(tmp_path / "new" / name)
    path = detections[:1].save(tmp_path / "new" / "drawn.png")
    drawn = np.asarray(Image.open(path)).astype(int)
    before = PIXELS.permute(1, 2, 0).numpy().astype(int)
    assert drawn.shape == (80, 100, 3)
    assert (drawn[30:50, 12:38] != before[30:50, 12:38]).any(-1).mean() > 0.9
    assert (drawn[65:, 45:] == before[65:, 45:]).all()
    assert (detections.image == PIXELS).all()
    assert detections.draw(long_side=300).size == (300, 240)


def test_pixels_of_a_file_are_read_again(detections, tmp_path):
    Image.fromarray(PIXELS.permute(1, 2, 0).numpy()).save(tmp_path / "a.png")
    about = About(classes=CLASSES, category_ids=[1, 2, 3], size=(80, 100), path=tmp_path / "a.png")
    of_file = Detections.of(detections, about)
    assert (of_file.image == PIXELS).all()
    (tmp_path / "a.png").unlink()
    with pytest.raises(ValueError, match=r"a\.png: cannot be read"):
        of_file.draw()


def test_crops(detections):
    crops = detections.crop()
    assert [crop.size for crop in crops] == [(30, 40), (20, 21), (12, 12), (39, 19)]
    assert (np.asarray(crops[0]) == PIXELS[:, 20:60, 10:40].permute(1, 2, 0).numpy()).all()
    assert detections.crop(margin=0.5)[3].size == (100 - 40, 80 - 50)
    outside = Detections.of(
        Prediction(torch.tensor([[-9.0, 90, -5, 95]]), torch.ones(1), torch.zeros(1).long()), detections.about
    )
    assert outside.crop()[0].size == (1, 1)


def test_coco(detections):
    records = json.loads(json.dumps(detections.to_coco(7)))
    assert [record["category_id"] for record in records] == [1, 1, 18, 1]
    assert records[0]["bbox"] == [10, 20, 30, 40]
    assert records[0]["image_id"] == 7
    assert records[0]["segmentation"]["size"] == [80, 100]


def test_yolo(detections):
    lines = detections.to_yolo().splitlines()
    assert lines[0] == "0 0.250000 0.500000 0.300000 0.500000 0.9000"
    assert len(lines) == 4
    assert detections[:0].to_yolo() == ""


def test_geojson(detections):
    found = json.loads(json.dumps(detections.to_geojson()))
    assert found["type"] == "FeatureCollection"
    assert [f["properties"]["name"] for f in found["features"]] == ["person", "person", "dog", "person"]
    ring = np.array(found["features"][0]["geometry"]["coordinates"][0])
    assert found["features"][0]["geometry"]["type"] == "Polygon"
    assert (ring.min(0).tolist(), ring.max(0).tolist()) == ([10, 20], [40, 60])
    detections.masks = None
    ring = detections.to_geojson()["features"][1]["geometry"]["coordinates"][0]
    assert ring == [[50, 5], [70, 5], [70, 25.5], [50, 25.5], [50, 5]]


def test_pandas(detections):
    pandas = pytest.importorskip("pandas")
    table = detections.to_pandas()
    assert isinstance(table, pandas.DataFrame)
    assert list(table.columns) == ["x1", "y1", "x2", "y2", "score", "label", "name"]
    assert table[table.name == "dog"].x2.tolist() == [12]


def test_supervision(detections):
    pytest.importorskip("supervision")
    found = detections.to_supervision()
    assert len(found) == 4
    assert found.mask.sum(axis=(1, 2)).tolist() == [1200, 400, 144, 741]
    assert found["class_name"].tolist() == detections.names
    assert len(detections[:0].to_supervision()) == 0


def test_a_package_that_is_missing_is_named(detections, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(ValueError, match=r"to_pandas\(\) needs a package .*pip install pandas"):
        detections.to_pandas()


def test_pickled_and_moved_it_knows_its_image(detections):
    for same in (pickle.loads(pickle.dumps(detections)), detections.to("cpu")):
        assert isinstance(same, Detections)
        assert repr(same) == repr(detections)
        assert torch.equal(same.boxes, detections.boxes)
        assert (same.image == PIXELS).all()
