"""Boxes and masks from several views of an image: test-time augmentation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from engine.tiny import tiny

from cvzoo.data.build import build_dataset
from cvzoo.data.shapes import draw
from cvzoo.data.transforms import resize
from cvzoo.engine.evaluate import evaluate
from cvzoo.nn.model import Model
from cvzoo.ops.boxes import flip_boxes, scale_boxes
from cvzoo.ops.masks import paste_masks, to_bitmap
from cvzoo.recipes import Recipe
from cvzoo.structures import Batch, Prediction, Size, View
from cvzoo.tasks import boxes

pytestmark = pytest.mark.usefixtures("inside")
CPU = torch.device("cpu")
ROWS = ("faster_rcnn_r18_fpn_shapes", "mask_rcnn_r18_fpn_shapes", "cascade_mask_rcnn_r18_fpn_shapes")


def recipe_of(row: str) -> Recipe[Any]:
    low = {"model__box_head__detect__score_threshold": 0.01, "model__box_head__detect__detections": 10}
    return tiny(Path("runs"), row, **low)


def model_of(row: str) -> Any:
    torch.manual_seed(0)
    return recipe_of(row).model.build().eval()


def view(size: Size) -> View:
    """An image of 96 x 128 pixels seen at `size`."""
    sample = draw(96, 128, objects=4, seed=3)
    seen = resize(sample, size)
    return View(Batch.collate([replace(seen, original_size=(96, 128))]), flipped=False)


@pytest.mark.parametrize("row", ROWS)
def test_one_view_is_a_prediction(row: str) -> None:
    model = model_of(row)
    one = view((64, 96))
    (expected,) = model.predict(one.batch)
    found = boxes.predict_views(model, [one], recipe_of(row))
    assert len(found) == len(expected) > 3
    torch.testing.assert_close(found.scores, expected.scores)
    torch.testing.assert_close(found.boxes, expected.boxes, atol=1e-3, rtol=1e-4)
    if expected.masks is not None:
        assert found.masks is not None
        pairs = [(to_bitmap(a, (96, 128)), to_bitmap(b, (96, 128))) for a, b in zip(found.masks, expected.masks)]
        assert np.mean([a != b for a, b in pairs]) < 1e-3


@pytest.mark.parametrize("row", ROWS)
def test_with_its_mirror_image_the_mirrored_image_gives_the_mirrored_result(row: str) -> None:
    model = model_of(row)
    views = [view((64, 96)), view((96, 128))]
    views += [v.mirrored() for v in views]
    mirrored = [View(v.batch, not v.flipped) for v in views]  # the same images, taken for those of the mirrored one
    found, other = (boxes.predict_views(model, seen, recipe_of(row)) for seen in (views, mirrored))
    assert len(found) == len(other) > 3
    torch.testing.assert_close(found.scores, other.scores)
    torch.testing.assert_close(found.boxes, flip_boxes(other.boxes, 128), atol=1e-3, rtol=1e-4)
    if found.masks is not None:
        assert other.masks is not None
        pairs = [(to_bitmap(a, (96, 128)), to_bitmap(b, (96, 128))[:, ::-1]) for a, b in zip(found.masks, other.masks)]
        assert np.mean([a != b for a, b in pairs]) < 1e-3


def test_masks_of_two_views_are_averaged() -> None:
    row = "mask_rcnn_r18_fpn_shapes"
    model = model_of(row)
    views = [view((64, 96)), view((64, 96)).mirrored()]
    found = boxes.predict_views(model, views, recipe_of(row))
    of_views = []
    for v in views:
        boxes_D4 = scale_boxes(found.boxes, (96, 128), (64, 96))
        boxes_D4 = flip_boxes(boxes_D4, 96) if v.flipped else boxes_D4
        (mask,) = model.masks(model.detections(v.batch)[1], [Prediction(boxes_D4, found.scores, found.labels)])
        of_views.append(mask.flip(-1) if v.flipped else mask)
    assert (of_views[0] - of_views[1]).abs().max() > 1e-4, "the views agree, so that an average says nothing"
    assert found.masks == paste_masks(torch.stack(of_views).mean(dim=0), found.boxes, (96, 128))


@pytest.mark.parametrize("row", ROWS[:2])
def test_evaluation_at_several_scales_and_flipped(tmp_path: Path, row: str) -> None:
    more = {"data__test_scales": (48, 64), "data__test_flip": True}
    recipe = tiny(tmp_path, row, **more, data__masks="mask" in row)
    evaluation = evaluate(recipe.model.build(), build_dataset(recipe.data, "val"), recipe, CPU, tmp_path)
    assert isinstance(evaluation, boxes.BoxEvaluation)
    assert len(evaluation.predictions) == 4
    assert ("mask_AP" in evaluation.figures.stats) == ("mask" in row)


class Blind(Model):
    """Cannot merge views."""

    raw = forward = predict = lambda self, batch: None


def test_other_systems_say_that_they_cannot(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Blind cannot merge several views of an image; leave out --data\."):
        boxes.check_model(Blind(), tiny(tmp_path, data__test_flip=True))
    boxes.check_model(Blind(), tiny(tmp_path))


def test_the_views_of_a_dense_detector_compete(tmp_path: Path) -> None:
    """One view is the prediction; a mirrored image and its mirror image are answered alike, up to left and right."""
    recipe = tiny(tmp_path)
    torch.manual_seed(0)
    model = recipe.model.build().eval()
    batch = Batch.collate([draw(64, 64, objects=4, seed=1)], None)
    batch.original_sizes = [(64, 64)]
    plain = View(batch, flipped=False)
    (alone,) = model.predict(batch)
    same = model.predict_views([plain])
    for name in ("boxes", "scores", "labels"):
        torch.testing.assert_close(getattr(same, name), getattr(alone, name))
    both = model.predict_views([plain, plain.mirrored()])
    turned = replace(batch, images=batch.images.flip(-1))
    mirrored = model.predict_views([View(turned, flipped=False), View(batch, flipped=True)])
    torch.testing.assert_close(mirrored.scores, both.scores)
    torch.testing.assert_close(flip_boxes(mirrored.boxes, 64), both.boxes)
