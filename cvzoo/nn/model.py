"""What the engine, exports and users know of every model; how it is read is in docs/models.md."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

from torch import Tensor, nn

from cvzoo.nn.inference import optimise_for_inference
from cvzoo.structures import Batch, Inferred, View


class Model(nn.Module, ABC):
    """A network with its losses and its answers. Images enter as uint8 RGB, `config.pixels` makes them its input."""

    config: Any
    """The hyper-parameters, a frozen dataclass; `config.pixels` and `config.num_classes` every model has."""
    predicts_masks: bool = False
    """Whether its detections have masks."""
    fixed: bool = False
    """Whether its thresholds cannot be changed any more: those of an exported file."""
    backbone: nn.Module
    """The body, which starts from ImageNet weights and may learn at its own rate."""

    @abstractmethod
    def raw(self, images_N3HW: Tensor) -> Any:
        """A NamedTuple of outputs for normalised, padded images: a pure tensor function."""

    @abstractmethod
    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Training: the named losses, already weighted; their sum is minimised."""

    @abstractmethod
    def predict(self, batch: Batch) -> list[Any]:
        """Inference: the answer to each image, in the pixels of the ORIGINAL image."""

    def infer(self, images_N3HW: Tensor, sizes_N2: Tensor) -> Inferred:
        """Inference as a pure tensor function, which is what is exported.

        Args:
            images_N3HW: uint8 RGB, each at the top left of a canvas whose sides `config.pixels.divisor` divides.
            sizes_N2: int64 height and width of each.

        Returns: what `predict` finds, in the pixels of the canvas, in tensors of fixed shapes.
        """
        raise ValueError(f"{type(self).__name__} cannot be exported: it does not say how its answers are one graph")

    def predict_views(self, views: list[View]) -> Any:
        """Test-time augmentation: one answer to an image that is looked at several times."""
        raise ValueError(
            f"{type(self).__name__} cannot merge several views of an image; leave out --data.test-scales and"
            " --data.test-flip"
        )

    def for_inference(self) -> Self:
        """An equal, faster model that cannot be trained."""
        return optimise_for_inference(self)
