"""Thresholds and confusion, on cases that can be counted by hand."""

import numpy as np
import pytest
from metrics.test_error_kinds import detections, objects

from cvzoo.metrics import pairing as pairing_module
from cvzoo.metrics.operating import THRESHOLDS_T, confusion_of, operating
from cvzoo.metrics.pairing import Detections, paired


@pytest.fixture
def mixed():
    """Of 4 objects 3 are found, one by the other class; one detection of nothing lies between them."""
    truth = objects((0, 0, 0), (0, 1, 300), (1, 1, 0), (2, 0, 0))
    found = detections((0, 0, 0, 0.9), (1, 1, 5, 0.8), (1, 0, 400, 0.7), (0, 0, 300, 0.6), (2, 0, 10, 0.3))
    return paired(truth, found, 2)


def test_the_best_threshold_is_found(mixed):
    best = operating(mixed)
    # of the best 1, 2, 3, 4, 5 are right 1, 2, 2, 2, 3: F1 2/5, 4/6, 4/7, 4/8, 6/9; the first of the two best counts
    assert (best.threshold, best.precision, best.recall, best.f1) == pytest.approx((0.8, 1, 0.5, 4 / 6))
    precision, recall, f1 = best.curves_3T[:, THRESHOLDS_T == 0.75].ravel()
    assert (precision, recall, f1) == pytest.approx((1, 0.5, 4 / 6))
    assert np.isnan(best.curves_3T[0, -1])
    assert best.curves_3T[1:, -1].tolist() == [0, 0]


def test_single_classes_have_their_own(mixed):
    best = operating(mixed, 0)
    # hits 1, 0, 0, 1 of 2 objects: F1 2/3, 2/4, 2/5, 4/6
    assert (best.threshold, best.precision, best.recall, best.f1) == pytest.approx((0.9, 1, 0.5, 2 / 3))
    assert operating(mixed, 1).recall == 0.5


def test_detections_of_one_score_stay_together():
    best = operating(paired(objects((0, 0, 0)), detections((0, 0, 0, 0.5), (0, 0, 300, 0.5)), 1))
    assert (best.threshold, best.precision, best.f1) == pytest.approx((0.5, 0.5, 2 / 3))


def test_a_threshold_itself_counts(mixed):
    """Curves at t are of scores from t on."""
    assert operating(mixed).curves_3T[1, 80] == pytest.approx(0.5)
    assert operating(mixed).curves_3T[1, 81] == pytest.approx(0.25)


def test_confusion_counts_every_object_and_detection_once(mixed):
    assert confusion_of(mixed, 0.0).tolist() == [[2, 0, 0], [1, 1, 0], [1, 0, 0]]
    assert confusion_of(mixed, 0.65).tolist() == [[1, 0, 1], [0, 1, 1], [1, 0, 0]]


def test_own_class_goes_before_another():
    """A surer detection of another class does not take the object from the one of its class."""
    pairing = paired(objects((0, 0, 0)), detections((0, 1, 0, 0.9), (0, 0, 10, 0.5)), 2)
    assert confusion_of(pairing, 0.4).tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]
    assert confusion_of(pairing, 0.6).tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 0]]


def test_chunks_change_nothing(mixed, monkeypatch):
    monkeypatch.setattr(pairing_module, "CHUNK", 2)
    again = paired(mixed.objects, mixed.detections, 2)
    for ours, theirs in zip(again.pairs, mixed.pairs):
        assert np.array_equal(ours, theirs)


def test_detections_need_no_order(mixed):
    order = np.array([3, 0, 4, 2, 1])
    shuffled = paired(mixed.objects, Detections(*(part[order] for part in mixed.detections)), 2)
    assert np.array_equal(shuffled.object_of_D, mixed.object_of_D[order])
