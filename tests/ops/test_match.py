"""What becomes of a match: the labels and boxes that the losses see."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cvzoo.ops.assigners import BACKGROUND, IGNORED, Match, targets_of_batch
from cvzoo.structures import Target


@st.composite
def matches(draw: st.DrawFn, candidates: int, boxes: int) -> Match:
    """Any: positive, negative or ignored candidates."""
    kind = torch.tensor(draw(st.lists(st.integers(0, 2), min_size=candidates, max_size=candidates)))
    owner = draw(st.lists(st.integers(0, max(boxes - 1, 0)), min_size=candidates, max_size=candidates))
    return Match(torch.tensor(owner, dtype=torch.int64), (kind == 0) & (boxes > 0), kind == 1)


@settings(max_examples=30)
@given(st.data(), st.integers(1, 6), st.integers(0, 6))
def test_spread_candidates_keep_what_they_learn_and_the_others_are_ignored(
    data: st.DataObject, candidates: int, more: int
) -> None:
    match = data.draw(matches(candidates, boxes=3))
    order = data.draw(st.permutations(range(candidates + more)))
    rows = torch.tensor(sorted(order[:candidates]))
    spread = match.spread(rows, candidates + more)
    classes = torch.tensor([5, 6, 7])
    labels = torch.full((candidates + more,), IGNORED)
    labels[rows] = match.labels(classes)
    assert torch.equal(spread.labels(classes), labels)
    assert all(torch.equal(mine, other) for mine, other in zip(spread.rows(rows), match))


@settings(max_examples=30)
@given(st.data(), st.lists(st.integers(0, 4), min_size=1, max_size=4), st.integers(1, 7))
def test_boxes_of_a_batch_come_in_the_order_of_the_positive_labels(
    data: st.DataObject, objects: list[int], candidates: int
) -> None:
    class_ids = data.draw(st.sampled_from([(), (-1, 2, 0, -1, 1)]))
    found = [data.draw(matches(candidates, count)) for count in objects]
    targets = []
    for n, count in enumerate(objects):
        boxes = 100.0 * n + 10.0 * torch.arange(count)[:, None] + torch.arange(4.0)
        targets.append(
            Target(
                boxes,
                torch.tensor(data.draw(st.lists(st.integers(0, 2), min_size=count, max_size=count)), dtype=torch.int64),
            )
        )
    labels, image, row, truth = targets_of_batch(found, targets, class_ids)
    assert all(torch.equal(mine, other) for mine, other in zip((image, row), torch.where(labels >= 0)))
    assert len(truth) == len(image) == sum(int(match.positive_A.sum()) for match in found)
    for n, m, box in zip(image.tolist(), row.tolist(), truth):
        owner = found[n].index_A[m]
        assert torch.equal(box, targets[n].boxes[owner])
        wanted = int(targets[n].labels[owner])
        assert labels[n, m] == (class_ids.index(wanted) if class_ids else wanted)
    for n, match in enumerate(found):
        assert torch.equal(labels[n] == BACKGROUND, match.negative_A & ~match.positive_A)
