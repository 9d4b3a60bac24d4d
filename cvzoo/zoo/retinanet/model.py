"""RetinaNet: Focal Loss for Dense Object Detection (Lin et al., 1708.02002).

A feature pyramid, two small towers shared by its levels, nine anchors per cell: one tower scores every class of every
anchor, the other moves the anchor onto its object. What makes it work is the focal loss over all anchors.

Shape suffixes: N images, L levels, A anchors per cell, M anchors of all levels, P positive anchors of all
images, K classes, H W cells.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from cvzoo.fields import ClassId, Count, Fraction, Natural, Needs, NotNegative, Share
from cvzoo.nn.bodies import BodyConfig
from cvzoo.nn.fpn import FPNConfig
from cvzoo.nn.layers import Norm
from cvzoo.nn.pixels import IMAGENET, Pixels
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.ops.anchors import AnchorConfig, anchors_of, octave_sizes, per_anchor
from cvzoo.ops.assigners import Match, match_boxes, targets_of_batch
from cvzoo.ops.boxes import Weights
from cvzoo.ops.detect import DetectConfig
from cvzoo.ops.distributed import mean_over_processes, moving_count
from cvzoo.ops.losses import BoxLoss, box_loss, focal_loss_of_levels
from cvzoo.ops.points import cells_of_image
from cvzoo.parts.dense.detections import candidates_of_anchors
from cvzoo.parts.dense.detector import DenseDetector
from cvzoo.parts.dense.head import DenseHead, DenseOutput
from cvzoo.structures import AnswerKind, Boxes, Size, Target, size_of


@dataclass(frozen=True, kw_only=True)
class RetinaNetConfig:
    """Hyper-parameters; the defaults are detectron2's with torchvision's ResNet-50."""

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
    """Norm in the towers; torchvision's v2 has `group`."""
    tower_norm_groups: Annotated[Count, Needs("tower_norm=group")] = 32
    """Groups of the towers' group norms; must divide their channels."""
    tower_bias: bool | None = None
    """Bias of the towers' convolutions; None: where there is no norm."""
    prior: Fraction = 0.01
    """Score that every class starts from."""
    class_ids: tuple[ClassId, ...] = ()
    """Data-set class of each output, -1 for an unused one; () when they are the same. torchvision has 91 outputs."""

    box_weights: Weights = (1.0, 1.0, 1.0, 1.0)
    """What the regressed deltas (dx, dy, dw, dh) are multiplied by."""
    clamp_shrinking: bool = False
    """Limit how far a box may shrink, not only how far it may grow (mmdetection)."""
    negative_below: Share = 0.4
    """Anchors whose best IoU is lower learn background; those between the thresholds learn nothing."""
    positive_from: Share = 0.5
    """Anchors with this IoU or more learn the object."""
    best_match: Literal["none", "own", "truth"] = "own"
    """Whether anchors under the threshold that reach an object's best IoU are positive: no (`none`), for their `own`
    best object (torchvision, detectron2), or for that object, the `truth` (mmdetection)."""
    skip_padding: bool = False
    """Anchors of cells beyond the image's own padded size learn nothing (mmdetection), instead of background."""
    focal_alpha: NotNegative = 0.25
    """Weight of positives in the focal loss; negatives have 1 minus that."""
    focal_gamma: NotNegative = 2.0
    """How strongly well-classified anchors are discounted."""
    box_loss: BoxLoss = "smooth_l1"
    """Smooth L1 loss on deltas, or a loss on decoded boxes."""
    smooth_l1_beta: Annotated[NotNegative, Needs("box_loss=smooth_l1")] = 0.0
    """Where the smooth L1 loss of the boxes turns from quadratic to linear; 0 is L1."""
    normaliser: Literal["moving", "image", "batch"] = "moving"
    """Losses are divided by the number of positives: its moving average (detectron2), per image and then averaged
    (torchvision), or over the batch (mmdetection)."""

    candidates: Count = 1000
    """At most this many (anchor, class) pairs per level go to NMS."""
    detect: DetectConfig = field(default_factory=lambda: DetectConfig(clip_first=False))
    """Which scored boxes become detections."""

    def build(self) -> RetinaNet:
        return RetinaNet(self)


class RetinaNet(DenseDetector[RetinaNetConfig, DenseOutput]):
    """The whole detector; see the model protocol in docs/models.md."""

    positives: Tensor

    def __init__(self, config: RetinaNetConfig) -> None:
        super().__init__(config)
        self.head = DenseHead(
            config.fpn.channels,
            config.num_classes,
            anchors=config.anchors.per_cell(),
            convs=config.tower_convs,
            norm=config.tower_norm,
            norm_groups=config.tower_norm_groups,
            bias=config.tower_bias,
            prior=config.prior,
        )
        self.register_buffer("positives", torch.tensor(100.0))  # the moving average starts at 100, as the reference's

    def matches(self, raw: DenseOutput, targets: list[Target], sizes: list[Size], canvas: Size) -> list[Match]:
        """What each anchor of each image learns."""
        c = self.config
        anchors_M4 = torch.cat(anchors_of(self.config.anchors, raw.logits, canvas))
        rule = c.negative_below, c.positive_from, c.best_match
        if not c.skip_padding:
            return [match_boxes(anchors_M4, target.boxes, *rule) for target in targets]
        grids = tuple(size_of(x) for x in raw.logits)
        cells = c.pixels.divisor, c.anchors.per_cell(), anchors_M4.device
        valid = [cells_of_image(c.anchors.strides, grids, size, *cells) for size in sizes]
        return [match_boxes(anchors_M4, target.boxes, *rule, valid_A=own) for target, own in zip(targets, valid)]

    def losses(self, raw: DenseOutput, targets: list[Target], sizes: list[Size], canvas: Size) -> dict[str, Tensor]:
        """`loss_cls` over all anchors that are not ignored, `loss_box` over the positive ones."""
        c = self.config
        anchors_M4 = torch.cat(anchors_of(c.anchors, raw.logits, canvas))
        matches = self.matches(raw, targets, sizes, canvas)
        labels_NM, image_P, anchor_P, truth_P4 = targets_of_batch(matches, targets, c.class_ids)
        normaliser_N = self._normalisers(torch.stack([match.positive_A.sum() for match in matches]))
        cls_N = focal_loss_of_levels(raw.logits, labels_NM, c.num_classes, c.focal_alpha, c.focal_gamma)
        deltas_P4 = torch.cat([per_anchor(x, 4) for x in raw.deltas], dim=1)[image_P, anchor_P]
        code = c.box_loss, c.box_weights, c.smooth_l1_beta
        box_P = box_loss(deltas_P4, anchors_M4[anchor_P], truth_P4, *code)
        return {"loss_cls": (cls_N / normaliser_N).sum(), "loss_box": (box_P / normaliser_N[image_P]).sum()}

    def _normalisers(self, counts_N: Tensor) -> Tensor:
        """(N,): what the loss of each image is divided by, from its number of positives."""
        if self.config.normaliser == "image":
            return counts_N.clamp(min=1) * len(counts_N)
        if self.config.normaliser == "batch":
            return mean_over_processes(counts_N.clamp(min=1).sum()).expand(len(counts_N))
        return moving_count(self.positives, counts_N.sum(), update=self.training).expand(len(counts_N))

    def candidates(self, raw: DenseOutput, canvas: Size) -> Boxes:
        """Anchors that may become detections, moved."""
        return candidates_of_anchors(raw, self.config, canvas, self.config.clamp_shrinking)
