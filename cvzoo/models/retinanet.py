"""RetinaNet: Focal Loss for Dense Object Detection (Lin et al., 1708.02002).

A feature pyramid, two small towers shared by its levels, nine anchors per cell: one tower scores every class of every
anchor, the other moves the anchor onto its object. What makes it work is the focal loss over all anchors.

Shape suffixes: N images, L levels, A anchors per cell, M anchors of all levels, K classes, G ground-truth boxes,
C channels, H W cells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from cvzoo.nn.fpn import FPN, FPNConfig
from cvzoo.nn.inference import optimise_for_inference
from cvzoo.nn.layers import Norm
from cvzoo.nn.pixels import IMAGENET, Pixels
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.nn.timm_backbone import TimmConfig
from cvzoo.nn.towers import init_normal, logit, tower
from cvzoo.ops.anchors import AnchorConfig, octave_sizes, per_anchor, pyramid_anchors
from cvzoo.ops.assigners import Match, match_boxes
from cvzoo.ops.boxes import Weights, decode_boxes
from cvzoo.ops.classes import outputs_of
from cvzoo.ops.detect import DetectConfig, detect
from cvzoo.ops.distributed import mean_over_processes, processes, sum_over_processes
from cvzoo.ops.losses import BoxLoss, box_loss, focal_loss
from cvzoo.structures import Batch, Prediction, Size, Target, size_of


@dataclass(frozen=True, kw_only=True)
class RetinaNetConfig:
    """Hyper-parameters; the defaults are detectron2's with torchvision's ResNet-50."""

    num_classes: int = 80
    """Classes the network scores."""
    backbone: ResNetConfig | TimmConfig = field(default_factory=ResNetConfig)
    """The body."""
    fpn: FPNConfig = field(default_factory=lambda: FPNConfig(extra_from="input"))
    """The pyramid, P3 to P7."""
    pixels: Pixels = IMAGENET
    """Pixel statistics of the backbone's weights."""
    anchors: AnchorConfig = field(default_factory=lambda: AnchorConfig(sizes=octave_sizes((32, 64, 128, 256, 512))))
    """Three sizes an octave, three shapes."""
    tower_convs: int = 4
    """3x3 convolutions in each tower."""
    tower_norm: Norm | None = None
    """Norm in the towers; torchvision's v2 has `group`."""
    tower_bias: bool | None = None
    """Bias of the towers' convolutions; None: where there is no norm."""
    prior: float = 0.01
    """Score every class starts from."""
    class_ids: tuple[int, ...] = ()
    """Data-set class of each output, -1 for an unused one; () when they are the same. torchvision has 91 outputs."""

    box_weights: Weights = (1.0, 1.0, 1.0, 1.0)
    """Scale of the regressed deltas."""
    clamp_shrinking: bool = False
    """Limit how far a box may shrink, not only how far it may grow (mmdetection)."""
    negative_below: float = 0.4
    """Anchors whose best IoU is lower learn background; those between the thresholds learn nothing."""
    positive_from: float = 0.5
    """Anchors with this IoU or more learn the object."""
    best_match: Literal["none", "own", "truth"] = "own"
    """See `match_boxes`."""
    skip_padding: bool = False
    """Anchors of cells beyond the image's own padded size learn nothing (mmdetection), instead of background."""
    focal_alpha: float = 0.25
    """Weight of positives."""
    focal_gamma: float = 2.0
    """How strongly well-classified anchors are discounted."""
    box_loss: BoxLoss = "smooth_l1"
    """On deltas, or on decoded boxes."""
    smooth_l1_beta: float = 0.0
    """0 is L1."""
    normaliser: Literal["moving", "image", "batch"] = "moving"
    """Losses are divided by the number of positives: its moving average (detectron2), per image and then averaged
    (torchvision), or over the batch (mmdetection)."""

    candidates: int = 1000
    """At most this many (anchor, class) pairs per level go to NMS."""
    detect: DetectConfig = field(default_factory=lambda: DetectConfig(clip_first=False))
    """Thresholds of the detections."""

    def build(self) -> RetinaNet:
        return RetinaNet(self)


class RetinaNetOutput(NamedTuple):
    """Raw outputs, level by level."""

    logits: list[Tensor]
    """L of (N, A * K, H, W), the class running fastest."""
    deltas: list[Tensor]
    """L of (N, A * 4, H, W)."""


class RetinaNetHead(nn.Module):
    """The two towers and their last convolutions, applied to each level."""

    def __init__(self, config: RetinaNetConfig) -> None:
        super().__init__()
        channels, anchors = config.fpn.channels, config.anchors.per_cell()
        self.cls_tower = tower(channels, config.tower_convs, config.tower_norm, config.tower_bias)
        self.box_tower = tower(channels, config.tower_convs, config.tower_norm, config.tower_bias)
        self.cls_out = nn.Conv2d(channels, anchors * config.num_classes, 3, padding=1)
        self.box_out = nn.Conv2d(channels, anchors * 4, 3, padding=1)
        init_normal(self)
        nn.init.constant_(self.cls_out.bias, logit(config.prior))  # type: ignore[arg-type]

    def forward(self, features: list[Tensor]) -> RetinaNetOutput:
        logits = [self.cls_out(self.cls_tower(x)) for x in features]
        deltas = [self.box_out(self.box_tower(x)) for x in features]
        return RetinaNetOutput(logits, deltas)


class RetinaNet(nn.Module):
    """The whole detector; see the model protocol in docs/models.md."""

    positives: Tensor

    def __init__(self, config: RetinaNetConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = config.backbone.build()
        self.neck = FPN(config.fpn, self.backbone.channels)
        self.head = RetinaNetHead(config)
        self.register_buffer("positives", torch.tensor(100.0))  # the moving average starts at 100, as the reference's

    def raw(self, images_N3HW: Tensor) -> RetinaNetOutput:
        """Head outputs for normalised, padded images: a pure tensor function."""
        return self.head(self.neck(self.backbone(images_N3HW)))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        images = self.config.pixels(batch.images, batch.sizes)
        return self.losses(self.raw(images), batch.targets, batch.sizes, size_of(images))

    @torch.no_grad()
    def predict(self, batch: Batch) -> list[Prediction]:
        images = self.config.pixels(batch.images, batch.sizes)
        return self.decode(self.raw(images), batch.sizes, batch.original_sizes, size_of(images))

    def for_inference(self) -> nn.Module:
        """An equal, faster model that cannot be trained."""
        return optimise_for_inference(self)

    def anchors(self, raw: RetinaNetOutput, canvas: Size) -> tuple[Tensor, ...]:
        """L of (H * W * A, 4): the anchors the raw outputs belong to."""
        grids = tuple(size_of(x) for x in raw.logits)
        return pyramid_anchors(self.config.anchors, grids, canvas, raw.logits[0].device)

    def assign(self, anchors_M4: Tensor, target: Target, valid_M: Tensor | None = None) -> Match:
        """What each anchor of one image learns."""
        c = self.config
        return match_boxes(anchors_M4, target.boxes, c.negative_below, c.positive_from, c.best_match, valid_A=valid_M)

    def valid(self, raw: RetinaNetOutput, size: Size) -> Tensor | None:
        """(M,): which anchors belong to cells of the image itself; None where all are to learn."""
        if not self.config.skip_padding:
            return None
        height, width = (side + -side % self.config.pixels.divisor for side in size)
        levels = []
        for logits, stride in zip(raw.logits, self.config.anchors.strides):
            cells = torch.zeros(*logits.shape[-2:], self.config.anchors.per_cell(), dtype=torch.bool)
            cells[: math.ceil(height / stride), : math.ceil(width / stride)] = True
            levels.append(cells.flatten())
        return torch.cat(levels).to(raw.logits[0].device)

    def losses(self, raw: RetinaNetOutput, targets: list[Target], sizes: list[Size], canvas: Size) -> dict[str, Tensor]:
        """`loss_cls` over all anchors that are not ignored, `loss_box` over the positive ones."""
        c = self.config
        anchors = self.anchors(raw, canvas)
        anchors_M4 = torch.cat(anchors)
        matches = [self.assign(anchors_M4, target, self.valid(raw, size)) for target, size in zip(targets, sizes)]
        normaliser_N = self._normalisers(torch.stack([match.positive_A.sum() for match in matches]))
        labels_NM = torch.stack(
            [match.labels(outputs_of(target.labels, c.class_ids)) for match, target in zip(matches, targets)]
        )
        levels = labels_NM.split([len(level) for level in anchors], dim=1)
        cls_N = torch.stack([self._cls_loss(x, labels) for x, labels in zip(raw.logits, levels)]).sum(dim=0)
        deltas_NM4 = torch.cat([per_anchor(x, 4) for x in raw.deltas], dim=1)
        box_N = torch.stack(
            [self._box_loss(*each, anchors_M4) for each in zip(deltas_NM4, matches, targets)]  # type: ignore[call-arg]
        )
        return {"loss_cls": (cls_N / normaliser_N).sum(), "loss_box": (box_N / normaliser_N).sum()}

    def _cls_loss(self, logits_NCHW: Tensor, labels_NM: Tensor) -> Tensor:
        """(N,): the focal loss of one level, summed over each image."""
        c = self.config
        logits_NMK = per_anchor(logits_NCHW, c.num_classes)
        loss = focal_loss(logits_NMK.flatten(0, 1), labels_NM.flatten(), c.focal_alpha, c.focal_gamma)
        return loss.view(len(labels_NM), -1).sum(dim=1)

    def _box_loss(self, deltas_M4: Tensor, match: Match, target: Target, anchors_M4: Tensor) -> Tensor:
        """The box loss of one image, summed over its positive anchors P."""
        c = self.config
        positive_P = torch.where(match.positive_A)[0]
        deltas_P4, anchors_P4 = deltas_M4[positive_P], anchors_M4[positive_P]
        truth_P4 = target.boxes[match.index_A[positive_P]]
        return box_loss(deltas_P4, anchors_P4, truth_P4, c.box_loss, c.box_weights, c.smooth_l1_beta)

    def _normalisers(self, counts_N: Tensor) -> Tensor:
        """(N,): what the loss of each image is divided by, from its number of positives."""
        if self.config.normaliser == "image":
            return counts_N.clamp(min=1) * len(counts_N)
        if self.config.normaliser == "batch":
            return mean_over_processes(counts_N.clamp(min=1).sum()).expand(len(counts_N))
        positives = sum_over_processes(counts_N.sum()).clamp(min=1)
        if self.training:
            self.positives.mul_(0.9).add_(0.1 * positives)
        # of the whole batch, so each process divides by its share; the reference averages its own process' positives
        return (self.positives / processes()).expand(len(counts_N))

    def decode(
        self, raw: RetinaNetOutput, sizes: list[Size], original_sizes: list[Size], canvas: Size
    ) -> list[Prediction]:
        """Detections of each image in original pixels."""
        anchors = self.anchors(raw, canvas)
        found = []
        for n, (size, original_size) in enumerate(zip(sizes, original_sizes)):
            levels = [
                self._candidates(logits[n], deltas[n], anchors_M4)
                for logits, deltas, anchors_M4 in zip(raw.logits, raw.deltas, anchors)
            ]
            candidates = Prediction(
                torch.cat([level.boxes for level in levels]),
                torch.cat([level.scores for level in levels]),
                torch.cat([level.labels for level in levels]),
            )
            found.append(detect(candidates, self.config.detect, size, original_size, self.config.class_ids))
        return found

    def _candidates(self, logits_CHW: Tensor, deltas_CHW: Tensor, anchors_M4: Tensor) -> Prediction:
        """The best (anchor, class) pairs of one level of one image over the score threshold."""
        c = self.config
        logits = per_anchor(logits_CHW, c.num_classes).reshape(-1)
        # sigmoid rises, so threshold and top-k on logits save it for the millions of pairs that go
        index = torch.where(logits > logit(c.detect.score_threshold))[0]
        if len(index) > c.candidates:
            index = index[logits[index].topk(c.candidates).indices]
        anchor = index // c.num_classes
        deltas_M4 = per_anchor(deltas_CHW, 4)
        boxes = decode_boxes(deltas_M4[anchor], anchors_M4[anchor], c.box_weights, c.clamp_shrinking)
        return Prediction(boxes, logits[index].float().sigmoid(), index % c.num_classes)
