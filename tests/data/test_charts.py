"""Surfaces move with their image: what is annotated stays where it is drawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from data.body import write_body
from hypothesis import given, settings
from hypothesis import strategies as st

from cvzoo.data.body_parts import COARSE_OF, MIRRORED
from cvzoo.data.charts import FlatCharts, TableCharts, charts_of
from cvzoo.data.config import Data
from cvzoo.data.loader import training_batches
from cvzoo.data.shapes import ShapesDataset, draw, paint
from cvzoo.data.surfaces import SIDE
from cvzoo.data.transforms import crop, flip, placed, resize, train_augment, train_resize
from cvzoo.recipes.data_sets import FIGURES
from cvzoo.structures import Sample, Surface

SIDES = st.integers(60, 140)


@st.composite
def people(draw_from: st.DrawFn) -> Sample:
    height, width, count, seed = (draw_from(one) for one in (SIDES, SIDES, st.integers(1, 3), st.integers(0, 10_000)))
    return draw(height, width, count, seed, surfaces=True)


PEOPLE = people()
FLAT = FlatCharts()


def surfaces(sample: Sample) -> list[Surface]:
    found = [surface for surface in sample.target.surfaces or () if surface is not None]
    assert len(found) == len(sample.target)
    return found


def places(surface: Surface) -> torch.Tensor:
    """(P, 2): the points in pixels of the image."""
    x1, y1, x2, y2 = surface.frame
    return torch.tensor([x1, y1]) + surface.points_P2 / SIDE * torch.tensor([x2 - x1, y2 - y1])


@settings(max_examples=20)
@given(PEOPLE)
def test_flipped_twice_is_as_before(sample: Sample) -> None:
    for before, after in zip(surfaces(sample), surfaces(flip(flip(sample, FLAT), FLAT))):
        assert after.frame == before.frame
        torch.testing.assert_close(after.points_P2, before.points_P2)
        torch.testing.assert_close(after.uv_P2, before.uv_P2)
        assert torch.equal(after.parts_P, before.parts_P)
        assert after.coarse is not None
        assert before.coarse is not None
        assert torch.equal(after.coarse, before.coarse)


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_a_flipped_annotation_is_that_of_the_flipped_body(seed: int) -> None:
    """The mirror image of a drawn body, read at the flipped points, has their parts and coordinates."""
    size = (100, 120)
    painting = paint(*size, count=1, rng=np.random.default_rng(seed), figures=True)
    assert painting.figures is not None
    sample = flip(draw(*size, 1, seed, surfaces=True), FLAT)
    mirrored = np.array(MIRRORED)[painting.figures.part[:, ::-1]]
    for surface in surfaces(sample):
        columns, rows = places(surface).floor().long().T
        assert torch.equal(surface.parts_P, torch.from_numpy(mirrored)[rows, columns])
        u, v = torch.from_numpy(painting.figures.uv[:, :, ::-1].copy())[:, rows, columns]
        torso = surface.parts_P <= 2
        torch.testing.assert_close(surface.uv_P2, torch.stack([u, torch.where(torso, 1 - v, v)], 1))
        assert surface.coarse is not None
        x1, y1, x2, y2 = (int(edge) for edge in surface.frame)
        inside = mirrored[y1:y2, x1:x2]
        down, across = (((torch.arange(SIDE) + 0.5) * side / SIDE).long() for side in inside.shape)
        expected = torch.tensor(COARSE_OF, dtype=torch.uint8)[inside][down[:, None], across]
        assert (surface.coarse == expected).float().mean() > 0.98  # rounding at the edges of pixels


@settings(max_examples=20)
@given(PEOPLE, st.integers(40, 200), st.integers(40, 200))
def test_points_are_scaled_with_the_image(sample: Sample, height: int, width: int) -> None:
    factors = torch.tensor([width / sample.size[1], height / sample.size[0]])
    for before, after in zip(surfaces(sample), surfaces(resize(sample, (height, width)))):
        torch.testing.assert_close(places(after), places(before) * factors, rtol=1e-4, atol=1e-3)
        assert torch.equal(after.uv_P2, before.uv_P2)


@settings(max_examples=20)
@given(PEOPLE, st.integers(0, 30), st.integers(0, 30))
def test_frames_are_moved_but_never_cut(sample: Sample, top: int, left: int) -> None:
    offset = torch.tensor([left, top])
    cut = crop(sample, top, left, (sample.size[0] - top - 5, sample.size[1] - left - 5))
    whole = {tuple(surface.uv_P2[0].tolist()): surface for surface in surfaces(sample)}
    for after in surfaces(cut):
        before = whole[tuple(after.uv_P2[0].tolist())]
        torch.testing.assert_close(places(after), places(before) - offset)
        assert after.frame[2] - after.frame[0] == before.frame[2] - before.frame[0]
    larger = placed(sample, top, left, (sample.size[0] + 40, sample.size[1] + 40))
    for before, after in zip(surfaces(sample), surfaces(larger)):
        torch.testing.assert_close(places(after), places(before) + offset)


def test_the_torso_may_stay_as_it_was() -> None:
    """Until January 2020 the references did not flip the coordinates of parts that have no other side."""
    parts, uv = torch.tensor([1, 2, 3]), torch.tensor([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
    tables = torch.rand(24, 2, 256, 256)
    for charts in (FlatCharts(False), TableCharts(tables, False)):
        moved = charts.mirrored(parts, uv)
        assert torch.equal(moved[:2], uv[:2])
    assert not torch.equal(TableCharts(tables).mirrored(parts, uv)[:2], uv[:2])
    torch.testing.assert_close(FLAT.mirrored(parts, uv), torch.tensor([[0.1, 0.8], [0.3, 0.6], [0.5, 0.6]]))


def test_tables_are_read_at_the_old_part_by_v_and_u() -> None:
    tables = torch.zeros(24, 2, 256, 256)
    tables[4, 0, 51, 127] = 0.75  # part 5, V = 0.2, U = 0.5
    tables[4, 1, 51, 127] = 0.125
    moved = TableCharts(tables).mirrored(torch.tensor([5, 5]), torch.tensor([[0.5, 0.201], [1.0, 1.0]]))
    assert moved.tolist() == [[0.75, 0.125], [0, 0]]


def test_training_flips_with_the_files_of_the_body(tmp_path: Path) -> None:
    write_body(tmp_path)
    data = replace(FIGURES, source="coco", charts="smpl", smpl=tmp_path)
    charts = charts_of(data)
    assert isinstance(charts, TableCharts)
    assert charts_of(replace(data, flip=0)) is None
    assert isinstance(charts_of(replace(FIGURES, flip_uv_self_parts=False)), FlatCharts)
    moved = charts.mirrored(torch.tensor([1, 7]), torch.tensor([[0.2, 0.6]] * 2))
    torch.testing.assert_close(moved, torch.tensor([[0.8, 0.6]] * 2))
    sample = draw(64, 64, 1, 0, surfaces=True)
    flipped = train_augment(sample, replace(data, flip=1.0), torch.Generator())
    assert not torch.equal(surfaces(flipped)[0].parts_P, surfaces(sample)[0].parts_P)


def test_a_training_that_cannot_flip_says_so_before_it_starts(tmp_path: Path) -> None:
    data = replace(FIGURES, source="coco", charts="smpl", smpl=tmp_path, workers=0)
    dataset = ShapesDataset(FIGURES.shapes, "train", surfaces=True)
    with pytest.raises(ValueError, match=r"needs UV_symmetry_transforms\.mat in .*; get https://dl\.fbaipublicfiles"):
        next(training_batches(dataset, data, batch=1, seed=0, start_step=0, steps=1))


def test_jitter_and_crop_keep_them() -> None:
    data = Data(short_sides=(96,), scale_jitter=(0.5, 1.5), crop=(80, 80), surfaces=True, charts="flat")
    for seed in range(10):
        sample = draw(128, 128, 3, seed, surfaces=True)
        generator = torch.Generator().manual_seed(seed)
        surfaces(train_augment(train_resize(sample, data, generator), data, generator))
