"""Figures of label maps: against a plain NumPy histogram, by hand, and whole against in parts."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cvzoo.metrics.semantic import SemanticResult, confusion, evaluate_semantic, mean_iou
from cvzoo.structures import IGNORE


def label_maps(seed, shape, classes):
    """Predicted and true classes at random, a fifth of the truth ignored."""
    rng = np.random.default_rng(seed)
    labels, truth = rng.integers(0, classes, (2, *shape), dtype=np.uint8)
    truth[rng.random(shape) < 0.2] = IGNORE
    return torch.from_numpy(labels), torch.from_numpy(truth)


def maps(*rows):
    return torch.tensor(rows, dtype=torch.uint8)


def figures(labels, truth, classes):
    return evaluate_semantic(confusion(labels, truth, classes), [f"class {k}" for k in range(classes)])


def mmsegmentation(labels, truth, classes):
    """Its definitions of the figures, from one histogram for each area (areas_of_intersect, union, label)."""
    counted = truth != IGNORE
    labels, truth = labels[counted], truth[counted]
    bins = {"bins": classes, "range": (0, classes - 1)}
    overlap, predicted, true = (np.histogram(x, **bins)[0] for x in (labels[labels == truth], labels, truth))
    with np.errstate(invalid="ignore"):
        iou, accuracy = overlap / (predicted + true - overlap), overlap / true
    return iou, {"mIoU": np.nanmean(iou), "mAcc": np.nanmean(accuracy), "aAcc": overlap.sum() / true.sum()}


@pytest.mark.parametrize("classes", [2, 11, 150, 255])
def test_counts_are_those_of_a_dense_histogram(classes):
    labels, truth = label_maps(0, (60, 80), classes)
    counted = truth != IGNORE
    edges = np.arange(classes + 1)
    expected, _, _ = np.histogram2d(truth[counted].numpy(), labels[counted].numpy(), bins=(edges, edges))
    counts = confusion(labels, truth, classes)
    assert counts.dtype == torch.int64
    assert np.array_equal(counts.numpy(), expected)


@pytest.mark.parametrize("classes", [2, 11, 150])
def test_figures_are_mmsegmentations(classes):
    labels, truth = label_maps(1, (30, 40), classes)
    labels[truth == 0] = 0  # not all classes are equally hard
    iou, stats = mmsegmentation(labels.numpy(), truth.numpy(), classes)
    found = figures(labels, truth, classes)
    assert found.stats == pytest.approx(stats)
    assert list(found.per_class.values()) == pytest.approx(iou.tolist())


def test_by_hand():
    truth = maps([0, 0, 0, 1], [1, 1, 1, IGNORE])
    labels = maps([0, 0, 1, 1], [1, 0, 0, 1])
    found = figures(labels, truth, 2)
    assert found.confusion == [[2, 1], [2, 2]]
    assert found.per_class == {"class 0": pytest.approx(2 / 5), "class 1": pytest.approx(2 / 5)}
    assert found.stats == pytest.approx({"mIoU": 2 / 5, "mAcc": (2 / 3 + 1 / 2) / 2, "aAcc": 4 / 7})


def test_figures_are_of_the_sum_and_not_the_mean_of_images():
    right, wrong = confusion(maps([0]), maps([0]), 2), confusion(maps([1] * 9), maps([0] * 9), 2)
    found = evaluate_semantic(right + wrong, ["a", "b"])
    assert found.per_class == {"a": pytest.approx(0.1), "b": 0}


def test_classes_that_do_not_occur_count_in_no_mean():
    found = figures(maps([0, 0, 1, 3]), maps([0, 0, 1, 1]), 5)
    # 2 and 4 occur nowhere; 3 is predicted, but never true: its IoU is 0, and it has no accuracy.
    assert found.per_class == {f"class {k}": value for k, value in enumerate([1, 0.5, -1, 0, -1])}
    assert found.stats == pytest.approx({"mIoU": 1.5 / 3, "mAcc": 1.5 / 2, "aAcc": 3 / 4})


def test_without_a_labelled_pixel_nothing_is_known():
    found = figures(maps([0, 1]), maps([IGNORE, IGNORE]), 3)
    assert set(found.stats.values()) == set(found.per_class.values()) == {-1}
    assert list(found.stats) == ["mIoU", "mAcc", "aAcc"]


def test_json_and_back():
    found = figures(*label_maps(2, (5, 6), 4), 4)
    assert SemanticResult(**json.loads(json.dumps(found.to_json()))) == found


@given(
    sizes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=6),
    classes=st.integers(1, 8),
    parts=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_the_sum_over_parts_is_the_whole(sizes, classes, parts, seed):
    images = [label_maps(seed + n, size, classes) for n, size in enumerate(sizes)]
    whole = confusion(*(torch.cat([side.flatten() for side in sides]) for sides in zip(*images)), classes)
    nothing = torch.zeros(classes, classes, dtype=torch.int64)
    shares = [sum((confusion(*p, classes) for p in images[part::parts]), nothing) for part in range(parts)]
    assert torch.equal(sum(shares, nothing), whole)
    names = list(map(str, range(classes)))
    stats = evaluate_semantic(whole, names).stats
    assert evaluate_semantic(sum(shares, nothing), names).stats == stats
    assert all(value == -1 or 0 <= value <= 1 for value in stats.values())


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"the predicted label map is \(1, 3\), the true one \(1, 2\)"):
        confusion(maps([0, 1, 0]), maps([0, 1]), 2)
    with pytest.raises(ValueError, match=r"of 2 classes, the true pixels have also \[3\], the predicted ones \[\]"):
        confusion(maps([0, 1]), maps([0, 3]), 2)
    with pytest.raises(ValueError, match=r"the predicted ones \[2, 255\]"):
        confusion(maps([2, IGNORE]), maps([0, 1]), 2)
    with pytest.raises(ValueError, match="zip"):
        evaluate_semantic(torch.eye(3, dtype=torch.int64), ["a", "b"])


def test_of_ignored_pixels_the_prediction_does_not_matter():
    assert confusion(maps([7, 0]), maps([IGNORE, 0]), 1).tolist() == [[1]]


def test_the_miou_of_one_image_is_that_of_the_classes_in_it():
    labels, truth = label_maps(0, (9, 11), 3)  # of 5 classes
    counts = confusion(labels, truth, 5).flatten().numpy()
    places = np.flatnonzero(counts)
    found = mean_iou(places, counts[places], 5)
    assert found == pytest.approx(figures(labels, truth, 5).stats["mIoU"])
    assert mean_iou(places[:0], counts[:0], 5) == 1.0
