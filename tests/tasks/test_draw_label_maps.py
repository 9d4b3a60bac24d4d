"""Label maps on images and as images."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from cvzoo.structures import IGNORE
from cvzoo.tasks.draw_boxes import colour_of
from cvzoo.tasks.draw_label_maps import ALPHA, draw_labels, label_image, occurring

CLASSES = ["road", "sky", "tree", "sign symbol"]
SIZE = (60, 100)


def quarters():
    """Class 0 on the left, 1 at the top right, IGNORE at the bottom right."""
    labels = torch.zeros(SIZE, dtype=torch.uint8)
    labels[:30, 50:] = 1
    labels[30:, 50:] = IGNORE
    return labels


def blended(label, grey=99):
    return grey * (1 - ALPHA) + np.array(colour_of(label)) * ALPHA


@pytest.mark.parametrize(
    "image",
    [
        Image.new("RGB", (100, 60), (99, 99, 99)),
        Image.new("L", (100, 60), 99),
        torch.full((3, *SIZE), 99, dtype=torch.uint8),
        np.full((*SIZE, 3), 99, np.uint8),
    ],
    ids=["RGB", "grey", "tensor", "array"],
)
def test_classes_shine_through_and_ignored_pixels_stay(image):
    before = np.asarray(image).copy()
    drawn = np.asarray(draw_labels(image, quarters(), CLASSES, legend=False)).astype(int)
    assert drawn.shape == (*SIZE, 3)
    for label, pixel in ((0, drawn[45, 20]), (1, drawn[10, 80])):
        assert np.abs(pixel - blended(label)).max() <= 1
    assert (drawn[30:, 50:] == 99).all()
    assert (np.asarray(image) == before).all()


def test_borders_have_the_full_colour():
    drawn = np.asarray(draw_labels(Image.new("RGB", (100, 60)), quarters(), CLASSES, legend=False))
    assert (drawn[:, 49] == colour_of(0)).all()
    assert (drawn[29, 50:] == colour_of(1)).all()
    assert not (drawn[5:25, 5:45] == colour_of(0)).all(-1).any()


def test_the_drawing_scales_and_keeps_classes_apart():
    drawn = draw_labels(Image.new("RGB", (100, 60), (99, 99, 99)), quarters(), CLASSES, 480, legend=False)
    assert drawn.size == (480, 288)
    colours = {tuple(colour) for colour in np.asarray(drawn).reshape(-1, 3).tolist()}
    assert len(colours) == 5  # two classes, their borders, and the image: nothing in between


def test_the_legend_names_the_classes_that_occur(monkeypatch):
    written = []
    monkeypatch.setattr(
        "cvzoo.tasks.draw_label_maps.write_plate", lambda _, text, *rest: written.append((text, rest[1]))
    )
    draw_labels(Image.new("RGB", (100, 60)), quarters(), CLASSES)
    assert written == [("road", colour_of(0)), ("sky", colour_of(1))]


def test_the_legend_stands_below_in_as_many_lines_as_it_needs():
    image, classes = Image.new("RGB", (480, 100)), [f"a long class name {label}" for label in range(20)]
    labels = torch.arange(20, dtype=torch.uint8).repeat_interleave(24).repeat(100, 1)
    drawn = draw_labels(image, labels, classes)
    strip = np.asarray(drawn)[100:]
    assert (np.asarray(drawn)[:100] == np.asarray(draw_labels(image, labels, classes, legend=False))).all()
    for label in range(20):  # each plate is there, whole and on its own
        rows, columns = np.nonzero((strip == colour_of(label)).all(-1))
        assert 12 <= np.ptp(rows) <= 24
        assert np.ptp(columns) > 90
    assert (strip[-1] == 255).all()


def test_a_name_wider_than_the_image_has_a_line_of_its_own():
    drawn = draw_labels(Image.new("RGB", (40, 60)), quarters()[:, 30:70], ["a very long name", "sky"])
    assert drawn.width == 40
    assert (np.asarray(drawn)[60:] == colour_of(1)).all(-1).any()


def test_without_a_class_the_image_is_left_alone():
    image = Image.new("RGB", (100, 60), (1, 2, 3))
    drawn = np.asarray(draw_labels(image, torch.full(SIZE, IGNORE, dtype=torch.uint8), CLASSES))
    assert (drawn[:60] == (1, 2, 3)).all()


def test_label_images_can_be_looked_at_and_read_again():
    labels = torch.arange(256, dtype=torch.uint8).reshape(16, 16)
    data = io.BytesIO()
    label_image(labels).save(data, "PNG")
    read = Image.open(data)
    assert read.mode == "P"
    assert np.array_equal(np.asarray(read), labels.numpy())
    colours = np.asarray(read.convert("RGB")).reshape(-1, 3)
    assert all(tuple(colours[label]) == colour_of(label) for label in range(IGNORE))
    assert tuple(colours[IGNORE]) == (0, 0, 0)


def test_parts_of_tensors_are_drawn_too():
    labels = quarters().repeat(2, 2)[::2, 50:150]  # not contiguous
    assert np.array_equal(np.asarray(label_image(labels)), labels.numpy())
    assert occurring(labels) == [0, 1]
