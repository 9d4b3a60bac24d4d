"""Batches with every augmentation do not depend on workers, processes or interruptions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from cvzoo.data.build import build_dataset
from cvzoo.data.config import Data, Shapes
from cvzoo.data.loader import training_batches
from cvzoo.structures import Batch

PLAIN = Data(
    source="shapes",
    shapes=Shapes(size=48, train_images=10),
    short_sides=(40, 48),
    test_short_side=48,
    max_long_side=64,
    colour_jitter=0.2,
    workers=0,
)
ALL = replace(
    PLAIN,
    **{"vertical_flip": 0.5, "rotation": (-90, 90), "zoom": (0.7, 1.4), "shift": 0.1, "shear": 5.0},
    **{"mosaic": 0.5, "mixup": 0.5, "copy_paste": 0.5, "blur": 0.5, "greyscale": 0.3, "cutout": 0.5},
)


def run(data: Data, **options: Any) -> list[Batch]:
    wanted: dict[str, Any] = {"batch": 4, "seed": 5, "start_step": 0, "steps": 5} | options
    return list(training_batches(build_dataset(data, "train"), data, **wanted))


def same(first: Batch, second: Batch) -> bool:
    targets = zip(first.targets, second.targets, strict=True)
    return torch.equal(first.images, second.images) and all(
        torch.equal(a.boxes, b.boxes) and torch.equal(a.labels, b.labels) and a.masks == b.masks for a, b in targets
    )


def test_workers_resuming_and_caching_do_not_matter() -> None:
    whole = run(ALL)
    assert len(whole) == 5
    for other in (run(replace(ALL, workers=2)), run(replace(ALL, cache=True))):
        assert all(same(a, b) for a, b in zip(whole, other, strict=True))
    assert all(same(a, b) for a, b in zip(whole[3:], run(ALL, start_step=3), strict=True))


def test_processes_share_the_batch() -> None:
    data = replace(ALL, canvas=(64, 64))
    for batch, *halves in zip(run(data), *(run(data, rank=rank, world=2) for rank in (0, 1)), strict=True):
        assert torch.equal(batch.images, torch.cat([half.images for half in halves]))
        boxes = [target.boxes for half in halves for target in half.targets]
        assert all(torch.equal(target.boxes, other) for target, other in zip(batch.targets, boxes, strict=True))


def test_what_was_drawn_before_is_drawn_still() -> None:
    """A blur comes last: size, flip and colours below it are those of a training without."""
    blurred, plain = run(replace(PLAIN, blur=1.0)), run(PLAIN)
    for seen, before in zip(blurred, plain, strict=True):
        assert not torch.equal(seen.images, before.images)
        assert seen.sizes == before.sizes
        assert [target.boxes.tolist() for target in seen.targets] == [
            target.boxes.tolist() for target in before.targets
        ]


def test_mixing_stops() -> None:
    until, never = run(replace(PLAIN, mosaic=1.0, mixed_until=0.4)), run(PLAIN)
    assert [same(a, b) for a, b in zip(until, never, strict=True)] == [False, False, True, True, True]


@pytest.mark.parametrize("data", [ALL, replace(ALL, short_sides=(48,), scale_jitter=(0.5, 2.0), crop=(48, 48))])
def test_boxes_lie_in_the_image_and_masks_come_along(data: Data) -> None:
    for batch in run(data, steps=8):
        for target, (height, width) in zip(batch.targets, batch.sizes, strict=True):
            assert target.masks is not None, "copy-paste reads them"
            assert len(target.masks) == len(target.labels) == len(target.boxes)
            limit = torch.tensor([width, height]).repeat(2)
            assert ((target.boxes >= 0) & (target.boxes <= limit)).all()
            assert (target.boxes[:, 2:] - target.boxes[:, :2] >= 1).all()


def test_label_maps_are_mixed_and_moved() -> None:
    """Label maps cannot blend; all else they can."""
    fields = {"source": "shapes", "shapes": Shapes(size=48, train_images=6, label_maps=True)}
    data = replace(ALL, mixup=0.0, copy_paste=0.0, **fields)
    for batch in run(data):
        for target, size in zip(batch.targets, batch.sizes, strict=True):
            assert target.label_map is not None
            assert target.label_map.shape == size
