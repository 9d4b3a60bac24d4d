"""FreeAnchor: Learning to Match Anchors for Visual Object Detection (Zhang et al., 1909.02466).

A network with anchors and a focal loss (1708.02002) without its matcher: every object has a bag of anchors, and the
loss is the likelihood that some anchor of the bag both classifies and localises it, while anchors that localise nothing
are background.

Shape suffixes: N images, M anchors of all levels, K classes, G ground-truth boxes of one image, T anchors in a bag,
B boxes of all images, S pairs of anchor and class that may be an object.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from cvzoo.fields import ClassId, Count, Fraction, Natural, Needs, NotNegative, Share
from cvzoo.nn.bodies import BodyConfig
from cvzoo.nn.fpn import FPNConfig
from cvzoo.nn.layers import Norm
from cvzoo.nn.pixels import IMAGENET, Pixels
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.ops.anchors import AnchorConfig, anchors_of, octave_sizes, per_anchor
from cvzoo.ops.assigners import BACKGROUND
from cvzoo.ops.boxes import Weights, decode_boxes, encode_boxes, paired_iou, pairwise_iou
from cvzoo.ops.class_ids import outputs_of
from cvzoo.ops.detect import DetectConfig
from cvzoo.ops.distributed import mean_over_processes
from cvzoo.ops.losses import focal_loss_of_levels, smooth_l1
from cvzoo.ops.transfer import numbered, rows_where
from cvzoo.parts.dense.detections import candidates_of_anchors
from cvzoo.parts.dense.detector import DenseDetector
from cvzoo.parts.dense.head import DenseHead, DenseOutput
from cvzoo.structures import AnswerKind, Boxes, Size, Target

MAX_LOSS = 100.0
"""Of one object; the reference's log ends there. Beyond it no anchor comes near the object, and none is drawn to it."""
BOXES_AT_ONCE = {"cpu": 16, "cuda": 128}
"""Each has an IoU with every anchor: so many stay in a processor's cache, or keep a GPU busy, and hundreds do not fill
its memory."""


@dataclass(frozen=True, kw_only=True)
class FreeAnchorConfig:
    """Hyper-parameters; the defaults are the authors' with torchvision's ResNet-50."""

    answer: ClassVar[AnswerKind] = "boxes"

    num_classes: Count = 80
    """Classes the network scores."""
    backbone: BodyConfig = field(default_factory=ResNetConfig)
    """The network that turns an image into feature maps, C2 to C5."""
    fpn: FPNConfig = field(default_factory=lambda: FPNConfig(extra_from="input"))
    """The pyramid, P3 to P7."""
    pixels: Pixels = IMAGENET
    """How pixels are normalised and padded; belongs to the backbone's weights."""
    anchors: AnchorConfig = field(default_factory=lambda: AnchorConfig(sizes=octave_sizes((32, 64, 128, 256, 512))))
    """The anchors of each cell, level by level."""
    tower_convs: Natural = 4
    """3x3 convolutions in each tower."""
    tower_norm: Norm | None = None
    """Norm in the towers."""
    tower_norm_groups: Annotated[Count, Needs("tower_norm=group")] = 32
    """Groups of the towers' group norms; must divide their channels."""
    prior: Fraction = 0.02
    """Score that every class starts from."""
    class_ids: tuple[ClassId, ...] = ()
    """Data-set class of each output, -1 for an unused one; () when they are the same."""

    box_weights: Weights = (10.0, 10.0, 5.0, 5.0)
    """What the regressed deltas (dx, dy, dw, dh) are multiplied by."""
    clamp_shrinking: bool = False
    """Limit how far a box may shrink, not only how far it may grow (mmdetection)."""
    bag: Count = 50
    """Anchors with the highest IoU that compete for an object."""
    localised_from: Share = 0.6
    """A predicted box with this IoU or less is no object's; from there to its best IoU the probability rises to 1."""
    smooth_l1_beta: NotNegative = 0.11
    """Where the smooth L1 loss of the boxes turns from quadratic to linear; 0 is L1."""
    box_loss_weight: NotNegative = 0.75
    """Weight of the box loss in the localisation likelihood."""
    alpha: NotNegative = 0.5
    """Weight of the bags; 1 - alpha is that of the background."""
    gamma: NotNegative = 2.0
    """How strongly well-classified background is discounted."""

    candidates: Count = 1000
    """At most this many (anchor, class) pairs per level go to NMS."""
    detect: DetectConfig = field(default_factory=lambda: DetectConfig(drop_first=True))
    """Which scored boxes become detections."""

    def build(self) -> FreeAnchor:
        return FreeAnchor(self)


class Bags(NamedTuple):
    """The anchors that compete for each of the B objects of a batch."""

    image_B1: Tensor
    label_B1: Tensor
    truth_B14: Tensor
    anchor_BT: Tensor


class Localised(NamedTuple):
    """The S pairs of anchor and class of a batch in which the predicted box is an object of the class."""

    image_S: Tensor
    anchor_S: Tensor
    label_S: Tensor
    p_S: Tensor
    """The probability that it is."""


def _logits_at(raw: DenseOutput, classes: int, image: Tensor, anchor: Tensor, label: Tensor) -> Tensor:
    """Logits of single pairs of anchor and class. The indices broadcast; anchors are counted through all levels."""
    image, anchor, label = torch.broadcast_tensors(image, anchor, label)
    found = torch.zeros(anchor.shape, dtype=raw.logits[0].dtype, device=anchor.device)
    start = 0
    for x in raw.logits:
        logits_NMK = per_anchor(x, classes)
        end = start + logits_NMK.shape[1]
        here = (anchor >= start) & (anchor < end)
        found = torch.where(here, logits_NMK[image, (anchor - start).clamp(0, end - start - 1), label], found)
        start = end
    return found


class FreeAnchor(DenseDetector[FreeAnchorConfig, DenseOutput]):
    """The whole detector; see the model protocol in docs/models.md."""

    def __init__(self, config: FreeAnchorConfig) -> None:
        super().__init__(config)
        self.head = DenseHead(
            config.fpn.channels,
            config.num_classes,
            anchors=config.anchors.per_cell(),
            convs=config.tower_convs,
            norm=config.tower_norm,
            norm_groups=config.tower_norm_groups,
            prior=config.prior,
        )

    def bags(self, anchors_M4: Tensor, targets: list[Target]) -> Bags:
        """The anchors with the highest IoU of each object."""
        size = min(self.config.bag, len(anchors_M4))
        image_B, label_B, truth_B4 = self._objects(targets)
        anchors = [anchors_M4.new_zeros(0, size).long()]
        for boxes in truth_B4.split(BOXES_AT_ONCE[truth_B4.device.type]):
            best = pairwise_iou(boxes, anchors_M4).topk(size, dim=1, sorted=False)
            anchors.append(best.indices)
        return Bags(image_B[:, None], label_B[:, None], truth_B4[:, None], torch.cat(anchors))

    def _objects(self, targets: list[Target]) -> tuple[Tensor, Tensor, Tensor]:
        """Image (B,), network output (B,) and box (B, 4) of all objects."""
        labels_B, boxes_B4 = (torch.cat([getattr(target, name) for target in targets]) for name in ("labels", "boxes"))
        image_B = numbered([len(target) for target in targets], labels_B.device)
        return image_B, outputs_of(labels_B, self.config.class_ids), boxes_B4

    @torch.no_grad()
    def localised(self, anchors_M4: Tensor, deltas_NM4: Tensor, targets: list[Target]) -> Localised:
        """Where predicted boxes meet objects (section 3.3); of several objects of a class the highest probability.

        The program waits for where they do, and for how many pairs of anchor and class there are.
        """
        c, count = self.config, len(anchors_M4)
        image_B, label_B, boxes_B4 = self._objects(targets)
        code = c.box_weights, c.clamp_shrinking
        object_M, anchor_M, top_B = self._meetings(anchors_M4, deltas_NM4, targets)
        predicted_M4 = decode_boxes(deltas_NM4[image_B[object_M], anchor_M], anchors_M4[anchor_M], *code)
        excess_M = paired_iou(boxes_B4[object_M], predicted_M4) - c.localised_from
        p_M = (excess_M / (top_B[object_M] - c.localised_from)).clamp(max=1)
        key_M = (image_B[object_M] * count + anchor_M) * c.num_classes + label_B[object_M]
        key_S, index_M = key_M.unique(return_inverse=True)
        p_S = anchors_M4.new_zeros(len(key_S)).scatter_reduce(0, index_M, p_M, "amax")
        row_S = key_S // c.num_classes
        return Localised(row_S // count, row_S % count, key_S % c.num_classes, p_S)

    def _meetings(self, anchors_M4: Tensor, deltas_NM4: Tensor, targets: list[Target]) -> tuple[Tensor, Tensor, Tensor]:
        """The pairs of object and anchor whose predicted box is the object's; and of each object the highest IoU."""
        c, masks, tops = self.config, [], [anchors_M4.new_zeros(0)]
        for deltas_M4, target in zip(deltas_NM4, targets):
            predicted_M4 = decode_boxes(deltas_M4, anchors_M4, c.box_weights, c.clamp_shrinking)
            for boxes in target.boxes.split(BOXES_AT_ONCE[deltas_M4.device.type]):
                iou_GM = pairwise_iou(boxes, predicted_M4)
                masks.append((iou_GM > c.localised_from).flatten())
                tops.append(iou_GM.amax(dim=1))
        found = [torch.zeros(0, dtype=torch.int64, device=anchors_M4.device)]
        first = 0
        for rows, mask in zip(rows_where(masks), masks):
            found.append(first * len(anchors_M4) + rows)
            first += len(mask) // len(anchors_M4)
        place = torch.cat(found)
        top_B = torch.cat(tops).clamp(min=c.localised_from + torch.finfo(anchors_M4.dtype).eps)
        return place // len(anchors_M4), place % len(anchors_M4), top_B

    def losses(self, raw: DenseOutput, targets: list[Target], sizes: list[Size], canvas: Size) -> dict[str, Tensor]:
        """`loss_bag` over the objects, `loss_background` over all pairs of anchor and class (equation 10)."""
        c = self.config
        anchors_M4 = torch.cat(anchors_of(c.anchors, raw.logits, canvas))
        deltas_NM4 = torch.cat([per_anchor(x, 4) for x in raw.deltas], dim=1)
        bag = self._bag_loss(raw, deltas_NM4, anchors_M4, self.bags(anchors_M4, targets))
        background = self._background_loss(raw, self.localised(anchors_M4, deltas_NM4, targets))
        count = mean_over_processes(anchors_M4.new_full((), sum(map(len, targets))))
        return {
            "loss_bag": c.alpha * bag / count.clamp(min=1),
            "loss_background": (1 - c.alpha) * background / (c.bag * count).clamp(min=1),
        }

    def _bag_loss(self, raw: DenseOutput, deltas_NM4: Tensor, anchors_M4: Tensor, bags: Bags) -> Tensor:
        """-log of each object's mean-max over its bag (equation 7), summed; all in the log domain."""
        c = self.config
        image_B1, label_B1, truth_B14, anchor_BT = bags
        logits_BT = _logits_at(raw, c.num_classes, image_B1, anchor_BT, label_B1).float()
        wanted_BT4 = encode_boxes(truth_B14, anchors_M4[anchor_BT], c.box_weights)
        error_BT = smooth_l1(deltas_NM4[image_B1, anchor_BT].float(), wanted_BT4, c.smooth_l1_beta).sum(dim=-1)
        log_p_BT = F.logsigmoid(logits_BT) - c.box_loss_weight * error_BT
        log_not_p_BT = (-torch.expm1(log_p_BT)).clamp(min=1e-12).log()
        # sum of w p with weights w = 1 / (1 - p), normalised
        log_mean_max_B = (log_p_BT - log_not_p_BT).logsumexp(dim=1) - (-log_not_p_BT).logsumexp(dim=1)
        return (-log_mean_max_B).clamp(max=MAX_LOSS).sum()

    def _background_loss(self, raw: DenseOutput, localised: Localised) -> Tensor:
        """Focal loss of p(class) * (1 - P(anchor is an object of the class)) as background, summed (equation 9).

        Nearly all pairs have P = 0: they go through the dense loss, and the few others are corrected.
        """
        c = self.config
        image_S, anchor_S, label_S, p_S = localised
        nothing_N1 = torch.full((len(raw.logits[0]), 1), BACKGROUND, device=p_S.device)
        anchors = sum(x[0].numel() for x in raw.logits) // c.num_classes
        dense_N = focal_loss_of_levels(raw.logits, nothing_N1.expand(-1, anchors), c.num_classes, None, c.gamma)
        x_S = _logits_at(raw, c.num_classes, image_S, anchor_S, label_S).float()
        log_not_q_S = torch.logaddexp(F.logsigmoid(-x_S), F.logsigmoid(x_S) + p_S.log())
        wanted_S = -(x_S.sigmoid() * (1 - p_S)).pow(c.gamma) * log_not_q_S
        counted_S = x_S.sigmoid().pow(c.gamma) * F.softplus(x_S)
        return dense_N.sum() + (wanted_S - counted_S).sum()

    def candidates(self, raw: DenseOutput, canvas: Size) -> Boxes:
        """Anchors that may become detections, moved."""
        return candidates_of_anchors(raw, self.config, canvas, self.config.clamp_shrinking)
