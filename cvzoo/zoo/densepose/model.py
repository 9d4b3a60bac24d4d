"""DensePose R-CNN (Gueler et al., 1802.00434).

The two stages of 1506.01497 with a branch that says of every pixel of a person which part of the body's surface it
shows, and where in that part it lies. In training it learns from annotated points of the foreground proposals, in
inference it runs on the detections. The stages are in `parts/rcnn/`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from cvzoo.fields import ClassId, Count
from cvzoo.nn.bodies import BodyConfig
from cvzoo.nn.fpn import FPNConfig
from cvzoo.nn.merge import PyramidMerge
from cvzoo.nn.pixels import IMAGENET, Pixels
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.nn.roi_pool import RoIPoolConfig, flat
from cvzoo.ops.detect import boxes_to_original
from cvzoo.ops.surfaces import surfaces_of
from cvzoo.parts.rcnn.box_head import BoxHead, BoxHeadConfig
from cvzoo.parts.rcnn.detector import TwoStage, in_view, there
from cvzoo.parts.rcnn.regions import build_body
from cvzoo.parts.rcnn.rpn import RPNConfig
from cvzoo.structures import AnswerKind, Batch, BoxesWithSurfaces, Prediction, View, size_of
from cvzoo.zoo.densepose.head import SurfaceHead, SurfaceHeadConfig, SurfaceOutput
from cvzoo.zoo.densepose.loss import surface_losses
from cvzoo.zoo.densepose.targets import match_surfaces


@dataclass(frozen=True, kw_only=True)
class DensePoseConfig:
    """Hyper-parameters; the defaults are detectron2's of 2019 with torchvision's ResNet-50."""

    answer: ClassVar[AnswerKind] = "dense_pose"

    num_classes: Count = 1
    """Classes without the background: people."""
    backbone: BodyConfig = field(default_factory=ResNetConfig)
    """The network that turns an image into feature maps, C2 to C5."""
    fpn: FPNConfig = field(default_factory=lambda: FPNConfig(first_level=2, extra="pool"))
    """The pyramid, P2 to P6."""
    pixels: Pixels = IMAGENET
    """How pixels are normalised and padded; belongs to the backbone's weights."""
    rpn: RPNConfig = field(default_factory=RPNConfig)
    """First stage: proposals."""
    box_head: BoxHeadConfig = field(
        default_factory=lambda: BoxHeadConfig(pool=RoIPoolConfig(sampling=2, aligned=False))
    )
    """Second stage: class and box of each proposal."""
    surface_head: SurfaceHeadConfig = field(default_factory=SurfaceHeadConfig)
    """The dense pose branch: parts of the body, and where in them the pixels of each detection lie."""
    class_ids: tuple[ClassId, ...] = ()
    """Data-set class of each output, -1 for an unused one; () when they are the same."""

    def build(self) -> DensePose:
        return DensePose(self)


class DensePose(TwoStage[DensePoseConfig]):
    """The whole network; see the model protocol in docs/models.md."""

    def __init__(self, config: DensePoseConfig) -> None:
        super().__init__(config, *build_body(config.backbone, config.fpn))
        channels, head = self.region_channels, config.surface_head
        self.box_head = BoxHead(config.box_head, channels, config.num_classes)
        self.decoder = None
        if head.decoder_channels is not None:
            strides = config.box_head.pool.strides
            doublings = [(stride // strides[0]).bit_length() - 1 for stride in strides]
            norms = {"norm": head.decoder_norm, "norm_groups": head.norm_groups}
            self.decoder = PyramidMerge(channels, head.decoder_channels, channels, doublings, **norms)
        self.surface_head = SurfaceHead(head, channels)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        c = self.config
        images = c.pixels(batch.images, batch.sizes)
        maps = self.maps(images)
        canvas = size_of(images)
        proposals = self.rpn.proposals(maps, batch.sizes, canvas)
        sampled = self.box_head.sample(proposals, batch, c.class_ids)
        regions = self.regions(maps, [s.boxes_R4 for s in sampled], c.box_head.pool)
        losses = self.rpn.losses(maps, batch, canvas) | self.box_head.losses(self.box_head(regions), sampled)
        matched = match_surfaces(sampled, batch.targets, c.surface_head.positive_above)
        return losses | surface_losses(self.surfaces(maps, matched.boxes), matched, c.surface_head)

    def surfaces(self, maps: list[Tensor], boxes: list[Tensor]) -> SurfaceOutput:
        """What the dense pose branch says of the boxes of each image, in network pixels."""
        return self.surface_head(self.surface_regions(maps, boxes))

    def surface_regions(self, maps: list[Tensor], boxes: list[Tensor]) -> Tensor:
        """(R, C, S, S): what the dense pose branch sees of the boxes of each image."""
        return self.surface_regions_at(maps, *flat(boxes))

    def surface_regions_at(self, maps: list[Tensor], boxes_R4: Tensor, image_R: Tensor) -> Tensor:
        """(R, C, S, S): what the dense pose branch sees of boxes of those images."""
        if self.decoder is not None:
            maps = [self.decoder(maps[: len(self.decoder.doublings)])]
        return self.regions_at(maps, boxes_R4, image_R, self.config.surface_head.pool)

    @torch.no_grad()
    def infer(self, images_N3HW: Tensor, sizes_N2: Tensor) -> BoxesWithSurfaces:
        """A box's pixels are made of its maps where the answer is read, by `surfaces_of`: they fill no tensor."""
        maps, canvas = self.maps(self.config.pixels.in_graph(images_N3HW, sizes_N2)), size_of(images_N3HW)
        found, _ = self.found(maps, sizes_N2, canvas, self.config.class_ids)
        _, boxes_V4, image_V = there(found)
        raw = self.surface_head(self.surface_regions_at(maps, boxes_V4, image_V))
        return BoxesWithSurfaces(*found, raw.coarse, raw.parts, raw.u, raw.v)

    @torch.no_grad()
    def predict(self, batch: Batch) -> list[Prediction]:
        detect, class_ids = self.config.box_head.detect, self.config.class_ids
        found, maps = self.detections(batch)
        raw, start = self.surfaces(maps, [f.boxes for f in found]), 0
        predictions = []
        for f, size, original in zip(found, batch.sizes, batch.original_sizes):
            prediction, kept = boxes_to_original(f, detect, size, original, class_ids)
            prediction.surfaces = surfaces_of(raw, start + kept, prediction.boxes)
            predictions.append(prediction)
            start += len(f)
        return predictions

    @torch.no_grad()
    def predict_views(self, views: list[View]) -> Prediction:
        """The detections of the image in original pixels.

        Boxes of all views compete in one NMS; the surfaces of those that are left are predicted in every view and
        averaged (detectron2's DensePoseGeneralizedRCNNWithTTA).
        """
        if any(view.flipped for view in views):
            raise ValueError(
                "DensePose cannot merge mirrored views of an image: what U and V become in a mirror stands in a file"
                " that cvzoo may not ship; leave out --data.test-flip"
            )
        detect, original = self.config.box_head.detect, views[0].batch.original_sizes[0]
        merged, maps = self.merged_detections(views)
        raws = [self.surfaces(of_view, [in_view(merged.boxes, v)]) for of_view, v in zip(maps, views)]
        prediction, kept = boxes_to_original(merged, detect, original, original, self.config.class_ids)
        prediction.surfaces = surfaces_of(SurfaceOutput.mean(raws), kept, prediction.boxes)
        return prediction
