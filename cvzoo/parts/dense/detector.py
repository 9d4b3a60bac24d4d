"""What detectors that score every cell of a pyramid have in common: body, pyramid, head, and the model protocol.

A system adds its head and says who learns what (`losses`) and what becomes of the outputs (`decode`).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from cvzoo.nn.bodies import BodyConfig
from cvzoo.nn.fpn import FPN, FPNConfig
from cvzoo.nn.model import Model
from cvzoo.nn.pixels import Pixels
from cvzoo.structures import Batch, Prediction, Size, Target, size_of


class DenseConfig(Protocol):
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
        self.backbone = config.backbone.build()
        self.neck = FPN(config.fpn, self.backbone.channels)

    def raw(self, images_N3HW: Tensor) -> Raw:
        return self.head(self.neck(self.backbone(images_N3HW)))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        images = self.config.pixels(batch.images, batch.sizes)
        return self.losses(self.raw(images), batch.targets, batch.sizes, size_of(images))

    @torch.no_grad()
    def predict(self, batch: Batch) -> list[Prediction]:
        images = self.config.pixels(batch.images, batch.sizes)
        return self.decode(self.raw(images), batch.sizes, batch.original_sizes, size_of(images))

    @abstractmethod
    def losses(self, raw: Raw, targets: list[Target], sizes: list[Size], canvas: Size) -> dict[str, Tensor]:
        """The named losses of raw outputs for images of `sizes` on a canvas."""

    @abstractmethod
    def decode(self, raw: Raw, sizes: list[Size], original_sizes: list[Size], canvas: Size) -> list[Prediction]:
        """Detections of each image in original pixels."""
