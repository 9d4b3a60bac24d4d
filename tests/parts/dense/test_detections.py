"""From raw maps to detections, beside the same written out candidate by candidate."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from cvzoo.ops.anchors import AnchorConfig, pyramid_anchors
from cvzoo.ops.detect import DetectConfig
from cvzoo.parts.dense.detections import ScoreRule, candidates_of, detections_of, moved_anchors
from cvzoo.structures import Prediction, Size

CLASSES, PER_CELL, GRIDS = 3, 2, ((3, 4), (2, 2))
SIZE = (1000, 1000)
THRESHOLD, CANDIDATES = 0.3, 9
Row = tuple[float, int, int]
"""Score, class, and the place of the box."""


@dataclass
class Config:
    """What `candidates_of` asks of one; no box suppresses another."""

    num_classes: int = CLASSES
    class_ids: tuple[int, ...] = ()
    candidates: int = CANDIDATES
    detect: DetectConfig = field(
        default_factory=lambda: DetectConfig(score_threshold=THRESHOLD, nms_threshold=1.0, detections=1000)
    )


def maps(columns: int, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, PER_CELL * columns, *grid, generator=generator) for grid in GRIDS]


def place(level: int, image: int, row: int) -> int:
    return 100 * level + 50 * image + row


def boxes_at(level: int, row_NP: Tensor) -> Tensor:
    """Of one pixel's width each, in places of their own."""
    places = [[place(level, image, row) for row in rows] for image, rows in enumerate(row_NP.tolist())]
    left_NP = torch.tensor(places, dtype=torch.float32)
    return torch.stack([left_NP, left_NP, left_NP + 1, left_NP + 1], dim=2)


def found_in(
    logits: list[Tensor],
    centreness: list[Tensor],
    config: Config,
    original_size: Size = SIZE,
    rule: ScoreRule = "product",
) -> list[Prediction]:
    return detections_of(
        candidates_of(logits, centreness, boxes_at, config, rule), config, [SIZE] * 2, [original_size] * 2
    )


def written_out(logits: list[Tensor], centreness: list[Tensor], image: int, rule: ScoreRule) -> list[Row]:
    """One pair of candidate and class after the other; the channels of a cell are A times the classes."""
    rows: list[Row] = []
    for level, (height, width) in enumerate(GRIDS):
        pairs: list[tuple[float, float, int, int]] = []
        for row in range(height * width * PER_CELL):
            cell, anchor = divmod(row, PER_CELL)
            y, x = divmod(cell, width)
            for label in range(CLASSES):
                score = logits[level][image, anchor * CLASSES + label, y, x].sigmoid().item()
                final = score
                if centreness:
                    centre = centreness[level][image, anchor, y, x].sigmoid().item()
                    final = (score * centre) ** 0.5 if rule == "root" else score * centre
                ranked = final if rule == "root" and centreness else score
                pairs.append((ranked, final, label, place(level, image, row)))
        best = sorted((pair for pair in pairs if pair[0] > THRESHOLD), reverse=True)[:CANDIDATES]
        rows += [(final, label, at) for _, final, label, at in best]
    return sorted(rows, reverse=True)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("rule", ["product", "root"])
@pytest.mark.parametrize("with_centreness", [True, False])
def test_the_best_pairs_of_each_level(with_centreness: bool, rule: ScoreRule, layout: torch.memory_format) -> None:
    logits = [x.contiguous(memory_format=layout) for x in maps(CLASSES, seed=0)]
    centreness = [x.contiguous(memory_format=layout) for x in maps(1, seed=1)] if with_centreness else []
    found = found_in(logits, centreness, Config(), rule=rule)
    for image, own in enumerate(found):
        expected = written_out(logits, centreness, image, rule)
        assert len(own) == len(expected) > CANDIDATES
        torch.testing.assert_close(own.scores, torch.tensor([score for score, _, _ in expected]))
        assert own.labels.tolist() == [label for _, label, _ in expected]
        assert own.boxes[:, 0].tolist() == [at for _, _, at in expected]


def test_the_rules_differ_in_which_pairs_they_keep() -> None:
    """Else the test above would not tell them apart."""
    logits, centreness = maps(CLASSES, seed=0), maps(1, seed=1)
    kept = [{row[1:] for row in written_out(logits, centreness, 0, rule)} for rule in ("product", "root")]
    assert kept[0] != kept[1]


def test_boxes_come_in_original_pixels_and_labels_as_classes_of_the_data_set() -> None:
    logits, config = maps(CLASSES, seed=0), Config(class_ids=(-1, 5, 2))
    plain = found_in(logits, [], Config())
    found = found_in(logits, [], config, (2000, 500))
    for own, before in zip(found, plain):
        used = before.labels > 0
        assert 0 < used.sum() < len(before)
        assert own.labels.tolist() == [(-1, 5, 2)[label] for label in before.labels[used].tolist()]
        torch.testing.assert_close(own.boxes, before.boxes[used] * torch.tensor([0.5, 2.0, 0.5, 2.0]))


def test_no_pair_over_the_threshold_is_no_detection() -> None:
    logits = [torch.full_like(x, -9.0) for x in maps(CLASSES, seed=0)]
    assert [len(own) for own in found_in(logits, [], Config())] == [0, 0]


def test_each_candidate_moves_its_own_anchor() -> None:
    config = AnchorConfig(sizes=((16.0,), (32.0,)), ratios=((0.5, 2.0),), strides=(8, 16))
    anchors = pyramid_anchors(config, GRIDS, (24, 32), torch.device("cpu"))
    deltas = [torch.zeros(2, PER_CELL * 4, *grid) for grid in GRIDS]
    deltas[0][1, 4:, 2, 3] = torch.tensor([10.0, -10.0, 0.0, 5.0 * 0.6931472])  # the second anchor of the last cell
    boxes = moved_anchors(deltas, anchors, (10.0, 10.0, 5.0, 5.0), clamp_shrinking=False)
    rows = torch.arange(len(anchors[0])).expand(2, -1)
    still, moved = boxes(0, rows)
    torch.testing.assert_close(still, anchors[0])
    torch.testing.assert_close(moved[:-1], anchors[0][:-1])
    x1, y1, x2, y2 = anchors[0][-1]
    width, height = x2 - x1, y2 - y1  # by one width to the right and one height up, and twice as high
    expected = torch.stack([x1 + width, y1 - 1.5 * height, x2 + width, y2 - 0.5 * height])
    torch.testing.assert_close(moved[-1], expected)
    torch.testing.assert_close(boxes(1, torch.tensor([[3], [3]]))[1], anchors[1][3:4])
