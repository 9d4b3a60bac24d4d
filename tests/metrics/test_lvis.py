"""The federated evaluation of LVIS, against pycocotools class by class on the images where the class was looked for."""

import contextlib
import copy
import io

import numpy as np
import pytest
from metrics.detections import perturbed_boxes, perturbed_masks
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from cvzoo.metrics.coco import evaluate_coco
from cvzoo.metrics.lvis import LIMIT, evaluate_lvis, is_federated

ANYWHERE = {"bbox": [-1e4, -1e4, 2e4, 2e4], "area": 4e8, "iscrowd": 1}


@pytest.fixture(scope="module")
def federated(coco):
    """COCO's annotations, each image with some classes that it lacks and some that are not exhaustive."""
    rng = np.random.default_rng(0)
    truth = copy.deepcopy(coco)
    truth["annotations"] = [a for a in truth["annotations"] if not a["iscrowd"]]
    ids = [category["id"] for category in truth["categories"]]
    for category in truth["categories"]:
        category["frequency"] = "rcf"[category["id"] % 3]
    for image in truth["images"]:
        present = {a["category_id"] for a in truth["annotations"] if a["image_id"] == image["id"]}
        absent = sorted(set(ids) - present)
        image["neg_category_ids"] = rng.choice(absent, 5, replace=False).tolist()
        image["not_exhaustive_category_ids"] = [i for i in sorted(present) if rng.random() < 0.3]
    return truth


def by_class(truth, detections):
    """AP of boxes of each class; what is not annotated in an image is a crowd that covers all of it."""
    kept = []
    for image in truth["images"]:
        own = [d for d in detections if d["image_id"] == image["id"]]
        kept += sorted(own, key=lambda d: -d["score"])[:LIMIT]
    found = {}
    for category in truth["categories"]:
        k = category["id"]
        annotations = [a for a in truth["annotations"] if a["category_id"] == k]
        looked = {a["image_id"] for a in annotations}
        looked |= {image["id"] for image in truth["images"] if k in image["neg_category_ids"]}
        images = [image for image in truth["images"] if image["id"] in looked]
        more = [
            {**ANYWHERE, "image_id": image["id"], "category_id": k, "id": 10**9 + image["id"]}
            for image in images
            if k in image["not_exhaustive_category_ids"]
        ]
        own = {"images": images, "annotations": annotations + more, "categories": [category], "info": {}}
        results = [d for d in kept if d["category_id"] == k and d["image_id"] in looked]
        found[category["name"]] = _ap(own, results) if annotations else -1
    return found


def _ap(truth, detections):
    if not detections:
        return 0.0
    with contextlib.redirect_stdout(io.StringIO()):
        data = COCO()
        data.dataset = copy.deepcopy(truth)
        data.createIndex()
        evaluation = COCOeval(data, data.loadRes(copy.deepcopy(detections)), "bbox")
        evaluation.params.maxDets = [LIMIT]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, 0, 0, 0]
    return float(precision[precision > -1].mean())


def test_classes_count_where_they_were_looked_for(federated):
    detections = perturbed_boxes(federated)
    found = evaluate_lvis(federated, detections)
    expected = by_class(federated, detections)
    assert found.per_class["box"] == pytest.approx(expected, abs=1e-6)
    known = {name: value for name, value in expected.items() if value > -1}
    assert found.stats["box_AP"] == pytest.approx(np.mean(list(known.values())), abs=1e-6)
    for letter, name in (("r", "APr"), ("c", "APc"), ("f", "APf")):
        members = [known[c["name"]] for c in federated["categories"] if c["frequency"] == letter and c["name"] in known]
        assert found.stats[f"box_{name}"] == pytest.approx(np.mean(members), abs=1e-6)
    assert found.stats["box_AP"] > evaluate_coco(federated, detections).stats["box_AP"] + 0.01


def test_masks_are_compared_too(federated):
    found = evaluate_lvis(federated, perturbed_masks(federated), "mask")
    assert list(found.stats) == [
        f"mask_{name}"
        for name in ("AP", "AP50", "AP75", "APs", "APm", "APl", "APr", "APc", "APf", "AR300", "ARs", "ARm", "ARl")
    ]
    assert found.stats["mask_AP"] > 0.05


def test_only_federated_data_say_what_they_lack(coco, federated):
    assert is_federated(federated)
    assert not is_federated(coco)
