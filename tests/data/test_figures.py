"""Drawn people: parts, U and V that are exact, told apart by colours, and annotated as COCO does it."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.transforms.functional import to_pil_image

from cvzoo.data.body_parts import COARSE_OF, MIRRORED, PARTS
from cvzoo.data.build import build_datasets
from cvzoo.data.coco import CocoDataset
from cvzoo.data.config import Data, Shapes, Split
from cvzoo.data.figures import POINTS
from cvzoo.data.shapes import ShapesDataset, draw, draw_for, paint
from cvzoo.data.surfaces import SIDE
from cvzoo.ops.boxes import pairwise_iou
from cvzoo.recipes.data_sets import FIGURES

BACK = {1, 7, 8, 11, 12, 17, 18, 21, 22}
FRONT = {2, 9, 10, 13, 14, 15, 16, 19, 20}


def painted(seed: int, size: int = 128) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image, parts and coordinates of one person."""
    painting = paint(size, size, 1, np.random.default_rng(seed), figures=True)
    assert painting.figures is not None
    return painting.image, painting.figures.part, painting.figures.uv


def test_every_part_is_drawn_and_seen_from_one_side() -> None:
    seen = [set(np.unique(painted(seed)[1]).tolist()) - {0} for seed in range(40)]
    assert set().union(*seen) == set(range(1, len(PARTS) + 1))
    for parts in seen:
        assert not parts & BACK or not parts & FRONT
        assert {COARSE_OF[part] for part in parts} >= {1, 14}


@pytest.mark.parametrize("seed", range(8))
def test_coordinates_vary_evenly_over_a_part(seed: int) -> None:
    """From a pixel to its neighbour of the same part they change by little, and over a torso they take all values."""
    _, part, uv = painted(seed, 160)
    assert ((uv >= 0) & (uv <= 1)).all()
    assert (uv[:, part == 0] == 0).all()
    for torso in {1, 2} & set(np.unique(part).tolist()):
        inside = part == torso
        same = inside[:, 1:] & inside[:, :-1]
        steps = np.abs(np.diff(uv, axis=2))[:, same]
        assert steps.max() < 0.15
        spread = uv[:, inside]
        assert (spread.max(1) > 0.8).all()
        assert (spread.min(1) < 0.2).all()


def test_left_and_right_can_be_told_by_colour() -> None:
    """The same part has nearly one colour everywhere, and its mirror image another."""
    means: dict[int, list[np.ndarray]] = {}
    for seed in range(30):
        image, parts, _ = painted(seed)
        for part in np.unique(parts)[1:].tolist():
            means.setdefault(part, []).append(image[:, parts == part].mean(1))
    typical = {part: np.mean(values, 0) for part, values in means.items()}
    for part, other in enumerate(MIRRORED):
        if part in typical and other != part:
            assert np.abs(typical[part] - typical[other]).max() > 25, part


@pytest.mark.parametrize("seed", range(6))
def test_points_have_the_parts_and_coordinates_of_their_pixels(seed: int) -> None:
    dataset = ShapesDataset(Shapes(figures=True, max_objects=3), "val", surfaces=True)
    painting, target = dataset.painting(seed), dataset[seed].target
    assert painting.figures is not None
    assert target.surfaces is not None
    assert target.labels.tolist() == [0] * len(target.boxes)
    for number, box, surface in zip(painting.shown(), target.boxes.tolist(), target.surfaces):
        assert surface is not None
        assert list(surface.frame) == box
        x1, y1, x2, y2 = surface.frame
        places = torch.tensor([x1, y1]) + surface.points_P2 / SIDE * torch.tensor([x2 - x1, y2 - y1])
        columns, rows = places.floor().long().numpy().T
        assert (painting.owner[rows, columns] == number).all()
        assert np.array_equal(painting.figures.part[rows, columns], surface.parts_P)
        assert np.array_equal(painting.figures.uv[:, rows, columns].T, surface.uv_P2)
        assert np.unique(surface.parts_P, return_counts=True)[1].max() <= POINTS
        assert surface.coarse is not None
        down, across = (surface.points_P2.long().clamp(max=SIDE - 1)).numpy().T[::-1]
        assert np.array_equal(surface.coarse[down, across], np.array(COARSE_OF)[surface.parts_P])


def test_about_a_hundred_points_a_person() -> None:
    dataset = ShapesDataset(Shapes(figures=True, max_objects=1), "val", surfaces=True)
    counts = [len(surface.parts_P) for i in range(20) for surface in dataset[i].target.surfaces or () if surface]
    assert 80 < np.mean(counts) <= 120


def test_a_image_is_the_same_again_with_and_without_surfaces() -> None:
    one, other = (ShapesDataset(Shapes(figures=True), "train", surfaces=surfaces) for surfaces in (True, False))
    for index in (0, 7):
        assert torch.equal(one[index].image, other[index].image)
        assert torch.equal(one[index].target.boxes, other[index].target.boxes)
        first, again = (sample.target.surfaces for sample in (one[index], one[index]))
        assert first is not None
        assert again is not None
        assert all(torch.equal(a.points_P2, b.points_P2) for a, b in zip(first, again) if a and b)
    assert other[0].target.surfaces is None
    assert one.classes == ["person"]
    assert one.select(np.array([3]))[0].target.surfaces


def test_they_are_written_and_read_as_coco_has_them(tmp_path: Path) -> None:
    dataset = ShapesDataset(Shapes(figures=True, val_images=3), "val", surfaces=True)
    (tmp_path / "val").mkdir()
    for index, image in enumerate(dataset.ground_truth["images"]):
        to_pil_image(dataset[index].image).save(tmp_path / "val" / image["file_name"])
    (tmp_path / "val.json").write_text(json.dumps(dataset.ground_truth))
    read = CocoDataset.open(tmp_path, Split(images="val", annotations="val.json"), surfaces=True)
    for index in range(3):
        one, other = read[index], dataset[index]
        assert torch.equal(one.image, other.image)
        for a, b in zip(one.target.surfaces or (), other.target.surfaces or (), strict=True):
            assert a is not None
            assert b is not None
            assert a.frame == b.frame
            for name in ("points_P2", "parts_P", "uv_P2", "coarse"):
                assert torch.equal(getattr(a, name), getattr(b, name))


def test_data_sets_of_a_recipe() -> None:
    train, val = build_datasets(replace(FIGURES, shapes=replace(FIGURES.shapes, train_images=4, val_images=2)))
    assert train.classes == val.classes == ["person"]
    assert all(len(train[i].target.surfaces or ()) == len(train[i].target) for i in range(4))
    assert draw_for(FIGURES, (60, 90), 2, 0).target.surfaces


def test_what_cannot_be_meant_is_refused() -> None:
    for fields, reason in (
        ({"surfaces": True, "charts": "flat"}, "geometric shapes have none; draw people with data.shapes.figures"),
        ({"surfaces": True, "shapes": Shapes(figures=True)}, "data.charts of drawn figures must be flat"),
        ({"shapes": Shapes(figures=True, label_maps=True)}, "leave out data.shapes.label-maps"),
    ):
        with pytest.raises(ValueError, match=reason):
            Data(source="shapes", **fields)


def test_drawing_takes_a_few_milliseconds() -> None:
    draw(128, 128, 1, 0, surfaces=True)
    start = time.process_time()
    for seed in range(20):
        draw(128, 128, 1, seed, surfaces=True)
    assert (time.process_time() - start) / 20 < 0.04  # 5 to 8 ms on a free core


def test_figures_keep_apart_as_far_as_they_can() -> None:
    """So that NMS with a threshold of a half loses few of them."""
    overlaps = []
    for seed in range(100):
        boxes = draw(128, 128, objects=2, seed=seed, figures=True).target.boxes
        overlaps.append(float(pairwise_iou(boxes, boxes).fill_diagonal_(0).max()))
    assert np.mean(np.array(overlaps) > 0.5) < 0.06
    assert np.mean(np.array(overlaps) > 0) > 0.3  # they do hide each other
