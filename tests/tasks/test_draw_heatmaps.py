"""Heat and the detections made of it, drawn on an image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from cvzoo.parts.heatmap.heat import Heat, Point
from cvzoo.structures import Prediction
from cvzoo.tasks.draw_heatmaps import DOTS, LIGHT, SMALLEST, draw_heatmaps

SIZE = (400, 600)
NOTHING = Prediction(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
BOX = Prediction(torch.tensor([[100.0, 50.0, 300.0, 250.0]]), torch.tensor([0.9]), torch.tensor([0]))


def heat(point: Point, row: int, column: int, size: tuple[int, int] = SIZE, value: float = 0.8) -> Heat:
    """Nothing but a warm square of 20 pixels whose middle is there."""
    map_HW = torch.zeros(size)
    map_HW[row - 10 : row + 10, column - 10 : column + 10] = value
    return Heat(point, map_HW)


def drawn(heats: list[Heat], found: Prediction = NOTHING, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(H, W, 3) int, of a grey image and its legend."""
    image = Image.new("RGB", (size[1], size[0]), (100, 100, 100))
    return np.asarray(draw_heatmaps(image, heats, found, min_score=0.5)).astype(int)


def is_grey(pixel: np.ndarray) -> bool:
    return len(set(pixel.tolist())) == 1


def test_heat_lies_on_the_darkened_image() -> None:
    pixels = drawn([heat("centre", 150, 200)])
    assert pixels[:400].shape == (400, 600, 3)
    coloured = np.ptp(pixels[:400], axis=-1) > 0
    rows, columns = np.nonzero(coloured)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (140, 159, 190, 209)
    assert pixels[300, 300].tolist() == [round(100 * LIGHT)] * 3


def test_more_heat_is_brighter_and_a_little_can_be_seen() -> None:
    shades = [drawn([heat("centre", 150, 200, value=value)])[150, 200] for value in (0.0, 0.1, 0.4, 0.7, 1.0)]
    sums = [int(shade.sum()) for shade in shades]
    assert sums == sorted(set(sums))
    assert np.ptp(shades[1]) > 25


def test_two_kinds_of_points_have_two_colours() -> None:
    pixels = drawn([heat("top_left", 50, 100), heat("bottom_right", 250, 300)])
    blue, orange = pixels[50, 100], pixels[250, 300]
    assert blue[2] - blue[0] > 100
    assert orange[0] - orange[2] > 100


def test_one_point_is_drawn_in_its_box() -> None:
    pixels = drawn([heat("centre", 350, 500)], BOX)
    assert pixels[150, 200].tolist() == list(DOTS["centre"])
    for row, column in ((50, 200), (250, 200), (150, 100), (150, 300)):  # the four sides
        assert is_grey(pixels[row, column])
        assert pixels[row, column, 0] > 200
    assert pixels[100, 150].tolist() == [round(100 * LIGHT)] * 3  # on the diagonal


def test_two_points_are_joined_by_a_line() -> None:
    pixels = drawn([heat("top_left", 350, 500), heat("bottom_right", 350, 550)], BOX)
    assert pixels[50, 100].tolist() == list(DOTS["top_left"])
    assert pixels[250, 300].tolist() == list(DOTS["bottom_right"])
    for place in (30, 75, 100, 150, 180):
        assert is_grey(pixels[50 + place, 100 + place])
        assert pixels[50 + place, 100 + place, 0] > 200
    assert pixels[50, 200].tolist() == [round(100 * LIGHT)] * 3  # where the box would be


def test_low_scores_stay_out_and_the_surer_a_detection_the_brighter_its_box() -> None:
    boxes = torch.tensor([[100.0, 50, 300, 250], [320, 50, 400, 250], [420, 50, 500, 250]])
    found = Prediction(boxes, torch.tensor([0.9, 0.6, 0.4]), torch.tensor([0, 0, 0]))
    sure, less, none = (drawn([heat("centre", 350, 500)], found)[150, column, 0] for column in (100, 320, 420))
    assert sure > less > none == round(100 * LIGHT)


@pytest.mark.parametrize("size", [(60, 96), (96, 60), (240, 21)])
def test_small_images_are_enlarged_and_their_marks_with_them(size: tuple[int, int]) -> None:
    scale = SMALLEST / max(size)
    found = Prediction(torch.tensor([[2.0, 10, 10, 40]]), torch.tensor([0.9]), torch.tensor([0]))
    pixels = drawn([heat("centre", 45, 10, size)], found, size)
    height, width = (round(side * scale) for side in size)
    assert pixels.shape[0] > height
    assert pixels.shape[1] >= width
    assert pixels[round(25 * scale), round(6 * scale)].tolist() == list(DOTS["centre"])
    assert pixels[round(25 * scale), round(2 * scale), 0] > 200
    assert np.ptp(pixels[round(45 * scale), round(10 * scale)]) > 100


def test_the_legend_has_a_line_for_each_kind() -> None:
    one, two = drawn([heat("centre", 9, 9)]), drawn([heat("top_left", 9, 9), heat("bottom_right", 9, 9)])
    assert two.shape[0] - 400 == 2 * (one.shape[0] - 400) > 0
    line = (two.shape[0] - 400) // 2
    blue, orange = two[400 + line // 2, 400], two[400 + line + line // 2, 400]
    assert blue[2] > blue[0]
    assert orange[0] > orange[2]
