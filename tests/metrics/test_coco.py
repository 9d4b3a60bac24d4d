"""Our evaluation against pycocotools called directly, on COCO's own annotations."""

import contextlib
import copy
import io
import json
import math

import numpy as np
import pytest
from metrics.detections import perturbed_boxes, perturbed_masks
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from cvzoo.metrics.coco import evaluate_boxes, evaluate_coco
from cvzoo.metrics.predictions import FlatBoxes

NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


def pycocotools_stats(ground_truth, detections, iou_type):
    """What a user of pycocotools gets, through its own summary."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = copy.deepcopy(ground_truth)
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(copy.deepcopy(detections)), iou_type)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(NAMES, evaluation.stats))


def assert_equal(result, expected, kind):
    assert list(result.stats) == [f"{kind}_{name}" for name in NAMES]
    assert result.stats == {f"{kind}_{name}": pytest.approx(value, abs=1e-6) for name, value in expected.items()}


def test_boxes_equal_pycocotools(coco):
    detections = perturbed_boxes(coco)
    expected = pycocotools_stats(coco, detections, "bbox")
    assert 0.1 < expected["AP"] < 0.9
    for backend in ("hotcoco", "pycocotools"):
        assert_equal(evaluate_coco(coco, detections, backend=backend), expected, "box")


def flat(detections):
    columns = [[detection[name] for detection in detections] for name in ("image_id", "category_id", "bbox", "score")]
    kinds = (np.int64, np.int64, np.float64, np.float64)
    return FlatBoxes(*(np.array(column, kind) for column, kind in zip(columns, kinds)))


def test_boxes_in_arrays_are_scored_as_records_are(coco):
    """Also with ids that no float holds, and where annotations have no area and do not say what a crowd is."""
    detections = perturbed_boxes(coco)
    assert evaluate_boxes(coco, flat(detections)) == evaluate_coco(coco, detections)
    far = 2**62 + 1
    moved = copy.deepcopy(coco)
    for record in [*moved["images"], *moved["annotations"]]:
        record["id" if "height" in record else "image_id"] += far
    for annotation in moved["annotations"]:
        del annotation["area"]
    found = [{**detection, "image_id": detection["image_id"] + far} for detection in detections]
    bare = {**coco, "annotations": [{k: v for k, v in a.items() if k != "area"} for a in coco["annotations"]]}
    assert evaluate_boxes(moved, flat(found)) == evaluate_coco(bare, detections)


def test_wrong_arrays_are_refused_as_records_are(tiny):
    good = {"image_id": 1, "category_id": 3, "bbox": [10.0, 10.0, 20.0, 20.0], "score": 0.9}
    bad = [{**good, "image_id": 99}, {**good, "category_id": 98}, {**good, "score": math.nan}]
    message = r"1 image_ids .*: 99; 1 category_ids .*: 98; .* not finite in images 1$"
    for evaluate, detections in ((evaluate_boxes, flat([good, *bad])), (evaluate_coco, [good, *bad])):
        with pytest.raises(ValueError, match=message):
            evaluate(tiny, detections)


def test_masks_equal_pycocotools(coco, masks):
    without_boxes = [{k: v for k, v in detection.items() if k != "bbox"} for detection in masks]
    expected = pycocotools_stats(coco, without_boxes, "segm")
    assert 0.1 < expected["AP"] < 1
    for backend in ("hotcoco", "pycocotools"):
        assert_equal(evaluate_coco(coco, masks, "mask", backend), expected, "mask")


def test_masks_in_crowds_are_excused_as_pycocotools_does(coco):
    crowds = [annotation for annotation in coco["annotations"] if annotation["iscrowd"]]
    assert crowds
    images = {annotation["image_id"] for annotation in crowds}
    part = {**coco, "images": [image for image in coco["images"] if image["id"] in images]}
    part["annotations"] = [a for a in coco["annotations"] if a["image_id"] in images]
    masks = [{k: v for k, v in d.items() if k != "bbox"} for d in perturbed_masks(part)]
    masks += [
        {**d, "score": 0.99, "category_id": a["category_id"], "segmentation": _quarter(a["segmentation"])}
        for a in crowds
        for d in [{"image_id": a["image_id"]}]
    ]
    expected = pycocotools_stats(part, masks, "segm")
    for backend in ("hotcoco", "pycocotools"):
        assert_equal(evaluate_coco(part, masks, "mask", backend), expected, "mask")
    solid = {**part, "annotations": [{**a, "iscrowd": 0} for a in part["annotations"]]}
    assert evaluate_coco(solid, masks, "mask").stats["mask_AP"] != pytest.approx(expected["AP"], abs=1e-6)


def _quarter(code):
    """The part of a mask in the upper left of the image, or all where nothing is there."""
    height, width = code["size"]
    pixels = rle.decode(rle.frPyObjects(code, height, width))
    part = pixels.copy()
    part[height // 2 :] = part[:, width // 2 :] = 0
    return rle.encode(np.asfortranarray(part if part.any() else pixels))


def test_boxes_and_masks_join(coco, masks):
    found = [{**m, "bbox": list(map(float, rle.toBbox(m["segmentation"])))} for m in masks]
    both = evaluate_coco(coco, found) | evaluate_coco(coco, found, "mask")
    assert set(both.per_class) == set(both.precision_recall) == {"box", "mask"}
    assert len(both.stats) == 24
    json.dumps(both.to_json(), allow_nan=False)


def test_what_has_no_mask_to_compare_is_counted(tiny):
    found = [{"image_id": 1, "category_id": 3, "bbox": [10.0, 10.0, 20.0, 20.0], "score": 0.9}]
    with pytest.raises(ValueError, match=r"3 of 3 annotations have no segmentation .*1 of 1 detections have no segm"):
        evaluate_coco(tiny, found, "mask")
    masks = [{k: v for k, v in d.items() if k != "bbox"} for d in found]
    with pytest.raises(ValueError, match="1 of 1 detections have no bbox"):
        evaluate_coco(tiny, masks)


def test_mask_formats_agree(coco, masks):
    as_text = [
        {**d, "segmentation": {**d["segmentation"], "counts": d["segmentation"]["counts"].decode()}} for d in masks
    ]
    assert evaluate_coco(coco, masks, "mask") == evaluate_coco(coco, as_text, "mask")
    assert isinstance(masks[0]["segmentation"]["counts"], bytes)


def test_annotations_against_themselves_are_perfect(coco):
    fields = ("image_id", "category_id", "bbox", "segmentation")
    own = [{**{f: a[f] for f in fields}, "score": 1.0} for a in coco["annotations"] if not a["iscrowd"]]
    for kind in ("box", "mask"):
        result = evaluate_coco(coco, own, kind)
        assert result.stats[f"{kind}_AP"] == pytest.approx(1, abs=1e-3)
        assert set(result.per_class[kind]) == {category["name"] for category in coco["categories"]}


@pytest.mark.parametrize("seed", range(3))
def test_every_class_and_curve_agrees_between_back_ends(coco, seed):
    half = {**coco, "annotations": coco["annotations"][::2]}  # more images and classes without ground truth
    detections = perturbed_boxes(coco, copies=1, seed=seed)
    ours, theirs = (evaluate_coco(half, detections, backend=backend) for backend in ("hotcoco", "pycocotools"))
    assert ours.per_class["box"] == pytest.approx(theirs.per_class["box"], abs=1e-6)
    for name, curve in theirs.precision_recall["box"].items():
        assert ours.precision_recall["box"][name] == pytest.approx(curve, abs=1e-6)


@pytest.mark.parametrize("backend", ["hotcoco", "pycocotools"])
def test_no_detections_and_no_ground_truth(tiny, backend):
    nothing = evaluate_coco(tiny, [], backend=backend)
    assert nothing.stats["box_AP"] == 0
    assert nothing.stats["box_APl"] == -1  # nothing large to find
    assert nothing.per_class["box"] == {"cat": 0, "dog": 0, "emu": -1}
    empty = evaluate_coco({**tiny, "annotations": []}, [], backend=backend)
    assert set(empty.stats.values()) == {-1}
    json.dumps(empty.to_json(), allow_nan=False)


@pytest.mark.parametrize("backend", ["hotcoco", "pycocotools"])
def test_annotation_id_zero_counts_and_crowds_excuse(tiny, backend):
    found = {"image_id": 1, "category_id": 3, "bbox": [10.0, 10.0, 20.0, 20.0], "score": 0.9}
    in_crowd = {"image_id": 2, "category_id": 3, "bbox": [5.0, 5.0, 20.0, 20.0], "score": 0.95}
    result = evaluate_coco(tiny, [found, in_crowd], backend=backend)
    assert result.per_class["box"]["cat"] == pytest.approx(1)
    assert result.precision_recall["box"]["0.50"][0] == pytest.approx(0.5)  # cat 1, dog 0
    assert result.stats["box_AR1"] == pytest.approx(0.5)


def test_missing_area_and_crowd_flag_have_defaults(tiny):
    found = [{"image_id": 1, "category_id": 3, "bbox": [10.0, 10.0, 20.0, 20.0], "score": 0.9}]
    bare = [{k: v for k, v in a.items() if k not in ("area", "iscrowd")} for a in tiny["annotations"][:2]]
    full = {**tiny, "annotations": tiny["annotations"][:2]}
    assert evaluate_coco({**tiny, "annotations": bare}, found) == evaluate_coco(full, found)


@pytest.mark.parametrize("backend", ["hotcoco", "pycocotools"])
def test_inputs_stay_as_they_were(coco, backend):
    detections = perturbed_boxes(coco, copies=1)
    before = copy.deepcopy((coco, detections))
    evaluate_coco(coco, detections, backend=backend)
    assert (coco, detections) == before


def test_unusable_detections_are_all_named(tiny):
    good = {"image_id": 1, "category_id": 3, "bbox": [1.0, 1.0, 2.0, 2.0], "score": 0.5}
    bad = [{**good, "image_id": 99}, {**good, "category_id": 42}, {**good, "score": math.nan}]
    with pytest.raises(ValueError, match=r"image_ids.*: 99; .*category_ids.*: 42; .*not finite in images 1"):
        evaluate_coco(tiny, bad)
