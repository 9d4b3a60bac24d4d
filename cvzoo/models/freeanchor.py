"""FreeAnchor: Learning to Match Anchors for Visual Object Detection (Zhang et al., 1909.02466).

RetinaNet's network without its matcher: every object has a bag of anchors, and the loss is the likelihood that some
anchor of the bag both classifies and localises it, while anchors that localise nothing are background.

Shape suffixes: N images, M anchors of all levels, K classes, G ground-truth boxes of one image, T anchors in a bag,
B boxes of all images, S pairs of anchor and class that may be an object.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import box_iou

from cvzoo.models.dense.decode import anchors_of, decode, moved_anchors
from cvzoo.models.dense.head import DenseHead, DenseOutput
from cvzoo.nn.fpn import FPN, FPNConfig
from cvzoo.nn.inference import optimise_for_inference
from cvzoo.nn.layers import Norm
from cvzoo.nn.pixels import IMAGENET, Pixels
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.nn.timm_backbone import TimmConfig
from cvzoo.ops.anchors import AnchorConfig, octave_sizes, per_anchor
from cvzoo.ops.assigners import BACKGROUND
from cvzoo.ops.boxes import Weights, decode_boxes, encode_boxes
from cvzoo.ops.classes import outputs_of
from cvzoo.ops.detect import DetectConfig
from cvzoo.ops.distributed import mean_over_processes
from cvzoo.ops.losses import focal_loss_of_levels, smooth_l1
from cvzoo.structures import Batch, Prediction, Size, Target, size_of

MAX_LOSS = 100.0
"""Of one object; the reference's log ends there. Beyond it no anchor comes near the object, and none is drawn to it."""
BOXES_AT_ONCE = 64
"""Of an image with hundreds of boxes; each has an IoU with every anchor."""


@dataclass(frozen=True, kw_only=True)
class FreeAnchorConfig:
    """Hyper-parameters; the defaults are the authors' with torchvision's ResNet-50."""

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
    """Norm in the towers."""
    prior: float = 0.02
    """Score every class starts from."""
    class_ids: tuple[int, ...] = ()
    """Data-set class of each output, -1 for an unused one; () when they are the same."""

    box_weights: Weights = (10.0, 10.0, 5.0, 5.0)
    """Scale of the regressed deltas."""
    clamp_shrinking: bool = False
    """Limit how far a box may shrink, not only how far it may grow (mmdetection)."""
    bag: int = 50
    """Anchors with the highest IoU that compete for an object."""
    localised_from: float = 0.6
    """A predicted box with this IoU or less is no object's; from there to its best IoU the probability rises to 1."""
    smooth_l1_beta: float = 0.11
    """Of the localisation likelihood."""
    box_loss_weight: float = 0.75
    """How steeply that likelihood falls with the error."""
    alpha: float = 0.5
    """Weight of the bags; 1 - alpha is that of the background."""
    gamma: float = 2.0
    """How strongly well-classified background is discounted."""

    candidates: int = 1000
    """At most this many (anchor, class) pairs per level go to NMS."""
    detect: DetectConfig = field(default_factory=lambda: DetectConfig(drop_first=True))
    """Thresholds of the detections."""

    def build(self) -> FreeAnchor:
        return FreeAnchor(self)


def _logits_at(raw: DenseOutput, classes: int, image: Tensor, anchor: Tensor, label: Tensor) -> Tensor:
    """Logits of single pairs of anchor and class. The indices broadcast; anchors are counted through all levels."""
    image, anchor, label = torch.broadcast_tensors(image, anchor, label)
    found, start = torch.zeros(anchor.shape, dtype=raw.logits[0].dtype, device=anchor.device), 0
    for x in raw.logits:
        logits_NMK = per_anchor(x, classes)
        here = torch.where((anchor >= start) & (anchor < start + logits_NMK.shape[1]))
        found = found.index_put(here, logits_NMK[image[here], anchor[here] - start, label[here]])
        start += logits_NMK.shape[1]
    return found


class FreeAnchor(nn.Module):
    """The whole detector; see the model protocol in docs/models.md."""

    def __init__(self, config: FreeAnchorConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = config.backbone.build()
        self.neck = FPN(config.fpn, self.backbone.channels)
        self.head = DenseHead(
            config.fpn.channels,
            config.num_classes,
            anchors=config.anchors.per_cell(),
            convs=config.tower_convs,
            norm=config.tower_norm,
            prior=config.prior,
        )

    def raw(self, images_N3HW: Tensor) -> DenseOutput:
        """Head outputs for normalised, padded images: a pure tensor function."""
        return self.head(self.neck(self.backbone(images_N3HW)))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        images = self.config.pixels(batch.images, batch.sizes)
        return self.losses(self.raw(images), batch.targets, size_of(images))

    @torch.no_grad()
    def predict(self, batch: Batch) -> list[Prediction]:
        images = self.config.pixels(batch.images, batch.sizes)
        return self.decode(self.raw(images), batch.sizes, batch.original_sizes, size_of(images))

    def for_inference(self) -> nn.Module:
        """An equal, faster model that cannot be trained."""
        return optimise_for_inference(self)

    def bags(self, anchors_M4: Tensor, truth_G4: Tensor) -> Tensor:
        """(G, T): the anchors that compete for each object of one image."""
        parts = truth_G4.split(BOXES_AT_ONCE)
        bags = [box_iou(part, anchors_M4).topk(self.config.bag, dim=1, sorted=False).indices for part in parts]
        return torch.cat(bags)

    def losses(self, raw: DenseOutput, targets: list[Target], canvas: Size) -> dict[str, Tensor]:
        """`loss_bag` over the objects, `loss_background` over all pairs of anchor and class (equation 10)."""
        c = self.config
        anchors_M4 = torch.cat(anchors_of(c.anchors, raw.logits, canvas))
        labels = [outputs_of(target.labels, c.class_ids) for target in targets]
        deltas_NM4 = torch.cat([per_anchor(x, 4) for x in raw.deltas], dim=1)
        bag = self._bag_loss(raw, deltas_NM4, anchors_M4, targets, labels)
        background = self._background_loss(raw, deltas_NM4, anchors_M4, targets, labels)
        objects = torch.tensor(float(sum(map(len, targets))), device=anchors_M4.device)
        count = mean_over_processes(objects)
        return {
            "loss_bag": c.alpha * bag / count.clamp(min=1),
            "loss_background": (1 - c.alpha) * background / (c.bag * count).clamp(min=1),
        }

    def _bag_loss(
        self,
        raw: DenseOutput,
        deltas_NM4: Tensor,
        anchors_M4: Tensor,
        targets: list[Target],
        labels: list[Tensor],
    ) -> Tensor:
        """-log of each object's mean-max over its bag (equation 7), summed; all in the log domain."""
        c = self.config
        image_B = torch.cat([torch.full_like(label, n) for n, label in enumerate(labels)])
        truth_B4 = torch.cat([target.boxes for target in targets])
        bags = [self.bags(anchors_M4, target.boxes) for target in targets if len(target)]
        bag_BT = torch.cat(bags) if bags else image_B[:, None]
        logits_BT = _logits_at(raw, c.num_classes, image_B[:, None], bag_BT, torch.cat(labels)[:, None])
        wanted_BT4 = encode_boxes(truth_B4[:, None], anchors_M4[bag_BT], c.box_weights)
        error_BT = smooth_l1(deltas_NM4[image_B[:, None], bag_BT].float(), wanted_BT4, c.smooth_l1_beta).sum(dim=-1)
        log_p_BT = F.logsigmoid(logits_BT.float()) - c.box_loss_weight * error_BT
        log_not_p_BT = (-torch.expm1(log_p_BT)).clamp(min=1e-12).log()
        # sum of w p with weights w = 1 / (1 - p), normalised
        log_mean_max_B = (log_p_BT - log_not_p_BT).logsumexp(dim=1) - (-log_not_p_BT).logsumexp(dim=1)
        return (-log_mean_max_B).clamp(max=MAX_LOSS).sum()

    def _background_loss(
        self,
        raw: DenseOutput,
        deltas_NM4: Tensor,
        anchors_M4: Tensor,
        targets: list[Target],
        labels: list[Tensor],
    ) -> Tensor:
        """Focal loss of p(class) * (1 - P(anchor is positive for the class)) as background, summed (equation 9).

        Nearly all pairs have P = 0: they go through the dense loss, and the few others are corrected.
        """
        c = self.config
        nothing_NM = torch.full(deltas_NM4.shape[:2], BACKGROUND, device=anchors_M4.device)
        dense = focal_loss_of_levels(raw.logits, nothing_NM, c.num_classes, None, c.gamma).sum()
        found = [
            self._localised(deltas_M4, anchors_M4, target.boxes, label, n)
            for n, (deltas_M4, target, label) in enumerate(zip(deltas_NM4.detach(), targets, labels))
        ]
        image_S, anchor_S, label_S, p_S = (torch.cat(column) for column in zip(*found))
        x_S = _logits_at(raw, c.num_classes, image_S, anchor_S, label_S).float()
        log_not_q_S = torch.logaddexp(F.logsigmoid(-x_S), F.logsigmoid(x_S) + p_S.log())
        wanted = -(x_S.sigmoid() * (1 - p_S)).pow(c.gamma) * log_not_q_S
        counted = x_S.sigmoid().pow(c.gamma) * F.softplus(x_S)
        return dense + (wanted - counted).sum()

    @torch.no_grad()
    def _localised(
        self, deltas_M4: Tensor, anchors_M4: Tensor, truth_G4: Tensor, labels_G: Tensor, image: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Image, anchor, class and probability (S,) of the pairs whose predicted box is an object's (section 3.3)."""
        c = self.config
        boxes_M4 = decode_boxes(deltas_M4, anchors_M4, c.box_weights, c.clamp_shrinking)
        box, anchor, probability = [], [], []
        for start in range(0, len(truth_G4), BOXES_AT_ONCE):
            iou_GM = box_iou(truth_G4[start : start + BOXES_AT_ONCE], boxes_M4)
            low = c.localised_from
            high_G1 = iou_GM.amax(dim=1, keepdim=True).clamp(min=low + torch.finfo(iou_GM.dtype).eps)
            row, column = torch.where(iou_GM > low)
            box.append(start + row)
            anchor.append(column)
            probability.append(((iou_GM[row, column] - low) / (high_G1[row, 0] - low)).clamp(max=1))
        if not box:
            none = labels_G[:0]
            return none, none, none, boxes_M4[:0, 0]
        pair = torch.cat(anchor) * c.num_classes + labels_G[torch.cat(box)]
        pair_S, index = pair.unique(return_inverse=True)
        p_S = boxes_M4.new_zeros(len(pair_S)).scatter_reduce(0, index, torch.cat(probability), "amax")
        return torch.full_like(pair_S, image), pair_S // c.num_classes, pair_S % c.num_classes, p_S

    def decode(self, raw: DenseOutput, sizes: list[Size], original_sizes: list[Size], canvas: Size) -> list[Prediction]:
        """Detections of each image in original pixels."""
        c = self.config
        anchors = anchors_of(c.anchors, raw.logits, canvas)
        boxes_at = moved_anchors(raw.deltas, anchors, c.box_weights, c.clamp_shrinking)
        return decode(raw.logits, raw.centreness, boxes_at, c, sizes, original_sizes)
