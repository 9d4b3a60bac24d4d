"""Region proposal network: the first stage of every R-CNN (1506.01497).

Shape suffixes: N images, L levels, A anchors per cell, M anchors of all levels, P proposals, C channels, H W cells.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cvzoo.fields import Count, Natural, Needs, NotNegative, Share
from cvzoo.nn.towers import init_normal, tower
from cvzoo.nn.windows import tower_at
from cvzoo.ops.anchors import AnchorConfig, anchors_of, per_anchor
from cvzoo.ops.assigners import Match, match_boxes
from cvzoo.ops.boxes import Weights, decode_boxes, limits_of, longer_than
from cvzoo.ops.detect import gather_rows
from cvzoo.ops.distributed import mean_over_processes
from cvzoo.ops.losses import BoxLoss, box_loss
from cvzoo.ops.nms import suppress_levels
from cvzoo.ops.points import cells_of_image
from cvzoo.ops.sampling import sample_balanced
from cvzoo.ops.transfer import numbered, on_device
from cvzoo.structures import Batch, Size, Target, size_of


@dataclass(frozen=True, kw_only=True)
class RPNConfig:
    """Hyper-parameters of the proposal stage; the defaults are detectron2's for a pyramid."""

    anchors: AnchorConfig = field(
        default_factory=lambda: AnchorConfig(sizes=((32,), (64,), (128,), (256,), (512,)), strides=(4, 8, 16, 32, 64))
    )
    """The anchors of each cell: one size per level, three shapes."""
    convs: Natural = 1
    """3x3 convolutions before the two outputs (torchvision's v2 has 2)."""
    box_weights: Weights = (1.0, 1.0, 1.0, 1.0)
    """What the proposals' deltas (dx, dy, dw, dh) are multiplied by."""
    clamp_shrinking: bool = False
    """Limit how far a box may shrink, not only how far it may grow (mmdetection)."""
    negative_below: Share = 0.3
    """Anchors whose best IoU is lower are background."""
    positive_from: Share = 0.7
    """Anchors with this IoU or more are objects."""
    best_match: Literal["none", "own", "truth"] = "own"
    """Whether anchors under the threshold that reach an object's best IoU are positive: no (`none`), for their `own`
    best object (torchvision, detectron2), or for that object, the `truth` (mmdetection)."""
    best_match_from: Share = 0.0
    """An IoU below this is no best IoU in the sense of `best-match`."""
    inside_only: bool = False
    """Anchors that reach beyond the image do not train (mmdetection's cascades)."""
    valid_divisor: Count | None = None
    """Anchors of cells beyond the image's own size, padded to a multiple of this, do not train (mmdetection: 32)."""
    samples: Count = 256
    """Anchors per image that enter the loss."""
    positive_fraction: Share = 0.5
    """At most this share of the sampled anchors is positive."""
    normaliser: Literal["configured", "sampled", "sampled_or_one"] = "configured"
    """Losses are divided by `samples` per image (detectron2), or by the number really sampled (torchvision), where
    mmdetection (`sampled_or_one`) counts an image without positives as if it had one."""
    box_loss: BoxLoss = "smooth_l1"
    """Smooth L1 loss on deltas, or a loss on decoded boxes."""
    smooth_l1_beta: Annotated[NotNegative, Needs("box_loss=smooth_l1")] = 0.0
    """Where the smooth L1 loss of the proposals turns from quadratic to linear; 0 is L1."""
    loss_weight: NotNegative = 1.0
    """Weight of both losses of the first stage."""
    box_loss_weight: NotNegative = 1.0
    """Weight of the box loss of the first stage, on top of `loss-weight`."""
    pre_nms_train: Count = 2000
    """Best anchors per level before NMS, in training."""
    pre_nms_test: Count = 1000
    """Best anchors per level before NMS, in inference."""
    post_nms_train: Count = 1000
    """Best proposals per image after NMS, in training."""
    post_nms_test: Count = 1000
    """Best proposals per image after NMS, in inference."""
    nms_threshold: Share = 0.7
    """Within a level, of two proposals with a higher IoU the lower-scored goes."""
    min_side: NotNegative = 0.0
    """Proposals must be longer than this, once clipped to the image."""


class RPNOutput(NamedTuple):
    """Raw outputs, level by level."""

    logits: list[Tensor]
    """L of (N, A, H, W): is this anchor an object."""
    deltas: list[Tensor]
    """L of (N, A * 4, H, W)."""


class Proposals(NamedTuple):
    """The proposals of one image, best first, in network pixels."""

    boxes: Tensor
    """(P, 4)."""
    logits: Tensor
    """(P,)."""


class RPN(nn.Module):
    """Scores and moves the anchors of each level."""

    def __init__(self, config: RPNConfig, channels: int) -> None:
        super().__init__()
        self.config = config
        anchors = config.anchors.per_cell()
        self.tower = tower(channels, config.convs, norm=None)
        self.objectness = nn.Conv2d(channels, anchors, 1)
        self.deltas = nn.Conv2d(channels, anchors * 4, 1)
        init_normal(self)

    def forward(self, features: list[Tensor]) -> RPNOutput:
        towers = [self.tower(x) for x in features]
        return RPNOutput([self.objectness(x) for x in towers], [self.deltas(x) for x in towers])

    def at(self, features: list[Tensor], image_P: Tensor, anchor_P: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (P,) and deltas (P, 4) of single anchors, each an index into all M anchors of an image."""
        per_cell = self.config.anchors.per_cell()
        hidden_PC = tower_at(self.tower, features, image_P, anchor_P // per_cell)
        kind_P1 = (anchor_P % per_cell).unsqueeze(1)
        logits_PA = F.linear(hidden_PC, self.objectness.weight.flatten(1), self.objectness.bias)
        deltas_PA4 = F.linear(hidden_PC, self.deltas.weight.flatten(1), self.deltas.bias).unflatten(1, (-1, 4))
        deltas_P14 = deltas_PA4.gather(1, kind_P1.unsqueeze(2).expand(-1, -1, 4))
        return logits_PA.gather(1, kind_P1).squeeze(1), deltas_P14.squeeze(1)

    def assign(self, anchors_M4: Tensor, target: Target, size: Size, grids: tuple[Size, ...]) -> Match:
        """What each anchor of one image learns, before sampling; `grids` are the sizes of the maps."""
        c = self.config
        valid_M = None
        if c.valid_divisor is not None:
            cells = c.valid_divisor, c.anchors.per_cell(), anchors_M4.device
            valid_M = cells_of_image(c.anchors.strides, grids, size, *cells)
        if c.inside_only:
            limit = on_device([size[1], size[0]], anchors_M4.device)
            inside_M = ((anchors_M4[:, :2] >= 0) & (anchors_M4[:, 2:] < limit)).all(dim=1)
            valid_M = inside_M if valid_M is None else inside_M & valid_M
        thresholds = c.negative_below, c.positive_from
        return match_boxes(anchors_M4, target.boxes, *thresholds, c.best_match, c.best_match_from, valid_M)

    def losses(self, features: list[Tensor], batch: Batch, canvas: Size) -> dict[str, Tensor]:
        """`loss_rpn_cls` over the sampled anchors, `loss_rpn_box` over the positive ones among them.

        The head is evaluated at the sampled anchors only: its gradient is zero at all others.
        """
        c = self.config
        anchors_M4 = torch.cat(anchors_of(c.anchors, features, canvas))
        grids = tuple(size_of(x) for x in features)
        matches = [self.assign(anchors_M4, *image, grids) for image in zip(batch.targets, batch.sizes)]
        sampled = sample_balanced(matches, batch.image_ids, c.samples, c.positive_fraction)
        positives, negatives = zip(*sampled)
        anchor_P = torch.cat([*positives, *negatives])  # the positives of all images first
        image_P = numbered([len(rows) for rows in (*positives, *negatives)], anchor_P.device) % len(batch)
        logits_P, deltas_P4 = self.at(features, image_P, anchor_P)
        objects = sum(map(len, positives))
        is_object_P = (torch.arange(len(anchor_P), device=anchor_P.device) < objects).float()
        cls = F.binary_cross_entropy_with_logits(logits_P.float(), is_object_P, reduction="sum")
        truths = [t.boxes[match.index_A[rows]] for t, match, rows in zip(batch.targets, matches, positives)]
        anchors_F4 = anchors_M4[anchor_P[:objects]]
        kind, weights, beta = c.box_loss, c.box_weights, c.smooth_l1_beta
        box = box_loss(deltas_P4[:objects], anchors_F4, torch.cat(truths), kind, weights, beta).sum()
        normaliser = mean_over_processes(anchors_M4.new_full((), self._count(len(anchor_P), truths)))
        return {
            "loss_rpn_cls": c.loss_weight * cls / normaliser,
            "loss_rpn_box": c.loss_weight * c.box_loss_weight * box / normaliser,
        }

    def _count(self, sampled: int, truths: list[Tensor]) -> int:
        """What the losses are divided by; `truths` are the boxes of each image's positives."""
        match self.config.normaliser:
            case "configured":
                return self.config.samples * len(truths)
            case "sampled":
                return max(sampled, 1)
            case "sampled_or_one":
                return sampled + sum(len(boxes) == 0 for boxes in truths)

    @torch.no_grad()
    def proposals(self, features: list[Tensor], sizes: list[Size], canvas: Size) -> list[Tensor]:
        """N of (P, 4): the boxes the second stage looks at. The RPN learns from its own loss, not through them."""
        return [proposals.boxes for proposals in self.propose(self(features), sizes, canvas)]

    @torch.no_grad()
    def propose(self, raw: RPNOutput, sizes: list[Size], canvas: Size) -> list[Proposals]:
        """The best boxes of each image after NMS within each level; no gradient flows through them.

        The program waits for the NMS, and for how many boxes there are.
        """
        boxes_NP4, logits_NP = self.best(raw, limits_of(sizes, raw.logits[0].device), canvas)
        counts = (logits_NP != -torch.inf).sum(dim=1).tolist()
        return [Proposals(b[:count], x[:count]) for b, x, count in zip(boxes_NP4, logits_NP, counts)]

    @torch.no_grad()
    def best(self, raw: RPNOutput, limits_N14: Tensor, canvas: Size) -> tuple[Tensor, Tensor]:
        """The boxes (N, P, 4) of `propose` and their logits (N, P), -inf where an image has fewer."""
        c = self.config
        levels = self._before_nms(raw, canvas)
        counts = [logits_NP.shape[1] for logits_NP, _, _ in levels]
        logits_NM, deltas_NM4, anchors_NM4 = (torch.cat(values, dim=1) for values in zip(*levels))
        decoded_NM4 = decode_boxes(deltas_NM4, anchors_NM4, c.box_weights, c.clamp_shrinking)
        boxes_NM4 = decoded_NM4.clamp(min=0).minimum(limits_N14)
        valid_NM = longer_than(boxes_NM4, c.min_side) & boxes_NM4.isfinite().all(dim=-1)
        by_level = boxes_NM4.split(counts, dim=1), valid_NM.split(counts, dim=1)
        kept_NM = torch.cat(suppress_levels(*by_level, c.nms_threshold), dim=1)
        most = torch.sym_min(c.post_nms_train if self.training else c.post_nms_test, kept_NM.shape[1])
        logits_NP, index_NP = logits_NM.masked_fill(~kept_NM, -torch.inf).topk(most, dim=1)
        return gather_rows(boxes_NM4, index_NP), logits_NP

    def _before_nms(self, raw: RPNOutput, canvas: Size) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Per level logits (N, P), best first, deltas (N, P, 4) and anchors (N, P, 4) of the best before NMS."""
        count = self.config.pre_nms_train if self.training else self.config.pre_nms_test
        best = []
        for level, anchors_M4 in enumerate(anchors_of(self.config.anchors, raw.logits, canvas)):
            logits_NM = per_anchor(raw.logits[level], 1).squeeze(-1).float()
            logits_NP, index_NP = logits_NM.topk(torch.sym_min(count, logits_NM.shape[1]), dim=1)
            deltas_NP4 = gather_rows(per_anchor(raw.deltas[level], 4), index_NP)
            best.append((logits_NP, deltas_NP4, anchors_M4[index_NP]))
        return best
