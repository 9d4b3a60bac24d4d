import numpy as np
import pytest
import torch
from PIL import Image

from cvzoo.ops.rle import encode
from cvzoo.structures import Prediction, Target
from cvzoo.tasks.draw_boxes import ALPHA, colour_of, draw, instance_colours

CLASSES = ["cat", "dog"]
BOX = Target(torch.tensor([[20.0, 40.0, 80.0, 90.0]]), torch.tensor([1]))


def has_colour(shown, label):
    return (np.asarray(shown) == colour_of(label)).all(-1)


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


def test_boxes_scale_with_the_image():
    shown = draw(Image.new("RGB", (100, 120)), BOX, CLASSES, long_side=480)
    assert shown.size == (400, 480)
    assert has_colour(shown, 1)[240, 80]


def test_low_scores_stay_out_and_the_best_lies_on_top():
    same = torch.tensor([[20.0, 40.0, 80.0, 90.0]]).repeat(2, 1)
    prediction = Prediction(same, torch.tensor([0.9, 0.2]), torch.tensor([0, 1]))
    image = Image.new("RGB", (100, 120))
    assert not has_colour(draw(image, prediction, CLASSES, min_score=0.5), 1).any()
    assert has_colour(draw(image, prediction, CLASSES), 0)[90, 50]


def test_boxes_beyond_the_image_and_empty_ones_are_drawn_as_far_as_they_go():
    boxes = torch.tensor([[-50.0, -50.0, 900.0, 900.0], [30.0, 30.0, 30.0, 30.0], [200.0, 200.0, 210.0, 210.0]])
    shown = draw(Image.new("RGB", (100, 120)), Target(boxes, torch.tensor([0, 1, 0])), CLASSES)
    assert has_colour(shown, 0)[119, 50]


def test_eighty_classes_have_eighty_colours():
    assert len({colour_of(label) for label in range(80)}) == 80


def square(x, y, side=40):
    return [np.array([x, y, x + side, y, x + side, y + side, x, y + side], np.float64)]


def code(x, y, side=40):
    pixels = np.zeros((120, 100), np.uint8)
    pixels[y : y + side, x : x + side] = 1
    return encode(pixels)


@pytest.mark.parametrize("scale", [1, 3])
def test_masks_shine_through_and_have_a_contour(scale):
    boxes, labels = torch.tensor([[20.0, 40.0, 60.0, 80.0]]), torch.tensor([1])
    image = Image.new("RGB", (100, 120), (100, 100, 100))
    for objects in (
        Target(boxes, labels, [square(20, 40)]),
        Target(boxes, labels, [code(20, 40)]),
        Prediction(boxes, torch.tensor([0.9]), labels, [code(20, 40)]),
    ):
        shown = np.asarray(draw(image, objects, CLASSES, long_side=120 * scale)).astype(int)
        blended = 100 * (1 - ALPHA) + np.array(colour_of(1)) * ALPHA
        assert np.abs(shown[60 * scale, 40 * scale] - blended).max() <= 1
        assert shown[60 * scale, 80 * scale].tolist() == [100] * 3
        assert has_colour(shown, 1)[60 * scale, 20 * scale]
        assert has_colour(shown, 1)[80 * scale - 1, 40 * scale]


def test_small_masks_lie_on_large_ones_whatever_their_order():
    boxes = torch.tensor([[10.0, 30.0, 90.0, 110.0], [40.0, 60.0, 60.0, 80.0]])
    masks = [square(10, 30, 80), square(40, 60, 20)]
    for order in ([0, 1], [1, 0]):
        objects = Target(boxes[order], torch.tensor([0, 1])[order], [masks[i] for i in order])
        shown = np.asarray(draw(Image.new("RGB", (100, 120)), objects, CLASSES)).astype(int)
        assert np.abs(shown[70, 50] - np.array(colour_of(1)) * ALPHA).max() <= 1


def test_masks_of_low_scores_and_empty_ones_are_no_trouble():
    boxes, labels = torch.tensor([[20.0, 40.0, 60.0, 80.0]]).repeat(2, 1), torch.tensor([0, 1])
    image = Image.new("RGB", (100, 120))
    found = Prediction(boxes, torch.tensor([0.9, 0.2]), labels, [code(0, 0, 0), code(20, 40)])
    shown = np.asarray(draw(image, found, CLASSES, min_score=0.5))
    assert not shown[60, 40].any()
    nothing = Prediction(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64), [])
    assert not np.asarray(draw(image, nothing, CLASSES)).any()


def test_objects_of_a_class_have_colours_of_their_own_near_its_own():
    colours = instance_colours([3] * 12 + [5])
    assert colours[0] == colour_of(3)
    assert colours[-1] == colour_of(5)
    assert len(set(colours)) == 13
    neighbours = np.abs(np.diff(np.array(colours[:12]), axis=0)).max(1)
    assert neighbours.min() > 40


def test_colours_of_street_scenes_can_be_told_apart():
    colours = np.array([colour_of(label) for label in range(19)])
    apart = np.abs(colours[:, None] - colours[None]).sum(-1) + 1000 * np.eye(19, dtype=int)
    assert apart.min() > 60
