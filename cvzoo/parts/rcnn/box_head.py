"""The second stage of a two-stage detector: classify each proposal and refine its box (1504.08083, 1612.03144).

Shape suffixes: R proposals of all images, F foreground proposals, K classes (background is output K), C channels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate
from typing import Annotated, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cvzoo.fields import Count, Natural, Needs, NotNegative, Share
from cvzoo.nn.layers import Norm
from cvzoo.nn.roi_pool import RoIPoolConfig, flat
from cvzoo.nn.towers import tower
from cvzoo.ops.assigners import Match, match_iou
from cvzoo.ops.boxes import Weights, decode_boxes, pairwise_iou
from cvzoo.ops.class_ids import outputs_of
from cvzoo.ops.detect import DetectConfig, suppress
from cvzoo.ops.distributed import mean_over_processes
from cvzoo.ops.losses import BoxLoss, box_loss
from cvzoo.ops.sampling import sample_balanced
from cvzoo.ops.transfer import on_device, rows_where
from cvzoo.structures import Batch, Boxes, Prediction, Size, Target


@dataclass(frozen=True, kw_only=True)
class BoxHeadConfig:
    """Hyper-parameters of the box stage; the defaults are detectron2's."""

    pool: RoIPoolConfig = field(default_factory=RoIPoolConfig)
    """How the features of a proposal are sampled for the box head."""
    convs: Natural = 0
    """3x3 convolutions on the pooled features of the box head (torchvision's v2 has 4)."""
    conv_norm: Annotated[Norm | None, Needs("convs")] = None
    """Norm of the box head's convolutions."""
    conv_norm_groups: Annotated[Count, Needs("conv_norm=group")] = 32
    """Groups of the group norms of the box head's convolutions; must divide the channels of the pooled features."""
    fcs: Natural = 2
    """Hidden linear layers of the box head; without any (C4) the features of a region are averaged."""
    fc_channels: Count = 1024
    """Channels of the box head's hidden linear layers."""
    class_agnostic: bool = False
    """One box per proposal instead of one per class."""
    box_weights: Weights = (10.0, 10.0, 5.0, 5.0)
    """What the box head's deltas (dx, dy, dw, dh) are multiplied by when they are regressed."""
    clamp_shrinking: bool = False
    """Limit how far a box may shrink from its proposal, not only how far it may grow (mmdetection)."""
    positive_from: Share = 0.5
    """Proposals with this IoU or more are foreground, all others background."""
    best_match: Literal["none", "truth"] = "none"
    """Whose a proposal is that overlaps several objects: that of the one it overlaps most (`none`), or of one that no
    proposal overlaps more (`truth`: mmdetection with masks)."""
    samples: Count = 512
    """Proposals per image that the box head is trained on."""
    positive_fraction: Share = 0.25
    """At most this share of the proposals that are trained on is foreground."""
    append_truth: bool = True
    """Add the ground-truth boxes to the proposals in training."""
    box_loss: BoxLoss = "smooth_l1"
    """Loss of the boxes: smooth L1 on deltas, or GIoU on decoded boxes."""
    smooth_l1_beta: Annotated[NotNegative, Needs("box_loss=smooth_l1")] = 0.0
    """Where the smooth L1 loss of the boxes turns from quadratic to linear; 0 is L1."""
    box_loss_weight: NotNegative = 1.0
    """Weight of the box head's loss of boxes."""
    detect: DetectConfig = field(default_factory=DetectConfig)
    """Which scored boxes become detections."""


class Sampled(NamedTuple):
    """The proposals of one image that are trained on."""

    boxes_R4: Tensor
    labels_R: Tensor
    """Network output each should score; K for background."""
    foreground_F: Tensor
    """Indices of the proposals on an object."""
    index_F: Tensor
    """Which of the image's objects each is on."""
    truth_F4: Tensor
    """Its ground-truth box."""
    is_truth_R: Tensor
    """Ground-truth boxes that were added to the proposals."""


def foreground_of(sampled: list[Sampled]) -> Tensor:
    """(F,): the proposals on an object, among those of all images."""
    first = [0, *accumulate(len(s.labels_R) for s in sampled[:-1])]
    return torch.cat([s.foreground_F + start for s, start in zip(sampled, first)])


class BoxOutput(NamedTuple):
    """Raw outputs for the proposals of all images."""

    logits: Tensor
    """(R, K + 1), background last."""
    deltas: Tensor
    """(R, K * 4), or (R, 4) when class-agnostic."""

    def scores(self) -> Tensor:
        """(R, K) probabilities of the classes."""
        return class_probabilities(self.logits)


def class_probabilities(logits_RL: Tensor) -> Tensor:
    """(R, K) probabilities of the classes, from logits whose last one (L = K + 1) is the background's."""
    return logits_RL.float().softmax(dim=1)[:, :-1]


class BoxHead(nn.Module):
    """Pooled features to class scores and boxes."""

    def __init__(self, config: BoxHeadConfig, channels: int, num_classes: int) -> None:
        super().__init__()
        self.config, self.num_classes = config, num_classes
        self.convs = tower(channels, config.convs, config.conv_norm, norm_groups=config.conv_norm_groups)
        self.fcs = nn.ModuleList()
        features = channels * config.pool.size**2 if config.fcs else channels
        for _ in range(config.fcs):
            self.fcs.append(nn.Linear(features, config.fc_channels))
            features = config.fc_channels
        self.cls_out = nn.Linear(features, num_classes + 1)
        self.box_out = nn.Linear(features, 4 * (1 if config.class_agnostic else num_classes))
        self._initialise()

    def _initialise(self) -> None:
        for fc in self.fcs:
            nn.init.kaiming_uniform_(fc.get_parameter("weight"), a=1)
            nn.init.zeros_(fc.get_parameter("bias"))
        for layer, std in ((self.cls_out, 0.01), (self.box_out, 0.001)):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)

    def forward(self, pooled_RCHW: Tensor) -> BoxOutput:
        x = self.convs(pooled_RCHW)
        x = x.flatten(1) if len(self.fcs) else x.mean(dim=(2, 3))
        for fc in self.fcs:
            x = F.relu(fc(x), inplace=True)
        return BoxOutput(self.cls_out(x), self.box_out(x))

    @torch.no_grad()
    def sample(self, proposals: list[Tensor], batch: Batch, class_ids: tuple[int, ...]) -> list[Sampled]:
        """Label the proposals of each image by IoU and draw those to train on. A row of NaN is no proposal."""
        c = self.config
        boxes, matches = proposals, self._matches(proposals, batch.targets)
        if c.append_truth:
            truths = [target.boxes for target in batch.targets]
            boxes = [torch.cat(pair) for pair in zip(proposals, truths)]
            matches = [match.joined(own) for match, own in zip(matches, self._matches(truths, batch.targets))]
        chosen = sample_balanced(matches, batch.image_ids, c.samples, c.positive_fraction)
        sampled = []
        for n, (positive_F, negative) in enumerate(chosen):
            rows_R = torch.cat([positive_F, negative])
            foreground_F = torch.arange(len(positive_F), device=rows_R.device)
            match, is_truth_R = matches[n].rows(rows_R), rows_R >= len(proposals[n])
            image = boxes[n][rows_R], match, foreground_F, batch.targets[n]
            sampled.append(self._labelled(*image, class_ids, is_truth_R))
        return sampled

    @torch.no_grad()
    def label(self, proposals: list[Tensor], batch: Batch, class_ids: tuple[int, ...]) -> list[Sampled]:
        """Label the proposals of each image and train on all of them, as the later stages of a cascade do.

        A row of NaN is no proposal.
        """
        matches = self._matches(proposals, batch.targets)
        valid = [_is_box(boxes_A4) for boxes_A4 in proposals]
        rows = rows_where([*valid, *(match.positive_A for match in matches)])
        labelled = []
        for n, (rows_R, foreground) in enumerate(zip(rows[: len(valid)], rows[len(valid) :])):
            foreground_F = (valid[n].cumsum(0) - 1)[foreground]  # among the rows that are left
            image = proposals[n][rows_R], matches[n].rows(rows_R), foreground_F, batch.targets[n]
            labelled.append(self._labelled(*image, class_ids, torch.zeros_like(rows_R, dtype=torch.bool)))
        return labelled

    def _matches(self, boxes: list[Tensor], targets: list[Target]) -> list[Match]:
        """Whose object each box is, image by image; all at once, as if the objects of other images were far away."""
        threshold, counts = self.config.positive_from, [len(own) for own in boxes]
        boxes_A4, (truth_G4, image_G) = torch.cat(boxes), flat([target.boxes for target in targets])
        first_N = [0, *accumulate(len(target) for target in targets[:-1])]
        image_A, first_A = on_device(np.repeat([range(len(boxes)), first_N], counts, axis=1), boxes_A4.device)
        valid_A = _is_box(boxes_A4)
        apart_GA = (image_G[:, None] != image_A) | ~valid_A
        iou_GA = pairwise_iou(truth_G4, boxes_A4).masked_fill(apart_GA, -1)
        match = match_iou(iou_GA, threshold, threshold, self.config.best_match, threshold)
        columns = match.index_A - first_A, match.positive_A, match.negative_A & valid_A
        return [Match(*of_image) for of_image in zip(*(column.split(counts) for column in columns))]

    def _labelled(
        self,
        boxes_R4: Tensor,
        match: Match,
        foreground_F: Tensor,
        target: Target,
        class_ids: tuple[int, ...],
        is_truth_R: Tensor,
    ) -> Sampled:
        index_F = match.index_A[foreground_F]
        labels_R = torch.full_like(match.index_A, self.num_classes)
        labels_R[foreground_F] = outputs_of(target.labels, class_ids)[index_F]
        return Sampled(boxes_R4, labels_R, foreground_F, index_F, target.boxes[index_F], is_truth_R)

    def losses(self, raw: BoxOutput, sampled: list[Sampled]) -> dict[str, Tensor]:
        """`loss_cls` over all sampled proposals, `loss_box` over the foreground; both divided by the number sampled."""
        c = self.config
        labels_R = torch.cat([s.labels_R for s in sampled])
        proposals_R4 = torch.cat([s.boxes_R4 for s in sampled])
        truth_F4 = torch.cat([s.truth_F4 for s in sampled])
        normaliser = mean_over_processes(proposals_R4.new_full((), max(len(labels_R), 1)))
        foreground_F = foreground_of(sampled)
        deltas_F4 = self._deltas_of(raw.deltas[foreground_F], labels_R[foreground_F])
        proposals_F4 = proposals_R4[foreground_F]
        cls = F.cross_entropy(raw.logits.float(), labels_R, reduction="sum")
        box = box_loss(deltas_F4, proposals_F4, truth_F4, c.box_loss, c.box_weights, c.smooth_l1_beta).sum()
        return {"loss_cls": cls / normaliser, "loss_box": c.box_loss_weight * box / normaliser}

    def _deltas_of(self, deltas: Tensor, labels: Tensor) -> Tensor:
        """(F, 4): of each row the deltas of its class."""
        if self.config.class_agnostic:
            return deltas
        per_class = deltas.unflatten(1, (self.num_classes, 4))
        return per_class[torch.arange(len(labels), device=labels.device), labels]

    @torch.no_grad()
    def refine(self, deltas_R4: Tensor, boxes_R4: Tensor, limits_R4: Tensor) -> Tensor:
        """(R, 4): the boxes of a class-agnostic head, within the limits of their images.

        It is what the next stage of a cascade starts from.
        """
        assert self.config.class_agnostic
        decoded_R4 = decode_boxes(deltas_R4, boxes_R4, self.config.box_weights, self.config.clamp_shrinking)
        return decoded_R4.clamp(min=0).minimum(limits_R4)

    def candidates(self, scores_RK: Tensor, deltas: Tensor, boxes_NP4: Tensor) -> Boxes:
        """All pairs of a proposal and a class (N, P * K) of a batch, in network pixels, labelled by network output.

        The score of those that are under the threshold is 0: none.
        """
        c, (images, proposals) = self.config, boxes_NP4.shape[:2]
        scores_RK = scores_RK * (scores_RK > c.detect.score_threshold)
        deltas_NPK4 = deltas.view(images, proposals, -1, 4)
        boxes_NPK4 = decode_boxes(deltas_NPK4, boxes_NP4.unsqueeze(2), c.box_weights, c.clamp_shrinking)
        boxes_NPK4 = boxes_NPK4.expand(-1, -1, self.num_classes, -1)
        labels_K = torch.arange(self.num_classes, device=deltas.device)
        labels_NM = labels_K.repeat(images, proposals)
        return Boxes(boxes_NPK4.flatten(1, 2), scores_RK.view(images, -1), labels_NM)

    def decode(self, scores_RK: Tensor, deltas: Tensor, proposals: list[Tensor], sizes: list[Size]) -> list[Prediction]:
        """The detections of each image in network pixels, labelled by network output."""
        c = self.config
        found = []
        counts = [len(p) for p in proposals]
        for scores, moves, boxes, size in zip(scores_RK.split(counts), deltas.split(counts), proposals, sizes):
            row, label = torch.where(scores > c.detect.score_threshold)
            decoded = decode_boxes(self._deltas_of(moves[row], label), boxes[row], c.box_weights, c.clamp_shrinking)
            found.append(suppress(Prediction(decoded, scores[row, label], label), c.detect, size))
        return found


def _is_box(boxes_A4: Tensor) -> Tensor:
    """(A,) bool: rows that hold no NaN."""
    return ~boxes_A4.isnan().any(dim=1)
