"""COCO's own annotations, and a data set small enough to reckon by hand."""

import json
import os
from pathlib import Path

import pytest
from metrics.detections import perturbed_masks

ROOT = Path(os.environ.get("CVZOO_DATA", Path(__file__).parents[3] / "shared" / "data")) / "coco" / "annotations"


@pytest.fixture(scope="session", params=["val", "train"])
def coco(request):
    path = ROOT / f"instances_{request.param}.json"
    if not path.exists():
        pytest.skip(f"{path} is absent; set CVZOO_DATA")
    return json.loads(path.read_text())


@pytest.fixture(scope="session")
def masks(coco):
    return perturbed_masks(coco)


@pytest.fixture
def tiny():
    """Two images, one crowd, a class without ground truth."""
    box = {"iscrowd": 0, "area": 400.0, "bbox": [10.0, 10.0, 20.0, 20.0]}
    return {
        "images": [{"id": 1, "width": 100, "height": 100}, {"id": 2, "width": 100, "height": 100}],
        "categories": [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}, {"id": 9, "name": "emu"}],
        "annotations": [
            {**box, "id": 0, "image_id": 1, "category_id": 3},
            {**box, "id": 1, "image_id": 2, "category_id": 7, "bbox": [50.0, 50.0, 40.0, 40.0], "area": 1600.0},
            {**box, "id": 2, "image_id": 2, "category_id": 3, "iscrowd": 1, "bbox": [0.0, 0.0, 90.0, 40.0]},
        ],
    }
