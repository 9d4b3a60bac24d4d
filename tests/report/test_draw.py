import numpy as np
import pytest
import torch
from PIL import Image

from cvzoo.report.draw import colour_of, draw
from cvzoo.structures import Prediction, Target

CLASSES = ["cat", "dog"]
BOX = Target(torch.tensor([[20.0, 40.0, 80.0, 90.0]]), torch.tensor([1]))


def has_colour(picture, label):
    return (np.asarray(picture) == colour_of(label)).all(-1)


@pytest.mark.parametrize(
    "image",
    [
        Image.new("RGB", (100, 120), "grey"),
        Image.new("L", (100, 120), 99),
        torch.full((3, 120, 100), 99, dtype=torch.uint8),
        np.full((120, 100, 3), 99, np.uint8),
    ],
    ids=["RGB", "grey", "tensor", "array"],
)
def test_the_box_stands_where_it_should(image):
    before = np.asarray(image).copy()
    drawn = has_colour(draw(image, BOX, CLASSES), 1)
    assert drawn.shape == (120, 100)
    assert drawn[60, 20]  # left edge
    assert drawn[90, 50]  # bottom edge
    assert not drawn[60, 50]  # inside
    assert drawn[:40].any()  # the plate above
    assert not drawn[95:].any()
    assert (np.asarray(image) == before).all()


def test_boxes_scale_with_the_picture():
    picture = draw(Image.new("RGB", (100, 120)), BOX, CLASSES, long_side=480)
    assert picture.size == (400, 480)
    assert has_colour(picture, 1)[240, 80]


def test_low_scores_stay_out_and_the_best_lies_on_top():
    same = torch.tensor([[20.0, 40.0, 80.0, 90.0]]).repeat(2, 1)
    prediction = Prediction(same, torch.tensor([0.9, 0.2]), torch.tensor([0, 1]))
    image = Image.new("RGB", (100, 120))
    assert not has_colour(draw(image, prediction, CLASSES, min_score=0.5), 1).any()
    assert has_colour(draw(image, prediction, CLASSES), 0)[90, 50]


def test_boxes_beyond_the_picture_and_empty_ones_are_drawn_as_far_as_they_go():
    boxes = torch.tensor([[-50.0, -50.0, 900.0, 900.0], [30.0, 30.0, 30.0, 30.0], [200.0, 200.0, 210.0, 210.0]])
    picture = draw(Image.new("RGB", (100, 120)), Target(boxes, torch.tensor([0, 1, 0])), CLASSES)
    assert has_colour(picture, 0)[119, 50]


def test_eighty_classes_have_eighty_colours():
    assert len({colour_of(label) for label in range(80)}) == 80
