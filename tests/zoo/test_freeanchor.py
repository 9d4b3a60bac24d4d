"""FreeAnchor's loss, computed in the log domain and sparsely, beside the paper's formulas written out in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cvzoo.ops.anchors import AnchorConfig, per_anchor, pyramid_anchors
from cvzoo.parts.dense.head import DenseOutput
from cvzoo.structures import Target
from cvzoo.zoo.freeanchor.model import FreeAnchorConfig

CANVAS, GRIDS, CLASSES, SHAPES = (32, 40), ((4, 5), (2, 3)), 3, 6
ANCHORS = AnchorConfig(sizes=((16.0, 18.0), (32.0, 36.0)), strides=(8, 16))
ALPHA, GAMMA, BETA, BOX_WEIGHT, LOCALISED = 0.4, 1.5, 0.11, 0.75, 0.6
BAG = 9
WEIGHTS = torch.tensor([10.0, 10.0, 5.0, 5.0], dtype=torch.float64)


def losses_of(raw: DenseOutput, targets: list[Target], bag: int = BAG) -> dict[str, Tensor]:
    config = FreeAnchorConfig(num_classes=CLASSES, anchors=ANCHORS, bag=bag, alpha=ALPHA, gamma=GAMMA)
    with torch.device("meta"):  # the losses need no weights
        model = config.build()
    return model.losses(raw, targets, [CANVAS] * len(targets), CANVAS)


def all_anchors() -> Tensor:
    return torch.cat(pyramid_anchors(ANCHORS, GRIDS, CANVAS, torch.device("cpu")))


def random_raw(images: int, seed: int, spread: float = 2.0) -> DenseOutput:
    """Boxes stay near their anchors, so that many have an IoU of more than 0.6 with an object near an anchor."""
    generator = torch.Generator().manual_seed(seed)

    def maps(columns: int, scale: float) -> list[Tensor]:
        shapes = [(images, SHAPES * columns, *grid) for grid in GRIDS]
        return [(torch.randn(shape, generator=generator) * scale).requires_grad_() for shape in shapes]

    return DenseOutput(maps(CLASSES, spread), maps(4, 0.5), [])


def near_anchors(anchors: list[int], labels: list[int], seed: int = 0) -> Target:
    jitter = torch.randn(len(anchors), 4, generator=torch.Generator().manual_seed(seed))
    return Target(all_anchors()[anchors] + jitter, torch.tensor(labels))


# The paper


def iou_of(a: Tensor, b: Tensor) -> float:
    width = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    height = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    areas = [float((box[2] - box[0]) * (box[3] - box[1])) for box in (a, b)]
    return float(width * height) / (sum(areas) - float(width * height))


def code_of(box: Tensor, anchor: Tensor) -> Tensor:
    """R-CNN's deltas, scaled."""
    size, anchor_size = box[2:] - box[:2], anchor[2:] - anchor[:2]
    shift = (box[:2] + box[2:] - anchor[:2] - anchor[2:]) / 2
    return torch.cat([shift / anchor_size, (size / anchor_size).log()]) * WEIGHTS


def box_of(delta: Tensor, anchor: Tensor) -> Tensor:
    size = anchor[2:] - anchor[:2]
    middle = (anchor[:2] + anchor[2:]) / 2 + (delta / WEIGHTS)[:2] * size
    half = size * (delta / WEIGHTS)[2:].exp() / 2
    return torch.cat([middle - half, middle + half])


def bag_loss(logits: Tensor, deltas: Tensor, anchors: Tensor, box: Tensor, label: int, bag: int) -> Tensor:
    """Equation 7 for one object: -log of the mean-max of p = P_cls P_loc over the anchors of highest IoU."""
    ious = [iou_of(box, anchor) for anchor in anchors]
    ranked = sorted(range(len(anchors)), key=lambda j: -ious[j])
    assert ious[ranked[bag - 1]] - ious[ranked[bag]] > 1e-4, "a tie would decide who is in the bag"
    p = []
    for j in ranked[:bag]:
        error = (deltas[j] - code_of(box, anchors[j])).abs()
        error = torch.where(error < BETA, 0.5 * error**2 / BETA, error - 0.5 * BETA).sum()
        p.append(logits[j, label].sigmoid() * (-BOX_WEIGHT * error).exp())
    p = torch.stack(p)
    weight = 1 / (1 - p).clamp(min=1e-12)
    return -(weight * p).sum().div(weight.sum()).log()


def positive_probability(deltas: Tensor, anchors: Tensor, target: Target) -> Tensor:
    """(M, K): P(anchor is positive for the class), section 3.3: saturated linear in the IoU; the best box counts."""
    probability = torch.zeros(len(anchors), CLASSES, dtype=torch.float64)
    for box, label in zip(target.boxes.double(), target.labels.tolist()):
        ious = [iou_of(box, box_of(delta, anchor)) for delta, anchor in zip(deltas, anchors)]
        best = max(max(ious), LOCALISED + 1e-7)
        for j, iou in enumerate(ious):
            share = min(max((iou - LOCALISED) / (best - LOCALISED), 0), 1)
            probability[j, label] = max(float(probability[j, label]), share)
    return probability


def paper(raw: DenseOutput, targets: list[Target], bag: int) -> dict[str, Tensor]:
    """Equation 10 with its two terms."""
    anchors = all_anchors().double()
    positive, negative = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for n, target in enumerate(targets):
        logits = torch.cat([per_anchor(x[n], CLASSES) for x in raw.logits]).double()
        deltas = torch.cat([per_anchor(x[n], 4) for x in raw.deltas]).double()
        for box, label in zip(target.boxes.double(), target.labels.tolist()):
            positive = positive + bag_loss(logits, deltas, anchors, box, label, bag)
        q = logits.sigmoid() * (1 - positive_probability(deltas.detach(), anchors, target))
        negative = negative - (q**GAMMA * (1 - q).log()).sum()
    objects = sum(len(target) for target in targets)
    return {
        "loss_bag": ALPHA * positive / max(objects, 1),
        "loss_background": (1 - ALPHA) * negative / max(objects * bag, 1),
    }


def leaves(raw: DenseOutput) -> list[Tensor]:
    return [*raw.logits, *raw.deltas]


def gradients(raw: DenseOutput, loss: Tensor) -> list[Tensor]:
    if not loss.requires_grad:
        return [torch.zeros_like(x) for x in leaves(raw)]
    found = torch.autograd.grad(loss, leaves(raw), retain_graph=True, allow_unused=True)
    return [torch.zeros_like(x) if grad is None else grad for x, grad in zip(leaves(raw), found)]


CROWDED = near_anchors([4, 7, 135, 30], [0, 2, 0, 1])
SAME_CLASS = near_anchors([4, 4, 133, 133], [1, 1, 1, 1], seed=3)
TARGETS = {
    "one image without boxes": [CROWDED, Target.empty()],
    "boxes of one class on top of each other": [SAME_CLASS, CROWDED],
    "no boxes": [Target.empty(), Target.empty()],
}


@pytest.mark.parametrize("case", TARGETS)
def test_values_and_gradients_are_the_papers(case: str) -> None:
    targets, raw = TARGETS[case], random_raw(2, seed=1)
    ours, theirs = losses_of(raw, targets), paper(raw, targets, BAG)
    assert ours.keys() == theirs.keys()
    for name in ours:
        torch.testing.assert_close(ours[name].double(), theirs[name], rtol=1e-4, atol=1e-6)
        for mine, other in zip(gradients(raw, ours[name]), gradients(raw, theirs[name])):
            torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-6)


def test_the_cases_have_localised_anchors() -> None:
    """Else the background loss above would be that of a focal loss."""
    raw = random_raw(2, seed=1)
    for n, target in enumerate((SAME_CLASS, CROWDED)):
        deltas = torch.cat([per_anchor(x[n], 4) for x in raw.deltas]).double()
        probability = positive_probability(deltas.detach(), all_anchors().double(), target)
        assert ((probability > 0) & (probability < 1)).sum() >= 3
        assert (probability == 1).sum() >= 2


def test_a_pair_takes_the_better_of_two_boxes() -> None:
    """Two boxes of a class, each predicted exactly by one anchor: both anchors are positive, none is background.

    Either box alone leaves the other's anchor at (IoU - 0.6) / 0.4 = 0.25, so that it is background by three quarters.
    """
    anchors = all_anchors()
    first = torch.tensor([0.0, 0.0, 20.0, 20.0])
    second = torch.tensor([0.0, 0.0, 20.0, 14.0])  # IoU 0.7
    raw = random_raw(1, seed=0)
    with torch.no_grad():
        for x in raw.logits:
            x.fill_(-60)
        for x in raw.deltas:
            x.zero_()
        for row, box in ((0, first), (1, second)):  # the first two anchors of the first cell
            raw.deltas[0][0, 4 * row : 4 * row + 4, 0, 0] = code_of(box.double(), anchors[row].double()).float()
            raw.logits[0][0, CLASSES * row + 2, 0, 0] = 3

    def background(boxes: list[Tensor]) -> float:
        target = Target(torch.stack(boxes), torch.full((len(boxes),), 2))
        return float(losses_of(raw, [target])["loss_background"].detach()) * len(boxes)

    q = 0.75 * torch.tensor(3.0).sigmoid()
    alone = float((1 - ALPHA) / BAG * -(q**GAMMA) * (1 - q).log())
    assert background([first]) == pytest.approx(alone, rel=1e-3)
    assert background([second]) == pytest.approx(alone, rel=1e-3)
    assert background([first, second]) == pytest.approx(0, abs=1e-4 * alone)
    assert background([second, first]) == pytest.approx(0, abs=1e-4 * alone)


@pytest.mark.parametrize("size", [50.0, 200.0])
@pytest.mark.parametrize("sign", [-1, 0, 1])
def test_extreme_logits_and_exact_boxes_are_finite(sign: int, size: float) -> None:
    """All low, all high, or some of each; the objects' own anchors predict them exactly, so that p may be 1."""
    raw = random_raw(2, seed=2)
    with torch.no_grad():
        for x in raw.logits:
            x.copy_(size * (torch.full_like(x, sign) if sign else x.sign()))
        for x in raw.deltas:
            x.zero_()
    target = Target(all_anchors()[[4, 7, 135, 30]], torch.tensor([0, 2, 0, 1]))
    losses = losses_of(raw, [target, Target.empty()])
    for loss in losses.values():
        assert loss.isfinite()
        assert loss >= 0
        assert all(grad.isfinite().all() for grad in gradients(raw, loss))
    if sign == 1:
        assert losses["loss_bag"] < 1e-3, "every object has an anchor that is sure and exact"
    if sign == -1:
        assert losses["loss_background"] < 1e-6
        assert losses["loss_bag"].item() == pytest.approx(ALPHA * min(size, 100), rel=0.1)


def test_an_object_that_no_anchor_overlaps_costs_the_limit_and_pulls_nothing() -> None:
    raw = random_raw(1, seed=0)
    far = Target(torch.tensor([[9000.0, 9000.0, 9010.0, 9010.0]]), torch.tensor([1]))
    losses = losses_of(raw, [far])
    assert losses["loss_bag"].item() == pytest.approx(ALPHA * 100)
    assert all((grad == 0).all() for grad in gradients(raw, losses["loss_bag"]))
    nothing = losses_of(raw, [Target.empty()], bag=1)["loss_background"]
    torch.testing.assert_close(losses["loss_background"] * BAG, nothing)


@pytest.mark.parametrize("order", [[3, 2, 1, 0], [1, 0, 3, 2]])
def test_the_order_of_the_objects_is_nothing(order: list[int]) -> None:
    raw = random_raw(1, seed=4)
    one = losses_of(raw, [SAME_CLASS])
    other = losses_of(raw, [SAME_CLASS[torch.tensor(order)]])
    torch.testing.assert_close(one, other)


def test_hundreds_of_boxes_count_like_a_few() -> None:
    """Their IoUs are taken some at a time: repeats of boxes change neither loss."""
    raw = random_raw(1, seed=5)
    few = losses_of(raw, [CROWDED])
    many = losses_of(raw, [CROWDED[torch.arange(4).repeat_interleave(40)]])
    torch.testing.assert_close(many["loss_bag"], few["loss_bag"])
    torch.testing.assert_close(many["loss_background"] * 40, few["loss_background"])
