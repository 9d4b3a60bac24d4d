import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvzoo.tasks.placing import placed

IMAGE = (300, 200)


def overlaps(places, sizes):
    """Area that each pair of plates shares, of all pairs."""
    found = []
    for n, ((x, y), (w, h)) in enumerate(zip(places, sizes)):
        for (u, v), (a, b) in zip(places[:n], sizes[:n]):
            found.append(max(0, min(x + w, u + a) - max(x, u)) * max(0, min(y + h, v + b) - max(y, v)))
    return found


def test_a_plate_lies_on_its_box_or_within_it_at_the_top_of_the_image():
    assert placed([(50, 80, 90, 120)], [(60, 15)], IMAGE) == [(50, 65)]
    assert placed([(50, 8, 90, 120)], [(60, 15)], IMAGE) == [(50, 8)]
    assert placed([(280, 80, 299, 120)], [(60, 15)], IMAGE) == [(240, 65)]


def test_plates_of_boxes_on_each_other_lie_apart():
    boxes, sizes = [(50, 60, 150, 160)] * 6, [(60, 15)] * 6
    places = placed(boxes, sizes, IMAGE)
    assert places[0] == (50, 45)
    assert not any(overlaps(places, sizes))


@pytest.mark.parametrize("image", [(20, 10), (59, 14)])
def test_an_image_smaller_than_the_plate(image):
    assert placed([(3, 3, 9, 9)], [(60, 15)], image) == [(0, 0)]


@settings(max_examples=100)
@given(st.integers(0, 2**31), st.integers(0, 30))
def test_plates_stay_in_the_image_and_cover_less_than_on_top_of_their_boxes(seed, count):
    random = np.random.default_rng(seed)
    low = random.uniform(0, 1, (count, 2)) * IMAGE
    boxes = np.concatenate([low, low + random.uniform(0, 1, (count, 2)) * (np.array(IMAGE) - 1 - low)], 1).tolist()
    sizes = [(float(width), 15.0) for width in random.uniform(20, 80, count)]
    places = placed(boxes, sizes, IMAGE)
    for (x, y), (width, height) in zip(places, sizes):
        assert 0 <= x <= IMAGE[0] - width
        assert 0 <= y <= IMAGE[1] - height
    alone = [placed([box], [size], IMAGE)[0] for box, size in zip(boxes, sizes)]
    assert sum(overlaps(places, sizes)) <= sum(overlaps(alone, sizes))
