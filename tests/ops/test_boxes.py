"""Properties of boxes, their code, matching and sampling."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from cvzoo.ops import boxes as box_ops
from cvzoo.ops.assigners import BACKGROUND, IGNORED, Match, match_boxes
from cvzoo.ops.boxes import clip_boxes, decode_boxes, encode_boxes, pairwise_iou, scale_boxes
from cvzoo.ops.sampling import sample_balanced

coordinate = st.floats(0, 500, width=32)
side = st.floats(1, 300, width=32)


@st.composite
def boxes(draw: st.DrawFn, least: int = 1) -> Tensor:
    corners = draw(st.lists(st.tuples(coordinate, coordinate, side, side), min_size=least, max_size=12))
    return torch.tensor([(x, y, x + w, y + h) for x, y, w, h in corners]).reshape(-1, 4)


@given(boxes(), boxes())
def test_decoding_inverts_encoding(truth: Tensor, anchors: Tensor) -> None:
    count = min(len(truth), len(anchors))
    truth, anchors = truth[:count], anchors[:count]
    weights = (10.0, 10.0, 5.0, 5.0)
    # sides are limited to 62.5 times the anchor's
    small = ((truth[:, 2:] - truth[:, :2]) < 60 * (anchors[:, 2:] - anchors[:, :2])).all(dim=1)
    decoded = decode_boxes(encode_boxes(truth, anchors, weights), anchors, weights)
    torch.testing.assert_close(decoded[small], truth[small], atol=2e-2, rtol=1e-4)


@given(boxes(), st.tuples(st.integers(1, 400), st.integers(1, 400)))
def test_clipped_boxes_lie_in_the_image_and_stay(found: Tensor, size: tuple[int, int]) -> None:
    clipped = clip_boxes(found, size)
    limit = torch.tensor([size[1], size[0], size[1], size[0]])
    assert (clipped >= 0).all()
    assert (clipped <= limit).all()
    assert torch.equal(clip_boxes(clipped, size), clipped)
    inside = (found <= limit).all(dim=1)
    assert torch.equal(clipped[inside], found[inside])


@given(boxes())
def test_scaling_there_and_back(found: Tensor) -> None:
    there = scale_boxes(found, (480, 640), (800, 1067))
    torch.testing.assert_close(scale_boxes(there, (800, 1067), (480, 640)), found, atol=1e-3, rtol=1e-5)


@given(boxes(least=0), boxes())
def test_every_truth_with_overlap_finds_a_candidate(truth: Tensor, candidates: Tensor) -> None:
    for best in ("own", "truth"):
        match = match_boxes(candidates, truth, 0.4, 0.5, best)  # type: ignore[arg-type]
        labels = match.labels(torch.arange(len(truth)))
        assert not (match.positive_A & match.negative_A).any()
        assert ((labels >= 0) == match.positive_A).all()
        assert ((labels == BACKGROUND) == match.negative_A).all()
        assert ((labels == IGNORED) == ~(match.positive_A | match.negative_A)).all()
        assert bool(match.positive_A.any()) == (len(truth) > 0)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 30), st.sampled_from([0.25, 0.5, 1.0]), st.integers(0, 9))
def test_samples_are_balanced_and_distinct(pos: int, neg: int, count: int, fraction: float, image_id: int) -> None:
    positive = torch.randperm(pos + neg) < pos
    match = Match(torch.zeros_like(positive).long(), positive, ~positive)
    one, _ = sample_balanced([match, match], [image_id, image_id + 1], count, fraction)
    (two,) = sample_balanced([match], [image_id], count, fraction)
    chosen = torch.cat(one)
    assert len(one[0]) == min(pos, int(count * fraction))
    assert len(one[1]) == min(neg, count - len(one[0]))
    assert len(chosen.unique()) == len(chosen)
    assert positive[one[0]].all()
    assert not positive[one[1]].any()
    assert all(torch.equal(a, b) for a, b in zip(one, two))


@pytest.mark.parametrize("images", [(), (3,)])
def test_overlaps_of_many_boxes_are_those_of_a_few_at_a_time(
    images: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    corner = torch.rand(*images, 50, 2) * 100
    many = torch.cat([corner, corner + torch.rand(*images, 50, 2) * 80], dim=-1)
    few = many[..., ::7, :]
    expected = pairwise_iou(few, many)
    assert expected.shape == (*images, 8, 50)
    for at_once in (1, 8, 100, 399):
        monkeypatch.setattr(box_ops, "PAIRS_AT_ONCE", at_once)
        assert torch.equal(pairwise_iou(few, many), expected)
    shared = many[0] if images else many  # anchors that all images have
    torch.testing.assert_close(pairwise_iou(few, shared)[..., :1, :], pairwise_iou(few[..., :1, :], shared))
