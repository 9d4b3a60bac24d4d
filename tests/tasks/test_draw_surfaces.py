"""Surfaces are drawn where they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tasks.people import CLASSES, answers, people

from cvzoo.data.body_parts import PARTS
from cvzoo.structures import Prediction, Surface, Target
from cvzoo.tasks.draw_boxes import ALPHA, colour_of
from cvzoo.tasks.draw_surfaces import LINES, checkerboard, draw_surfaces, draw_texture, read_atlas, seen_parts

GREY = np.full((200, 240, 3), 100, np.uint8)
SIDE = 100


def found(part: int, x: float = 60.4, y: float = 80.6, score: float = 0.9) -> Prediction:
    """A square of one part, U to the right and V down."""
    ramp = torch.arange(SIDE).mul(255).div(SIDE - 1).to(torch.uint8)
    square = (SIDE, SIDE)
    maps = [torch.full(square, part, dtype=torch.uint8), ramp.expand(square), ramp[:, None].expand(square)]
    boxes = torch.tensor([[x, y, x + SIDE + 0.2, y + SIDE + 0.3]])
    return Prediction(boxes, torch.tensor([score]), torch.tensor([0]), surfaces=[torch.stack(maps)])


def test_a_part_has_its_colour_in_its_box() -> None:
    drawn = np.asarray(draw_surfaces(GREY, found(7), CLASSES)).astype(int)
    inside = np.array(colour_of(6)) * ALPHA + 100 * (1 - ALPHA)
    assert abs(np.median(drawn[85:175, 65:155], (0, 1)) - inside).max() < 2
    assert (drawn[185:] == 100).all()
    assert (drawn[:, 165:] == 100).all()
    assert (GREY == 100).all()


def test_lines_of_u_are_white_and_of_v_black() -> None:
    brightness = np.asarray(draw_surfaces(GREY, found(7), CLASSES)).astype(int)[85:175, 65:155].sum(-1)
    plain = np.median(brightness)
    assert np.count_nonzero(np.median(brightness, 0) > plain + 60) == LINES - 1
    assert np.count_nonzero(np.median(brightness, 1) < plain - 60) == LINES - 1


@pytest.mark.parametrize("long_side", [None, 120, 720])
def test_they_scale_with_the_image(long_side: int | None) -> None:
    drawn = draw_surfaces(GREY, found(7), CLASSES, long_side=long_side)
    scale = (long_side or 240) / 240
    assert drawn.size == (round(240 * scale), round(200 * scale))
    row = np.asarray(drawn)[round(131 * scale)]
    columns = np.flatnonzero((row != 100).any(-1))
    assert columns[0] / scale == pytest.approx(60, abs=2 + 1 / scale)
    assert (columns[-1] + 1) / scale == pytest.approx(160, abs=2 + 1 / scale)


def test_only_detections_of_the_score_are_drawn_the_best_on_top() -> None:
    low, high = found(3, score=0.2), found(9, x=100.0)
    assert (np.asarray(draw_surfaces(GREY, low, CLASSES, min_score=0.5)) == 100).all()
    assert low.surfaces is not None
    assert high.surfaces is not None
    boxes, maps = torch.cat([high.boxes, low.boxes]), high.surfaces + low.surfaces
    both = Prediction(boxes, torch.tensor([0.9, 0.8]), torch.tensor([0, 0]), surfaces=maps)
    texture = np.stack([np.full((4, 4, 3), part, np.uint8) for part in range(24)])
    worn = np.asarray(draw_texture(GREY, both, texture))
    assert (worn[120, 130] == 8).all()
    assert (worn[120, 80] == 2).all()


@pytest.mark.parametrize(("x", "y"), [(-10.0, -8.0), (200.0, 150.0), (-200.0, 5.0), (500.0, 500.0)])
def test_what_sticks_out_is_cut(x: float, y: float) -> None:
    drawn = draw_surfaces(GREY, found(7, x, y), CLASSES)
    worn = draw_texture(GREY, found(7, x, y), checkerboard())
    assert drawn.size == worn.size == (240, 200)
    shown = (np.asarray(worn) != 100).any(-1).sum()
    wide, high = (max(min(start + SIDE, limit) - max(start, 0), 0) for start, limit in ((int(x), 240), (int(y), 200)))
    assert shown == wide * high


def test_a_texture_lies_with_u_to_the_right_and_v_up() -> None:
    atlas = np.zeros((24, 10, 10, 3), np.uint8)
    atlas[:, :, :, 0] = np.arange(10) * 20  # red grows to the right
    atlas[:, :, :, 1] = np.arange(10)[:, None] * 20  # green grows downwards
    worn = np.asarray(draw_texture(GREY, found(7), atlas))[80:180, 60:160]
    assert worn[0, 0].tolist() == [0, 180, 0]
    assert worn[-1, -1].tolist() == [180, 0, 0]
    assert worn[0, -1].tolist() == [180, 180, 0]


def test_an_atlas_has_parts_down_its_columns(tmp_path: Path) -> None:
    tiles = np.arange(24, dtype=np.uint8).reshape(4, 6).T.repeat(5, 0).repeat(5, 1)
    Image.fromarray(np.stack([tiles] * 3, -1)).save(tmp_path / "atlas.png")
    atlas = read_atlas(tmp_path / "atlas.png")
    assert atlas.shape == (24, 5, 5, 3)
    assert atlas[:, 2, 2, 0].tolist() == list(range(24))
    Image.fromarray(tiles[:-1]).save(tmp_path / "cut.png")
    with pytest.raises(ValueError, match="is 20 x 29 pixels; a texture has 4 x 6 square tiles"):
        read_atlas(tmp_path / "cut.png")


def test_a_checkerboard_differs_from_part_to_part() -> None:
    tiles = checkerboard()
    assert len(tiles) == len(PARTS)
    assert len(np.unique(tiles.reshape(24, -1), axis=0)) == 24


def test_annotations_are_drawn_where_they_lie() -> None:
    coarse = torch.zeros(256, 256, dtype=torch.uint8)
    coarse[:128] = 14
    surface = Surface(
        (10.0, 20.0, 50.0, 60.0), torch.tensor([[128.0, 192]]), torch.tensor([5]), torch.tensor([[0.5, 0.5]]), coarse
    )
    target = Target(torch.tensor([[10.0, 20, 50, 60], [60, 0, 70, 9]]), torch.tensor([0, 0]), surfaces=[surface, None])
    image = np.full((100, 100, 3), 100, np.uint8)
    drawn = np.asarray(draw_surfaces(image, target, CLASSES))
    assert drawn[50, 30].tolist() == list(colour_of(4))
    assert (drawn[44:47, 20:25] == 100).all()
    assert abs(drawn[35, 40].astype(int) - (np.array(colour_of(22)) * ALPHA + 100 * (1 - ALPHA))).max() < 3
    assert seen_parts(target) == {5}


def test_drawn_people() -> None:
    dataset = people(2)
    for index, prediction in enumerate(answers(dataset).values()):
        sample = dataset[index]
        for objects in (sample.target, prediction):
            assert draw_surfaces(sample.image, objects, CLASSES, long_side=200).size == (200, 200)
        assert seen_parts(prediction) >= seen_parts(sample.target)
