"""Whose object a proposal is."""

from __future__ import annotations

import torch
from torch import Tensor

from cvzoo.parts.rcnn.box_head import BoxHead, BoxHeadConfig
from cvzoo.structures import Batch, Target

LARGE, SMALL = [0.0, 0, 40, 40], [0.0, 0, 40, 30]
TARGET = Target(torch.tensor([LARGE, SMALL]), torch.tensor([0, 1]))
BATCH = Batch(torch.zeros(1, 3, 64, 64, dtype=torch.uint8), [(64, 64)], [(64, 64)], [TARGET], [0])


def sampled(proposals: Tensor, **options: object) -> dict[tuple[float, ...], int]:
    """The label of each box that is trained on."""
    head = BoxHead(BoxHeadConfig(samples=100, positive_fraction=1.0, **options), 1, 2)  # type: ignore[arg-type]
    (found,) = head.sample([proposals], BATCH, ())
    return {tuple(box): label for box, label in zip(found.boxes_R4.tolist(), found.labels_R.tolist())}


def test_a_proposal_is_the_object_it_overlaps_most_or_the_one_that_none_overlaps_more() -> None:
    near_small, elsewhere = (0.0, 0.0, 40.0, 32.0), (50.0, 50.0, 60.0, 60.0)
    proposals = torch.tensor([near_small, elsewhere])
    truths = {tuple(LARGE): 0, tuple(SMALL): 1}
    assert sampled(proposals) == truths | {near_small: 1, elsewhere: 2}
    # it is the best one of both; the last object wins, as in mmdetection
    assert sampled(proposals, best_match="truth") == truths | {near_small: 1, elsewhere: 2}
    nearest_large = (0.0, 0.0, 40.0, 34.0)  # IoU 0.85 with the large one, 0.88 with the small one
    proposals = torch.tensor([near_small, nearest_large])
    assert sampled(proposals) == truths | {near_small: 1, nearest_large: 1}
    assert sampled(proposals, best_match="truth") == truths | {near_small: 1, nearest_large: 0}


def test_the_truth_that_is_added_takes_no_object_from_a_proposal() -> None:
    nearest_large, near_small = (0.0, 0.0, 40.0, 34.0), (0.0, 0.0, 40.0, 32.0)
    proposals = torch.tensor([nearest_large, near_small])
    for append_truth in (True, False):
        assert sampled(proposals, best_match="truth", append_truth=append_truth)[nearest_large] == 0


def test_without_proposals_the_truth_is_left() -> None:
    nothing = torch.zeros(0, 4)
    for rule in ("none", "truth"):
        assert sampled(nothing, best_match=rule) == {tuple(LARGE): 0, tuple(SMALL): 1}
        assert sampled(nothing, best_match=rule, append_truth=False) == {}
