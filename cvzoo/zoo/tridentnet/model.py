"""TridentNet (Li et al., 1901.01892), the fast variant: an R-CNN on C4 that looks at three scales at once.

The blocks of C4 run three times with the same weights, their 3x3 convolutions spread by 1, 2 and 3: each branch sees
an image at its own scale. In training every branch learns all objects, as if the batch held each image three times; in
inference the middle branch alone is nearly as good as all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from cvzoo.fields import ClassId, Count
from cvzoo.nn.pixels import Pixels
from cvzoo.nn.resnet import ResNet, ResNetConfig
from cvzoo.ops.detect import suppress, suppress_batch
from cvzoo.parts.rcnn.box_head import BoxHead, BoxHeadConfig
from cvzoo.parts.rcnn.c4 import C4_BOX_HEAD, C4_PIXELS, C4_RPN
from cvzoo.parts.rcnn.detector import TwoStage
from cvzoo.parts.rcnn.rpn import RPNConfig
from cvzoo.structures import AnswerKind, Batch, Boxes, Prediction, Size, size_of


@dataclass(frozen=True, kw_only=True)
class TridentNetConfig:
    """Hyper-parameters; the defaults are detectron2's with torchvision's ResNet-50."""

    answer: ClassVar[AnswerKind] = "boxes"

    num_classes: Count = 80
    """Classes without the background."""
    backbone: ResNetConfig = field(default_factory=ResNetConfig)
    """The network that turns an image into C4; must have bottlenecks."""
    dilations: tuple[Count, ...] = (1, 2, 3)
    """Dilation of the 3x3 convolutions of each branch."""
    all_branches: bool = False
    """Infer with all branches (three times the cost) instead of the middle one."""
    pixels: Pixels = C4_PIXELS
    """How pixels are normalised and padded; belongs to the backbone's weights."""
    rpn: RPNConfig = field(default_factory=lambda: replace(C4_RPN, post_nms_train=500))
    """First stage: proposals; the same for all branches."""
    box_head: BoxHeadConfig = field(
        default_factory=lambda: replace(C4_BOX_HEAD, samples=128, positive_fraction=0.5, append_truth=False)
    )
    """Second stage, the same for all branches."""
    class_ids: tuple[ClassId, ...] = ()
    """Data-set class of each output, -1 for an unused one; () when they are the same."""

    def __post_init__(self) -> None:
        if not self.backbone.bottleneck:
            depth = self.backbone.depth
            raise ValueError(f"model.backbone.depth {depth} has no bottlenecks, which branch; take 50 or more")
        if not self.dilations:
            raise ValueError("model.dilations must hold one branch at least")

    def build(self) -> TridentNet:
        return TridentNet(self)


class TridentNet(TwoStage[TridentNetConfig]):
    """The whole detector; see the model protocol in docs/models.md."""

    def __init__(self, config: TridentNetConfig) -> None:
        super().__init__(config, ResNet(config.backbone, stages=2), None)
        self.box_head = BoxHead(config.box_head, self.region_channels, config.num_classes)

    def dilations(self) -> tuple[int, ...]:
        """Of the branches that run."""
        every = self.config.dilations
        return every if self.training or self.config.all_branches else (every[len(every) // 2],)

    def maps(self, images_N3HW: Tensor) -> list[Tensor]:
        """[C4] of normalised, padded images, branch by branch: (B * N, C, H, W)."""
        assert isinstance(self.backbone, ResNet)
        c3 = self.backbone(images_N3HW)[-1]
        branches = []
        for dilation in self.dilations():
            x = c3
            for block in self.backbone.layer3:
                x = block(x, dilation)
            branches.append(x)
        return [torch.cat(branches)]

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        images = self.config.pixels(batch.images, batch.sizes)
        maps = self.maps(images)
        canvas = size_of(images)
        batch = _repeated(batch, len(self.dilations()))
        proposals = self.rpn.proposals(maps, batch.sizes, canvas)
        sampled = self.box_head.sample(proposals, batch, self.config.class_ids)
        outputs = self.box_head(self.regions(maps, [s.boxes_R4 for s in sampled], self.config.box_head.pool))
        return self.rpn.losses(maps, batch, canvas) | self.box_head.losses(outputs, sampled)

    @torch.no_grad()
    def detections(self, batch: Batch) -> tuple[list[Prediction], list[Tensor]]:
        """In network pixels, labelled by network output, merged over the branches; and the maps."""
        images = self.config.pixels(batch.images, batch.sizes)
        maps = self.maps(images)
        branches = len(self.dilations())
        sizes = batch.sizes * branches
        proposals = self.rpn.proposals(maps, sizes, size_of(images))
        outputs = self.box_head(self.regions(maps, proposals, self.config.box_head.pool))
        found = self.box_head.decode(outputs.scores(), outputs.deltas, proposals, sizes)
        if branches == 1:
            return found, maps
        of_images = [found[n :: len(batch)] for n in range(len(batch))]
        detect = self.config.box_head.detect
        return [suppress(_joined(f), detect, size) for f, size in zip(of_images, batch.sizes)], maps

    def found(
        self, maps: list[Tensor], sizes_N2: Tensor, canvas: Size, class_ids: tuple[int, ...]
    ) -> tuple[Boxes, Tensor]:
        branches = len(self.dilations())
        if branches == 1:
            return super().found(maps, sizes_N2, canvas, class_ids)
        found, _ = super().found(maps, sizes_N2.repeat(branches, 1), canvas, ())
        of_images = Boxes(*(x.unflatten(0, (branches, -1)).transpose(0, 1).flatten(1, 2) for x in found))
        return suppress_batch(of_images, self.config.box_head.detect, sizes_N2, class_ids)


def _repeated(batch: Batch, branches: int) -> Batch:
    """The batch as the branches see it: all images once per branch, with random choices of their own."""
    return Batch(
        images=batch.images,
        sizes=batch.sizes * branches,
        original_sizes=batch.original_sizes * branches,
        targets=batch.targets * branches,
        image_ids=[branches * image_id + branch for branch in range(branches) for image_id in batch.image_ids],
    )


def _joined(found: list[Prediction]) -> Prediction:
    """The detections of all branches of one image."""
    boxes, scores, labels = zip(*((f.boxes, f.scores, f.labels) for f in found))
    return Prediction(torch.cat(boxes), torch.cat(scores), torch.cat(labels))
