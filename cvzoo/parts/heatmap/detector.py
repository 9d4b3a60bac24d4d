"""What detectors that find key points in heat maps have in common: the model protocol.

A system builds body and head, says what they give (`raw`), what the maps learn (`losses`) and what becomes of them
(`decode`).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Generic, TypeVar

import torch
from torch import Tensor

from cvzoo.nn.model import Model
from cvzoo.ops.boxes import scale_boxes
from cvzoo.ops.class_ids import classes_of
from cvzoo.ops.detect import gather_rows
from cvzoo.ops.soft_nms import SoftNMSConfig, soft_nms_batch
from cvzoo.parts.heatmap.frame import Corner, framed, framed_in_graph
from cvzoo.parts.heatmap.heat import Heat, Point, hottest, on_original
from cvzoo.structures import Batch, Boxes, Prediction, Size, Target, View, size_of

Raw = TypeVar("Raw")


class HeatmapDetector(Model, Generic[Raw]):
    """The whole detector; see the model protocol in docs/models.md. `config.frame` says how images lie at inference."""

    @abstractmethod
    def raw(self, images_N3HW: Tensor) -> Raw: ...

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        images = self.config.pixels(batch.images, batch.sizes)
        return self.losses(self.raw(images), batch.targets, batch.sizes, size_of(images))

    @torch.no_grad()
    def predict(self, batch: Batch) -> list[Prediction]:
        images, corners = self.placed(batch)
        return self.decode(self.raw(images), batch.sizes, batch.original_sizes, size_of(images), corners)

    def placed(self, batch: Batch) -> tuple[Tensor, list[Corner] | None]:
        """Normalised images on their canvas, and where they begin there unless at its top left."""
        pixels, frame = self.config.pixels, self.config.frame
        if frame is None:
            return pixels(batch.images, batch.sizes), None
        if frame.around == "mean":
            return framed(pixels(batch.images, batch.sizes), batch.sizes, frame.mask, frame.extra)
        images, corners = framed(batch.images, batch.sizes, frame.mask, frame.extra)
        return self._framed_pixels(images), corners

    @torch.no_grad()
    def infer(self, images_N3HW: Tensor, sizes_N2: Tensor) -> Boxes:
        images_N3HW, begins_N2 = self._placed_in_graph(images_N3HW, sizes_N2)
        candidates = self.boxes(self.raw(images_N3HW), sizes_N2, size_of(images_N3HW), begins_N2)
        boxes_ND4, scores_ND, labels_ND = self.suppressed_batch(candidates)
        labels_ND = classes_of(labels_ND, self.config.class_ids)
        scores_ND, order_ND = (scores_ND * ((labels_ND >= 0) & (scores_ND > 0))).topk(scores_ND.shape[1])
        return Boxes(gather_rows(boxes_ND4, order_ND), scores_ND, labels_ND.gather(1, order_ND).clamp(min=0))

    def _placed_in_graph(self, images_N3HW: Tensor, sizes_N2: Tensor) -> tuple[Tensor, Tensor]:
        pixels, frame = self.config.pixels, self.config.frame
        if frame is None:
            return pixels.in_graph(images_N3HW, sizes_N2), torch.zeros_like(sizes_N2)
        if frame.around == "mean":
            return framed_in_graph(pixels.in_graph(images_N3HW, sizes_N2), sizes_N2, frame.mask, frame.extra)
        images_N3HW, begins_N2 = framed_in_graph(images_N3HW, sizes_N2, frame.mask, frame.extra)
        return self._framed_pixels(images_N3HW), begins_N2

    def _framed_pixels(self, images_N3HW: Tensor) -> Tensor:
        """Normalised, with what lies around the images; the frame is all the padding that they get."""
        everywhere_N2 = torch.full((images_N3HW.shape[0], 2), 1 << 30, device=images_N3HW.device)
        return self.config.pixels.in_graph(images_N3HW, everywhere_N2)

    @abstractmethod
    def losses(self, raw: Raw, targets: list[Target], sizes: list[Size], canvas: Size) -> dict[str, Tensor]:
        """The named losses of raw outputs for images of `sizes` on a canvas."""

    def decode(
        self,
        raw: Raw,
        sizes: list[Size],
        original_sizes: list[Size],
        canvas: Size,
        corners: list[Corner] | None = None,
    ) -> list[Prediction]:
        """Detections of each image in original pixels; `corners` are where the images begin, if not at the canvas'."""
        return [self.suppressed(found) for found in self.candidates(raw, sizes, original_sizes, canvas, corners)]

    def candidates(
        self,
        raw: Raw,
        sizes: list[Size],
        original_sizes: list[Size],
        canvas: Size,
        corners: list[Corner] | None = None,
    ) -> list[Prediction]:
        """What may become detections, in original pixels, labelled by output."""
        begins_N2, sizes_N2 = torch.tensor([corners or [(0, 0)] * len(sizes), sizes])
        device = next(self.parameters()).device
        found = self.boxes(raw, sizes_N2.to(device), canvas, begins_N2.to(device))
        parts = zip(*found, sizes, original_sizes)
        return [Prediction(scale_boxes(boxes, *of_image), scores, labels) for boxes, scores, labels, *of_image in parts]

    @abstractmethod
    def boxes(self, raw: Raw, sizes_N2: Tensor, canvas: Size, begins_N2: Tensor) -> Boxes:
        """`candidates` in network pixels of images of these sizes, which begin there on the canvas.

        A score under 0 is none.
        """

    @abstractmethod
    def suppressed(self, candidates: Prediction, scales: int = 1) -> Prediction:
        """The detections among the candidates of an image, which was seen at so many scales."""

    @abstractmethod
    def suppressed_batch(self, candidates: Boxes) -> Boxes:
        """`suppressed` of several images, labelled by output."""

    @torch.no_grad()
    def heatmaps(self, batch: Batch) -> list[list[Heat]]:
        """What the network sees in each image: one map of each kind of key point, in original pixels."""
        images, corners = self.placed(batch)
        found = self.heat(self.raw(images))
        maps: dict[Point, Tensor] = {point: hottest(x, self.config.class_ids) for point, x in found.items()}
        places = zip(corners or [(0, 0)] * len(batch), batch.sizes, batch.original_sizes)
        return [
            [Heat(point, on_original(cells_NHW[n], size_of(images), *place)) for point, cells_NHW in maps.items()]
            for n, place in enumerate(places)
        ]

    @abstractmethod
    def heat(self, raw: Raw) -> dict[Point, Tensor]:
        """The maps of `raw` that show key points, as (N, K, H, W) logits, by the point of a box that they show."""

    @torch.no_grad()
    def predict_views(self, views: list[View]) -> Prediction:
        """The detections of the image in original pixels; those of all scales compete.

        Where there are mirrored views, it is the whole canvas that is mirrored, so that cells lie on each other.
        """
        mirrored = any(view.flipped for view in views)
        batches = [view.batch for view in views if not view.flipped]
        found = joined([self.seen(batch, mirrored) for batch in batches])
        return self.suppressed(found, len(batches))

    @abstractmethod
    def seen(self, batch: Batch, mirrored: bool) -> Prediction:
        """The candidates of a single image, with the help of its mirror image if wanted."""


def joined(parts: list[Prediction]) -> Prediction:
    """Boxes of one image in one list, in no order."""
    return Prediction(
        torch.cat([part.boxes for part in parts]),
        torch.cat([part.scores for part in parts]),
        torch.cat([part.labels for part in parts]),
    )


def soft_suppressed(candidates: Boxes, config: SoftNMSConfig, count: int) -> Boxes:
    """What soft-NMS leaves of each class of each image, `count` boxes; scores are -1 from where no more stay."""
    scores_ND, row_ND = soft_nms_batch(candidates.boxes, candidates.scores, config, count, candidates.labels)
    return Boxes(gather_rows(candidates.boxes, row_ND), scores_ND, candidates.labels.gather(1, row_ND))
