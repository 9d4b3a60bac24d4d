import json

import numpy as np
import pytest
import torch
from pycocotools import mask as rle

from cvzoo.metrics.predictions import from_coco, read_surface, surface_json, to_coco
from cvzoo.ops.rle import encode
from cvzoo.structures import Prediction


def test_boxes_become_xywh_under_the_categories_ids():
    first = Prediction(torch.tensor([[1.0, 2.0, 11.0, 22.5]]), torch.tensor([0.5]), torch.tensor([1]))
    nothing = Prediction(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    third = Prediction(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([0.25]), torch.tensor([0]))
    records = to_coco([first, nothing, third], [5, 6, 7], [3, 90])
    assert records == [
        {"image_id": 5, "category_id": 90, "bbox": [1.0, 2.0, 10.0, 20.5], "score": 0.5},
        {"image_id": 7, "category_id": 3, "bbox": [0.0, 0.0, 1.0, 1.0], "score": 0.25},
    ]
    assert json.loads(json.dumps(records)) == records
    assert first.boxes.tolist() == [[1.0, 2.0, 11.0, 22.5]]


def test_masks_become_text():
    codes = [encode(np.eye(5)), encode(np.zeros((5, 5)))]
    boxes, labels = torch.tensor([[0.0, 0.0, 5.0, 5.0]]).repeat(2, 1), torch.tensor([0, 1])
    first = Prediction(boxes, torch.tensor([0.5, 0.25]), labels, codes)
    nothing = Prediction(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64), [])
    records = to_coco([nothing, first], [5, 6], [3, 90])
    assert [record["image_id"] for record in records] == [6, 6]
    assert json.loads(json.dumps(records)) == records
    assert [np.array_equal(rle.decode(r["segmentation"]), rle.decode(c)) for r, c in zip(records, codes)] == [True] * 2


def test_no_images_and_a_missing_id():
    assert to_coco([], [], [1]) == []
    with pytest.raises(ValueError, match="1 predictions for 0 image ids"):
        to_coco([Prediction(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))], [], [1])


def surfaces(*sizes):
    rng = torch.Generator().manual_seed(0)
    return [torch.randint(0, 256, (3, *size), generator=rng, dtype=torch.uint8) for size in sizes]


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (40, 3), (90, 70)])
def test_a_surface_survives_its_text(size):
    (surface,) = surfaces(size)
    fields = json.loads(json.dumps(surface_json(surface)))
    assert fields["uv_shape"] == [3, *size]
    assert torch.equal(read_surface(fields), surface)
    wrapped = {**fields, "uv_data": fields["uv_data"][:5] + "\n" + fields["uv_data"][5:]}  # as Python 2 wrote it
    assert torch.equal(read_surface(wrapped), surface)
    with pytest.raises(ValueError, match=r"uv_data holds an image of shape \[3, .*\], not \[3, 4, 4\]"):
        read_surface({**fields, "uv_shape": [3, 4, 4]})


def test_surfaces_are_in_the_results_and_come_back():
    boxes, labels = torch.tensor([[0.5, 0.25, 5.0, 4.5], [1.0, 1.0, 3.0, 3.0]]), torch.tensor([0, 1])
    first = Prediction(boxes, torch.tensor([0.5, 0.25]), labels, surfaces=surfaces((4, 4), (2, 2)))
    nothing = Prediction(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64), surfaces=[])
    records = json.loads(json.dumps(to_coco([nothing, first], [5, 6], [3, 90])))
    again = from_coco(records, [5, 6], [3, 90])
    assert again[5].surfaces == []
    assert torch.equal(again[6].boxes, boxes)
    assert all(torch.equal(a, b) for a, b in zip(again[6].surfaces, first.surfaces, strict=True))
    assert from_coco([], [5], [3])[5].surfaces is None
