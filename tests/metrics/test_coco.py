"""Our evaluation against pycocotools called directly, on COCO's own annotations."""

import contextlib
import copy
import io
import json
import math

import pytest
from metrics.detections import perturbed_boxes
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from cvzoo.metrics.coco import evaluate_coco

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


def test_masks_equal_pycocotools(coco, masks):
    without_boxes = [{k: v for k, v in detection.items() if k != "bbox"} for detection in masks]
    expected = pycocotools_stats(coco, without_boxes, "segm")
    assert 0.1 < expected["AP"] < 1
    for backend in ("hotcoco", "pycocotools"):
        assert_equal(evaluate_coco(coco, masks, "mask", backend), expected, "mask")


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
        assert set(result.per_class) == {category["name"] for category in coco["categories"]}


@pytest.mark.parametrize("seed", range(3))
def test_every_class_and_curve_agrees_between_back_ends(coco, seed):
    half = {**coco, "annotations": coco["annotations"][::2]}  # more images and classes without ground truth
    detections = perturbed_boxes(coco, copies=1, seed=seed)
    ours, theirs = (evaluate_coco(half, detections, backend=backend) for backend in ("hotcoco", "pycocotools"))
    assert ours.per_class == pytest.approx(theirs.per_class, abs=1e-6)
    for name, curve in theirs.precision_recall.items():
        assert ours.precision_recall[name] == pytest.approx(curve, abs=1e-6)


@pytest.mark.parametrize("backend", ["hotcoco", "pycocotools"])
def test_no_detections_and_no_ground_truth(tiny, backend):
    nothing = evaluate_coco(tiny, [], backend=backend)
    assert nothing.stats["box_AP"] == 0
    assert nothing.stats["box_APl"] == -1  # nothing large to find
    assert nothing.per_class == {"cat": 0, "dog": 0, "emu": -1}
    empty = evaluate_coco({**tiny, "annotations": []}, [], backend=backend)
    assert set(empty.stats.values()) == {-1}
    json.dumps(empty.to_json(), allow_nan=False)


@pytest.mark.parametrize("backend", ["hotcoco", "pycocotools"])
def test_annotation_id_zero_counts_and_crowds_excuse(tiny, backend):
    found = {"image_id": 1, "category_id": 3, "bbox": [10.0, 10.0, 20.0, 20.0], "score": 0.9}
    in_crowd = {"image_id": 2, "category_id": 3, "bbox": [5.0, 5.0, 20.0, 20.0], "score": 0.95}
    result = evaluate_coco(tiny, [found, in_crowd], backend=backend)
    assert result.per_class["cat"] == pytest.approx(1)
    assert result.precision_recall["0.50"][0] == pytest.approx(0.5)  # cat 1, dog 0
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
