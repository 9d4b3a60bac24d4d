"""What users do with the label map of an image."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from cvzoo.ops.rle import decode
from cvzoo.tasks.about import About
from cvzoo.tasks.labelled_pixels import LabelledPixels

CLASSES = ["road", "sky", "car"]
LABELS = torch.zeros(40, 60, dtype=torch.uint8)
LABELS[:10] = 1
LABELS[20:30, 20:40] = 2
LABELS[-1] = 255
ABOUT = About(classes=CLASSES, category_ids=[7, 8, 9], size=(40, 60), pixels=torch.zeros(3, 40, 60, dtype=torch.uint8))
SEEN = LabelledPixels(LABELS, about=ABOUT)


def test_it_says_what_was_seen():
    assert repr(SEEN) == "<64% road, 25% sky, 8% car in 60 x 40>"
    assert SEEN.counts == {"road": 1540, "sky": 600, "car": 200}
    assert SEEN.size == (40, 60)


def test_masks_and_filter():
    assert SEEN.mask("car").sum() == 200
    assert SEEN.mask(["car", 1]).sum() == 800
    assert SEEN.filter("sky").labels.unique().tolist() == [1, 255]
    with pytest.raises(ValueError, match="did you mean road"):
        SEEN.mask("roads")


def test_indexed_and_gone_through_by_class():
    car = SEEN["car"]
    assert (car.name, car.label, car.pixels, car.share) == ("car", 2, 200, 200 / 2400)
    assert np.array_equal(car.mask, LABELS.numpy() == 2)
    assert [region.name for region in SEEN] == ["road", "sky", "car"]
    assert sum(region.pixels for region in SEEN) == 2400 - 60
    sky = SEEN.filter("sky")
    assert (len(SEEN), len(sky), [region.label for region in sky]) == (3, 1, [1])
    assert "sky" in sky
    assert "car" not in sky
    assert sky[2].pixels == 0
    assert not sky["car"].mask.any()
    with pytest.raises(ValueError, match="did you mean road"):
        SEEN["roads"]


def test_it_is_drawn_and_saved(tmp_path):
    drawn = np.asarray(Image.open(SEEN.save(tmp_path / "drawn.png")))
    assert drawn.shape[1] == 60
    assert drawn.shape[0] > 40  # the legend
    assert SEEN.draw(legend=False).size == (60, 40)
    assert not drawn[39].any()  # no class


def test_coco():
    records = json.loads(json.dumps(SEEN.to_coco(3)))
    assert [record["category_id"] for record in records] == [7, 8, 9]
    code = records[2]["segmentation"]
    assert (decode(code | {"counts": code["counts"].encode()}) == SEEN.mask("car")).all()


def test_geojson():
    road, sky, car = json.loads(json.dumps(SEEN.to_geojson()))["features"]
    assert len(road["geometry"]["coordinates"]) == 2  # the car is a hole
    assert car["properties"] == {"name": "car", "label": 2}
    assert np.max(sky["geometry"]["coordinates"][0], axis=0).tolist() == [60, 10]


def test_pandas():
    pytest.importorskip("pandas")
    table = SEEN.to_pandas()
    assert table.pixels.tolist() == [1540, 600, 200]
    assert table.label.tolist() == [0, 1, 2]
