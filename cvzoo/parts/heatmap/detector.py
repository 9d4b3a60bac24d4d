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
from cvzoo.parts.heatmap.frame import Corner, framed
from cvzoo.structures import Batch, Prediction, Size, Target, size_of

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
        return pixels(images, [size_of(images)] * len(batch)), corners

    @abstractmethod
    def losses(self, raw: Raw, targets: list[Target], sizes: list[Size], canvas: Size) -> dict[str, Tensor]:
        """The named losses of raw outputs for images of `sizes` on a canvas."""

    @abstractmethod
    def decode(
        self,
        raw: Raw,
        sizes: list[Size],
        original_sizes: list[Size],
        canvas: Size,
        corners: list[Corner] | None = None,
    ) -> list[Prediction]:
        """Detections of each image in original pixels; `corners` are where the images begin, if not at the canvas'."""
