"""Kinds of error and what they cost, on cases whose answer is known."""

import numpy as np
import pytest

from cvzoo.metrics.coco import evaluate_coco
from cvzoo.metrics.error_kinds import KINDS, Errors, average_precision, costs, errors_of, mean_ap
from cvzoo.metrics.operating import confusion_of, operating
from cvzoo.metrics.pairing import Detections, Objects, Pairing, near_masks, paired
from cvzoo.ops import rle

SIDE = 100.0


def objects(*rows):
    """From (image, label, x) or (image, label, x, crowd): squares of side 100."""
    images, labels, lefts = (np.array([row[k] for row in rows], int) for k in range(3))
    crowds = np.array([len(row) > 3 for row in rows], bool)
    return Objects(images, labels, squares(lefts), crowds, np.arange(len(rows)))


def detections(*rows):
    """From (image, label, x, score)."""
    images, labels, lefts, scores = (np.array([row[k] for row in rows], float) for k in range(4))
    return Detections(images.astype(int), labels.astype(int), squares(lefts), scores)


def squares(lefts):
    lefts = np.asarray(lefts, float)
    return np.stack([lefts, np.zeros_like(lefts), lefts + SIDE, np.full_like(lefts, SIDE)], 1).reshape(-1, 4)


def solved(truth, found, classes=2) -> tuple[Pairing, Errors, dict[str, float]]:
    pairing = paired(truth, found, classes)
    errors = errors_of(pairing)
    return pairing, errors, costs(pairing, errors)


def kinds(errors):
    return [KINDS[kind] if kind >= 0 else "none" for kind in errors.kinds_D]


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        ((0, 0, 10, 0.9), "none"),  # IoU 0.82
        ((0, 1, 10, 0.9), "classification"),
        ((0, 0, 50, 0.9), "localisation"),  # IoU 1/3
        ((0, 1, 50, 0.9), "both"),
        ((0, 0, 95, 0.9), "background"),  # IoU 0.026
        ((1, 0, 0, 0.9), "background"),  # another image
    ],
)
def test_one_detection_of_one_object(found, kind):
    _, errors, cost = solved(objects((0, 0, 0)), detections(found))
    assert kinds(errors) == [kind]
    missed = kind in ("both", "background")
    assert errors.missed_G.tolist() == [missed]
    # the AP of class 0 rises from 0 to 1 if what is wrong is put right, and stays else
    won = dict.fromkeys(KINDS, 0.0)
    if kind in ("classification", "localisation"):
        won[kind] = 1.0
    if kind == "both":  # one object that need not be found, and no detection of its class
        won["missed"] = 1.0
    assert cost == pytest.approx(won)


def bitmap(box, height):
    """The upper part of a box as a mask."""
    left, top, right, _ = box.astype(int)
    pixels = np.zeros((120, 1200), np.uint8)
    pixels[top : top + height, left:right] = 1
    return rle.encode(pixels)


def test_masks_are_compared_as_boxes_are():
    """Masks that fill their boxes make the same errors; one of half the height is badly placed, whatever its box."""
    truth = objects((1, 0, 0), (1, 1, 300), (0, 0, 600), (1, 0, 900, "crowd"))
    found = detections((1, 0, 10, 0.9), (0, 0, 600, 0.8), (1, 0, 300, 0.7), (1, 0, 950, 0.6), (0, 1, 0, 0.5))
    codes_G = [bitmap(box, 100) for box in truth.boxes_G4]
    truth = Objects(*(part[[2, 0, 1, 3]] for part in truth))  # images ascend
    codes_G = [codes_G[place] for place in (2, 0, 1, 3)]
    codes_D = [bitmap(box, 100) for box in found.boxes_D4]
    by_box, errors, cost = solved(truth, found)
    by_mask = paired(truth, found, 2, near_masks(truth, found, codes_G, codes_D))
    assert kinds(errors_of(by_mask)) == kinds(errors) == ["none", "none", "classification", "none", "background"]
    assert by_mask.object_of_D.tolist() == by_box.object_of_D.tolist()
    assert by_mask.ignored_D.tolist() == by_box.ignored_D.tolist() == [False, False, False, True, False]
    assert costs(by_mask, errors_of(by_mask)) == pytest.approx(cost)
    codes_D[0] = bitmap(found.boxes_D4[0], 45)
    half = paired(truth, found, 2, near_masks(truth, found, codes_G, codes_D))
    assert kinds(errors_of(half))[:2] == ["localisation", "none"]


def test_what_nothing_has_found_is_missed():
    _, errors, cost = solved(objects((0, 0, 0)), detections((0, 1, 500, 0.9)))
    assert errors.missed_G.tolist() == [True]
    assert cost == pytest.approx({name: float(name == "missed") for name in KINDS})


def test_a_duplicate_costs_precision():
    """Hits 1, 0, 1 of two objects: AP50 is (51 + 50 * 2/3) / 101; without the duplicate 1."""
    truth = objects((0, 0, 0), (0, 0, 300))
    _, errors, cost = solved(truth, detections((0, 0, 0, 0.9), (0, 0, 5, 0.8), (0, 0, 300, 0.7)), 1)
    assert kinds(errors) == ["none", "duplicate", "none"]
    before = (51 + 50 * 2 / 3) / 101
    assert cost == pytest.approx({name: 1 - before if name == "duplicate" else 0.0 for name in KINDS})


def test_background_above_a_hit_costs_precision():
    """Hits 0, 1: AP50 is 1/2; without the first detection 1."""
    _, _, cost = solved(objects((0, 0, 0)), detections((0, 0, 300, 0.9), (0, 0, 0, 0.8)), 1)
    assert cost == pytest.approx({name: 0.5 if name == "background" else 0.0 for name in KINDS})


def test_of_several_detections_that_could_be_mended_the_surest_is():
    """Two boxes near one object: mended, one is right and the other goes."""
    _, errors, cost = solved(objects((0, 0, 0)), detections((0, 0, 50, 0.9), (0, 0, -50, 0.8)), 1)
    assert kinds(errors) == ["localisation", "localisation"]
    assert cost["localisation"] == pytest.approx(1)


def test_what_is_found_already_cannot_be_won_again():
    """A wrong class on an object that is found: mended, it goes, and class 1 loses its false positive alone."""
    truth = objects((0, 0, 0), (1, 1, 0))
    _, errors, cost = solved(truth, detections((0, 0, 0, 0.9), (0, 1, 5, 0.8), (1, 1, 0, 0.7)))
    assert kinds(errors) == ["none", "classification", "none"]
    assert cost["classification"] == pytest.approx(0.25)  # class 1 rises from 1/2 to 1


def test_a_mended_class_counts_for_the_true_one():
    """Class 1's object is taken for class 0, beside a hit of class 0: class 1 rises from 0 to 1, class 0 stays at 1."""
    truth = objects((0, 0, 0), (1, 1, 0))
    _, errors, cost = solved(truth, detections((0, 0, 0, 0.9), (1, 0, 0, 0.8)))
    assert kinds(errors) == ["none", "classification"]
    assert not errors.missed_G.any()
    assert cost["classification"] == pytest.approx(0.5)


def test_what_lies_in_a_crowd_is_neither_right_nor_wrong():
    truth = objects((0, 0, 0), (0, 0, 300, True))
    pairing, errors, cost = solved(truth, detections((0, 0, 300, 0.9), (0, 0, 0, 0.8), (0, 1, 300, 0.7)))
    assert kinds(errors) == ["none", "none", "background"]
    assert pairing.ignored_D.tolist() == [True, False, False]
    assert not errors.missed_G.any()
    assert operating(pairing).recall == 1
    assert set(cost.values()) == {0.0}


def test_nothing_at_all():
    nobody, nothing = objects((0, 0, 0)), detections((0, 0, 0, 0.9))
    none_found = Detections(*(part[:0] for part in nothing))
    none_there = Objects(*(part[:0] for part in nobody))
    pairing, errors, cost = solved(nobody, none_found)
    assert errors.missed_G.tolist() == [True]
    assert cost["missed"] == 1
    assert confusion_of(pairing, 0.0)[0].tolist() == [0, 0, 1]
    pairing, errors, cost = solved(none_there, nothing)
    assert kinds(errors) == ["background"]
    assert set(cost.values()) == {0.0}
    assert operating(pairing).f1 == 0


def test_ap_is_that_of_coco():
    """On random boxes with crowds, equal scores and empty images, AP50 before anything is mended is hotcoco's."""
    rng = np.random.default_rng(0)
    count, classes = 40, 3
    truth_boxes = rng.uniform(0, 60, (3 * count, 2))
    truth_boxes = np.concatenate([truth_boxes, truth_boxes + rng.uniform(10, 40, (3 * count, 2))], 1)
    truth_images = np.sort(rng.integers(0, count, 3 * count))
    truth = Objects(
        truth_images,
        rng.integers(0, classes, 3 * count),
        truth_boxes,
        rng.random(3 * count) < 0.1,
        np.arange(3 * count),
    )
    source = rng.integers(0, 3 * count, 9 * count)
    boxes = truth_boxes[source] + rng.normal(0, 4, (9 * count, 4))
    labels = np.where(rng.random(9 * count) < 0.7, truth[1][source], rng.integers(0, classes, 9 * count))
    found = Detections(truth_images[source], labels, boxes, rng.permutation(9 * count) / (9 * count))
    pairing = paired(truth, found, classes)
    ours = average_precision(pairing, pairing.counted_D, pairing.right_D, found.labels_D)
    theirs = evaluate_coco(
        {
            "images": [{"id": i, "width": 100, "height": 100} for i in range(count)],
            "categories": [{"id": k, "name": str(k)} for k in range(classes)],
            "annotations": [
                {"image_id": int(i), "category_id": int(k), "bbox": xywh(box), "iscrowd": int(crowd), "area": 1}
                for i, k, box, crowd, _ in zip(*truth)
            ],
        },
        [
            {"image_id": int(i), "category_id": int(k), "bbox": xywh(box), "score": float(score)}
            for i, k, box, score in zip(*found)
        ],
    )
    assert mean_ap(ours) == pytest.approx(theirs.stats["box_AP50"], abs=1e-9)
    assert 0.2 < mean_ap(ours) < 0.9


def xywh(box):
    return [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()]
