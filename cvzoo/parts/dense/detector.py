"""What detectors that score every cell of a pyramid have in common: body, pyramid, head, and the model protocol.

A system adds its head and says who learns what (`losses`) and what may become a detection (`candidates`).
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from cvzoo.nn.bodies import BodyConfig
from cvzoo.nn.fpn import FPN, FPNConfig
from cvzoo.nn.model import Model
from cvzoo.nn.pixels import Pixels
from cvzoo.ops.boxes import flip_boxes
from cvzoo.ops.detect import suppress, suppress_batch
from cvzoo.ops.masks import flip_mask
from cvzoo.parts.dense.detections import DetectionConfig, detections_of
from cvzoo.structures import Batch, Boxes, BoxesWithWindows, Prediction, Size, Target, View, size_of


class DenseConfig(DetectionConfig, Protocol):
    """What the config of such a detector has."""

    @property
    def backbone(self) -> BodyConfig: ...
    @property
    def fpn(self) -> FPNConfig: ...
    @property
    def pixels(self) -> Pixels: ...


Config = TypeVar("Config", bound=DenseConfig)
Raw = TypeVar("Raw")


class DenseDetector(Model, Generic[Config, Raw]):
    """The whole detector; see the model protocol in docs/models.md."""

    config: Config
    head: Any
    """A module that turns the pyramid into `Raw`, and may have methods that its system calls."""

    def __init__(self, config: Config) -> None:
        """Builds all but the head, which the system sets as `head`."""
        super().__init__()
        self.config = config
        self.backbone = backbone = config.backbone.build()
        self.neck = FPN(config.fpn, backbone.channels)

    def raw(self, images_N3HW: Tensor) -> Raw:
        return self.head(self.neck(self.backbone(images_N3HW)))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        images = self.config.pixels(batch.images, batch.sizes)
        return self.losses(self.raw(images), batch.targets, batch.sizes, size_of(images))

    @torch.no_grad()
    def predict(self, batch: Batch) -> list[Prediction]:
        images = self.config.pixels(batch.images, batch.sizes)
        return self.decode(self.raw(images), batch.sizes, batch.original_sizes, size_of(images))

    @torch.no_grad()
    def predict_views(self, views: list[View]) -> Prediction:
        """The detections of all views compete in one more NMS (mmdetection's DetTTAModel)."""
        original = views[0].batch.original_sizes[0]
        found = [_upright(self.predict(view.batch)[0], view.flipped, original) for view in views]
        boxes, scores, labels = (torch.cat([getattr(f, name) for f in found]) for name in ("boxes", "scores", "labels"))
        masks = [mask for f in found for mask in f.masks or ()] if self.predicts_masks else None
        return suppress(Prediction(boxes, scores, labels, masks), self.config.detect, original)

    @abstractmethod
    def losses(self, raw: Raw, targets: list[Target], sizes: list[Size], canvas: Size) -> dict[str, Tensor]:
        """The named losses of raw outputs for images of `sizes` on a canvas."""

    def candidates(self, raw: Raw, canvas: Size) -> Boxes:
        """What may become detections, in network pixels, labelled by output; see `candidates_of`.

        A system that decodes in a way of its own has none, and says in `infer` how it does so in a graph.
        """
        raise ValueError(f"{type(self).__name__} cannot be exported: its candidates are not boxes of a whole batch")

    def decode(self, raw: Raw, sizes: list[Size], original_sizes: list[Size], canvas: Size) -> list[Prediction]:
        """Detections of each image in original pixels."""
        return detections_of(self.candidates(raw, canvas), self.config, sizes, original_sizes)

    def infer(self, images_N3HW: Tensor, sizes_N2: Tensor) -> Boxes | BoxesWithWindows:
        images_N3HW = self.config.pixels.in_graph(images_N3HW, sizes_N2)
        candidates = self.candidates(self.raw(images_N3HW), size_of(images_N3HW))
        return suppress_batch(candidates, self.config.detect, sizes_N2, self.config.class_ids)[0]


def _upright(found: Prediction, flipped: bool, original_size: Size) -> Prediction:
    """What was found in a view that may be mirrored, in the image as it is."""
    if not flipped:
        return found
    width = original_size[1]
    masks: Any = found.masks and [flip_mask(mask, width) for mask in found.masks]
    return replace(found, boxes=flip_boxes(found.boxes, width), masks=masks)
