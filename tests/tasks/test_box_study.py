"""Marks over images: where they lie, what they say, and outlines of masks."""

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from report.runs import CLASSES, Images, filled, make_images, make_result

from cvzoo.metrics.coco import CocoResult
from cvzoo.metrics.error_kinds import costs
from cvzoo.metrics.predictions import from_coco, mask_of
from cvzoo.ops.masks import mask_json, to_bitmap, to_rle
from cvzoo.ops.rle import encode
from cvzoo.structures import Prediction, Target
from cvzoo.tasks import boxes
from cvzoo.tasks.box_study import MARKS, BoxStudy, outline


@given(st.integers(0, 150), st.integers(0, 60), st.integers(8, 49), st.integers(8, 39))
def test_an_outline_lies_around_its_mask(left, top, width, height):
    size = (100, 200)
    path = outline(filled((left, top, left + width, top + height)), size)
    numbers = np.array(re.findall(r"\d+", path), float).reshape(-1, 2)
    corners = [numbers.min(0) / 1000 * size[::-1], numbers.max(0) / 1000 * size[::-1]]
    np.testing.assert_allclose(corners, [(left, top), (left + width, top + height)], atol=1.5)
    assert path.count("M") == path.count("Z") == 1


def test_a_hole_is_a_path_of_its_own():
    bitmap = np.zeros((64, 64), np.uint8)
    bitmap[10:50, 10:50], bitmap[20:40, 20:40] = 1, 0
    assert outline(encode(bitmap), (64, 64)).count("M") == 2
    assert outline(to_rle([], (64, 64)), (64, 64)) == ""


def test_marks_say_where_what_and_how_sure(tmp_path):
    images = make_images(masks=True)
    result = make_result(tmp_path, images, trained=False)
    evaluation = result.evaluations["val"]
    study = BoxStudy(result.datasets["val"], evaluation.predictions, evaluation.figures.per_class)
    for position, (image, target, found) in enumerate(images):
        drawn = study.drawn(position)
        height, width = image.shape[1:]
        shares = target.boxes / torch.tensor([width, height]).repeat(2)
        for mark, (x1, y1, x2, y2), label in zip(drawn.truth.marks, shares.tolist(), target.labels, strict=True):
            assert mark.box == pytest.approx((x1, y1, x2 - x1, y2 - y1), abs=1e-6)
            assert mark.name == CLASSES[label]
            assert mark.outline.startswith("M")
        assert [mark.score for mark in drawn.found.marks] == pytest.approx(found.scores.tolist())
        assert Counter(mark.kind for mark in drawn.found.marks)["right"] == sum(m.score >= 0 for m in drawn.truth.marks)
        assert drawn.found.source == ""  # the same image
    assert study.mask_costs() == pytest.approx(costs(study.pairing, study.errors))  # masks fill boxes, all right
    narrow = {
        i: replace(found, masks=[to_rle(filled((x1, y1, x1 + (x2 - x1) / 3, y2)), size) for x1, y1, x2, y2 in boxes])
        for i, found in study.predictions.items()
        for boxes, size in [(found.boxes.tolist(), tuple(study.dataset.sizes[i].tolist()))]
    }
    cost = BoxStudy(study.dataset, narrow, study.ap).mask_costs()
    assert cost["localisation"] > 0.9
    assert cost["background"] == cost["classification"] == 0


def test_the_surest_detections_are_marked_wherever_they_lie():
    """Boxes that reach beyond the image are cut; scores need not fall."""
    count = MARKS + 10
    scores = torch.rand(count, generator=torch.Generator().manual_seed(0))
    found = Prediction(torch.tensor([[-50.0, 50.0, 50.0, 500.0]]).repeat(count, 1), scores, torch.zeros(count).long())
    dataset = Images([(torch.zeros(3, 100, 100, dtype=torch.uint8), Target.empty(), found)])
    marks = BoxStudy(dataset, {0: found}, {}).drawn(0).found.marks
    assert [mark.score for mark in marks] == pytest.approx(scores.sort(descending=True).values[:MARKS].tolist())
    assert {mark.box for mark in marks} == {(0.0, 0.5, 0.5, 0.5)}
    assert {mark.kind for mark in marks} == {"background"}


def test_masks_come_back_from_json():
    polygons = filled((1.0, 2.0, 30.0, 40.0))
    (again,) = mask_of({"segmentation": mask_json(polygons)})
    assert np.array_equal(again, polygons[0])
    code = to_rle(polygons, (50, 50))
    assert np.array_equal(to_bitmap(mask_of({"segmentation": mask_json(code)}), (50, 50)), to_bitmap(code, (50, 50)))
    assert mask_of({"bbox": [0, 0, 1, 1]}) is None


def test_predictions_of_other_data_are_refused(tmp_path):
    images = make_images()
    result = make_result(tmp_path, images, trained=False)
    figures = result.evaluations["val"].figures
    assert isinstance(figures, CocoResult)
    boxes.read(tmp_path, "val", Images(images), figures.to_json())
    with pytest.raises(ValueError, match=r"only one of them has the classes \['cat', 'ell"):
        boxes.read(tmp_path, "val", Images(images, [CLASSES[0], "cat", CLASSES[2]]), figures.to_json())
    with pytest.raises(ValueError, match="predictions of 2 images that the data do not have"):
        boxes.read(tmp_path, "val", Images(images[:2]), figures.to_json())
    assert from_coco([], [1], [0])[1].masks is None
