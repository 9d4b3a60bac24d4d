import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cvzoo.ops.rle import decode, encode
from cvzoo.ops.tiles import joined_boxes, joined_labels, tiles_of
from cvzoo.structures import Prediction, Segmentation

SIZE = (60, 100)
TILES = tiles_of(SIZE, (60, 60), 0.25)


def found(*boxes, masks=None):
    """Detections of class 0, or of the class after the score."""
    return Prediction(
        torch.tensor([list(box[:4]) for box in boxes], dtype=torch.float32).reshape(-1, 4),
        torch.tensor([float(box[4]) for box in boxes]),
        torch.tensor([int(box[5]) if len(box) > 5 else 0 for box in boxes], dtype=torch.int64),
        masks,
    )


@settings(max_examples=100)
@given(st.tuples(st.integers(1, 300), st.integers(1, 300)), st.integers(1, 320), st.integers(1, 320), st.floats(0, 0.9))
def test_tiles_cover_the_image_and_every_pixel_belongs_to_one(size, height, width, overlap):
    if size[0] * size[1] > 200 * height * width * (1 - overlap) ** 2:
        return
    covered, owned = np.zeros(size, int), np.zeros(size, int)
    for tile in tiles_of(size, (height, width), overlap):
        covered[tile.rows, tile.columns] += 1
        owned[tile.own_rows, tile.own_columns] += 1
        assert tile.rows.start <= tile.own_rows.start <= tile.own_rows.stop <= tile.rows.stop
        assert tile.columns.start <= tile.own_columns.start <= tile.own_columns.stop <= tile.columns.stop
        assert tile.rows.stop - tile.rows.start == min(height, size[0])
        assert tile.columns.stop - tile.columns.start == min(width, size[1])
    assert (covered >= 1).all()
    assert (owned == 1).all()


def test_neighbours_overlap_by_the_share_asked_for():
    assert [(tile.columns.start, tile.columns.stop) for tile in TILES] == [(0, 60), (40, 100)]
    starts = [tile.columns.start for tile in tiles_of((10, 100), (10, 40), 0.5)]
    assert starts == [0, 20, 40, 60]


def test_an_object_seen_by_two_tiles_is_one():
    joined = joined_boxes([found((42, 10, 55, 30, 0.9)), found((2, 10, 15, 30, 0.8))], TILES, SIZE, 0.5)
    assert joined.boxes.tolist() == [[42, 10, 55, 30]]
    other = joined_boxes([found((42, 10, 55, 30, 0.9)), found((2, 10, 15, 30, 0.8, 1))], TILES, SIZE, 0.5)
    assert other.labels.tolist() == [0, 1]


def test_a_part_cut_off_goes_however_sure_it_is():
    whole = found((2, 10, 55, 30, 0.5))  # at 42..95
    part = found((42, 10, 60, 30, 0.99))
    assert joined_boxes([part, whole], TILES, SIZE, 0.5).boxes.tolist() == [[42, 10, 95, 30]]


def test_what_no_border_cuts_stays_within_a_larger_box_of_another_tile():
    small, large = found((44, 12, 54, 20, 0.9)), found((2, 10, 58, 58, 0.5))
    assert len(joined_boxes([small, large], TILES, SIZE, 0.5)) == 2


def test_masks_lie_where_their_tile_does():
    bitmap = np.zeros((60, 60), np.uint8)
    bitmap[10:30, 30:50] = 1
    first, second = found(masks=[]), found((30, 10, 50, 30, 0.7), masks=[encode(bitmap)])
    (mask,) = joined_boxes([first, second], TILES, SIZE, 0.5).masks or ()
    expected = np.zeros(SIZE, np.uint8)
    expected[10:30, 70:90] = 1
    assert (decode(mask) == expected).all()


@pytest.mark.parametrize("count", [0, 3])
def test_nothing_found_and_more_than_a_chunk(count, monkeypatch):
    monkeypatch.setattr("cvzoo.ops.tiles.CHUNK", 2)
    parts = [(50, 10 * n, 60, 10 * n + 8, 0.9) for n in range(count)]
    wholes = [(10, 10 * n, 30, 10 * n + 8, 0.5) for n in range(count)]
    joined = joined_boxes([found(*parts), found(*wholes)], TILES, SIZE, 0.5)
    assert joined.boxes[:, 2].tolist() == [70] * count


def test_label_maps_meet_in_the_middle_of_what_tiles_share():
    seen = [Segmentation(torch.full((60, 60), n, dtype=torch.uint8)) for n in range(2)]
    labels = joined_labels(seen, TILES, SIZE).labels
    assert labels[0].tolist() == [0] * 50 + [1] * 50
    assert (labels == labels[0]).all()
