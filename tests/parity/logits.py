"""Logits at the size of the original images, written for tests: the library goes straight to label maps."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from cvzoo.structures import Batch, Size, size_of


def resized(x_NKHW: Tensor, size: Size, align_corners: bool) -> Tensor:
    return F.interpolate(x_NKHW, size, mode="bilinear", align_corners=align_corners)


def logits_of_images(model: Any, batch: Batch) -> list[Tensor]:
    """The (K, H, W) logits of each image's original pixels, without the padding."""
    images, corners = model.config.pixels(batch.images, batch.sizes), model.config.align_corners
    on_canvas = resized(model.raw(images).logits, size_of(images), corners)
    return [
        resized(own[None, :, :height, :width], original, corners)[0]
        for own, (height, width), original in zip(on_canvas, batch.sizes, batch.original_sizes)
    ]
