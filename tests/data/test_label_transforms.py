"""Transforms of images with label maps: every pixel keeps its class, wherever it goes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cvzoo.data.config import Data, Shapes
from cvzoo.data.loader import training_batches
from cvzoo.data.shapes import ShapesDataset
from cvzoo.data.transforms import (
    crop,
    distort_colours,
    eval_resize,
    flip,
    random_crop,
    resize,
    train_augment,
    train_resize,
)
from cvzoo.structures import IGNORE, Sample, Target, size_of

SIDES = st.integers(33, 90)
SEEDS = st.integers(0, 10_000)
DATA = Data(
    source="label_maps",
    short_sides=(48,),
    test_short_side=48,
    max_long_side=100,
    scale_jitter=(0.5, 2.0),
    crop=(40, 56),
    crop_max_share=0.75,
    distort_colours=True,
    workers=0,
)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def painted(height: int, width: int, seed: int = 0) -> Sample:
    """An image that shows its label map: class k is the grey level 50 k everywhere; in large blocks."""
    blocks = torch.randint(4, (3, 4), generator=generator(seed), dtype=torch.uint8)
    labels = blocks.repeat_interleave(-(-height // 3), 0).repeat_interleave(-(-width // 4), 1)[:height, :width]
    target = Target(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), label_map=labels.contiguous())
    return Sample((labels * 50).expand(3, -1, -1).contiguous(), target, original_size=(height, width))


def label_map(sample: Sample) -> torch.Tensor:
    assert sample.target.label_map is not None
    assert size_of(sample.target.label_map) == sample.size
    return sample.target.label_map


def agreement(sample: Sample) -> float:
    """Share of the pixels that show their class; resizing blurs borders."""
    return float((sample.image[0].float().div(50).round() == label_map(sample)).float().mean())


@given(height=SIDES, width=SIDES, seed=SEEDS)
def test_flip_and_crop_move_labels_with_pixels(height: int, width: int, seed: int) -> None:
    sample = painted(height, width, seed)
    assert agreement(flip(sample)) == 1
    assert flip(flip(sample)).target.label_map.equal(label_map(sample))
    cut = crop(sample, 3, 5, (20, 16))
    assert agreement(cut) == 1
    assert label_map(cut).equal(label_map(sample)[3:23, 5:21])


@given(height=SIDES, width=SIDES, new=st.tuples(SIDES, SIDES), seed=SEEDS)
def test_resize_keeps_labels_on_their_pixels(height: int, width: int, new: tuple[int, int], seed: int) -> None:
    resized = resize(painted(height, width, seed), new)
    assert resized.size == new
    assert set(label_map(resized).unique().tolist()) <= {0, 1, 2, 3}
    assert agreement(resized) > 0.7


def test_a_label_map_is_enlarged_as_opencv_does() -> None:
    sample = painted(40, 40)
    sample.target.label_map = torch.arange(1600).remainder(5).to(torch.uint8).view(40, 40)
    large = label_map(resize(sample, (100, 60)))
    rows, columns = np.arange(100) * 40 // 100, np.arange(60) * 40 // 60
    assert large.equal(label_map(sample)[rows][:, columns])


@given(height=SIDES, width=SIDES, seed=SEEDS)
@settings(max_examples=30)
def test_training_images_fit_the_crop(height: int, width: int, seed: int) -> None:
    sample = train_resize(painted(height, width, seed), DATA, generator(seed))
    assert sample.size[0] <= 40
    assert sample.size[1] <= 56
    assert agreement(sample) > 0.7
    augmented = train_augment(sample, DATA, generator(seed))
    assert augmented.size == sample.size
    assert augmented.image.dtype == torch.uint8


def test_no_class_fills_a_crop_where_another_place_is_found() -> None:
    """A street with a narrow strip of sidewalk: one random crop in three sees it."""
    labels = torch.zeros(200, 200, dtype=torch.uint8)
    labels[:, 80:110] = 1
    target = Target(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), label_map=labels)
    street = Sample(torch.zeros(3, 200, 200, dtype=torch.uint8), target)

    def varied(max_share: float) -> float:
        maps = [label_map(random_crop(street, (40, 40), max_share, generator(seed))) for seed in range(100)]
        return float(np.mean([0.25 < found.float().mean() <= 0.75 for found in maps]))

    assert varied(1.0) < 0.4
    assert varied(0.75) > 0.9


def test_pixels_without_a_class_count_in_no_share() -> None:
    labels = torch.full((200, 200), IGNORE, dtype=torch.uint8)
    target = Target(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), label_map=labels)
    found = random_crop(Sample(torch.zeros(3, 200, 200, dtype=torch.uint8), target), (40, 40), 0.75, generator(0))
    assert found.size == (40, 40)  # no place is varied: the last one counts


@pytest.mark.parametrize("seed", range(8))
def test_distortion_changes_colours_alone(seed: int) -> None:
    sample = painted(40, 60)
    sample.image = torch.randint(256, (3, 40, 60), generator=generator(seed), dtype=torch.uint8)
    before = sample.image.clone()
    again, distorted = (distort_colours(sample, generator(seed)) for _ in range(2))
    assert distorted.image.equal(again.image)
    assert sample.image.equal(before), "the cached image must stay as it is"
    assert label_map(distorted).equal(label_map(sample))


def test_distortion_reaches_its_ranges() -> None:
    """Grey has no colour: brightness moves it by up to 32 levels, contrast from a half to one and a half."""
    grey = Sample(torch.full((3, 8, 8), 100, dtype=torch.uint8))
    levels = torch.tensor([int(distort_colours(grey, generator(seed)).image[0, 0, 0]) for seed in range(400)])
    assert 34 <= levels.min() < 60
    assert 160 < levels.max() <= 198
    assert (levels == 100).float().mean() > 0.15  # neither happens in a quarter of the images


def test_hue_turns_around_the_circle() -> None:
    red = Sample(torch.tensor([200, 30, 30], dtype=torch.uint8)[:, None, None].expand(3, 8, 8).contiguous())
    found = torch.stack([distort_colours(red, generator(seed)).image[:, 0, 0] for seed in range(200)]).int()
    assert (found[:, 0] >= found[:, 1:].amax(1)).all()  # 36 degrees away from red it is still red
    assert (found[:, 1] > found[:, 2] + 40).any()
    assert (found[:, 2] > found[:, 1] + 40).any()


def test_evaluation_keeps_the_label_map() -> None:
    sample = painted(90, 60)
    resized = eval_resize(sample, DATA)
    assert resized.size == (72, 48)
    assert resized.target.label_map is sample.target.label_map


def test_batches_are_crops_with_their_label_maps() -> None:
    dataset = ShapesDataset(Shapes(size=64, train_images=8, label_maps=True), "train")
    data = replace(DATA, crop=(48, 64))
    (batch,) = training_batches(dataset, data, batch=4, seed=0, start_step=0, steps=1)
    assert batch.images.shape == (4, 3, 48, 64)
    for target, size in zip(batch.targets, batch.sizes):
        assert target.label_map is not None
        assert size_of(target.label_map) == size
