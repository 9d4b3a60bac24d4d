"""From the loader's uint8 RGB images to what a network was trained to see."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cvzoo.fields import Count, Positive
from cvzoo.ops.transfer import constant
from cvzoo.structures import Size, size_of


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """Pixel statistics; they come with the weights. The defaults are torchvision's ImageNet statistics."""

    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    """Mean of each channel's pixels, in 0..255 and in the order of the network's channels."""
    std: tuple[Positive, Positive, Positive] = (58.395, 57.12, 57.375)
    """What each channel's pixels are divided by once the mean is subtracted, in the order of the network's channels."""
    bgr: bool = False
    """The network's channels are blue, green, red (caffe) instead of red, green, blue."""
    divisor: Count = 32
    """Images are padded at the right and bottom to a multiple of so many pixels."""

    def __call__(self, images_N3HW: Tensor, sizes: list[Size]) -> Tensor:
        """(N, 3, H', W') float32: normalised; whatever lies outside an image's own size is 0."""
        x = self._normalised(images_N3HW)
        for image, (height, width) in zip(x, sizes):
            image[:, height:] = 0
            image[:, :, width:] = 0
        bottom, right = (-x.shape[-2] % self.divisor), (-x.shape[-1] % self.divisor)
        return F.pad(x, (0, right, 0, bottom)) if bottom or right else x

    def in_graph(self, images_N3HW: Tensor, sizes_N2: Tensor) -> Tensor:
        """The same of images whose sizes are a tensor (int64), on a canvas that needs no more padding."""
        return self._normalised(images_N3HW) * inside(size_of(images_N3HW), sizes_N2)[:, None]

    def _normalised(self, images_N3HW: Tensor) -> Tensor:
        if self.bgr:
            images_N3HW = images_N3HW.flip(1)
        mean, std = (constant(of_rgb, images_N3HW.device).view(3, 1, 1) for of_rgb in (self.mean, self.std))
        return images_N3HW.float().sub_(mean).div_(std)


def inside(canvas: Size, sizes_N2: Tensor) -> Tensor:
    """(N, H, W) bool: which pixels of a canvas belong to images of these heights and widths."""
    height, width = canvas
    rows_NH = torch.arange(height, device=sizes_N2.device) < sizes_N2[:, :1]
    columns_NW = torch.arange(width, device=sizes_N2.device) < sizes_N2[:, 1:]
    return rows_NH[:, :, None] & columns_NW[:, None]


IMAGENET = Pixels()
CAFFE = Pixels(mean=(103.53, 116.28, 123.675), std=(1.0, 1.0, 1.0), bgr=True)
"""The MSRA ResNets that detectron2, cvpods and Caffe2 start from."""
CAFFE2 = Pixels(mean=CAFFE.mean, std=(57.375, 57.12, 58.395), bgr=True)
"""Caffe2's ResNeXt-101-32x8d."""
MINUS_ONE_TO_ONE = Pixels(mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5))
"""[0, 255] to [-1, 1]: TensorFlow's networks, EfficientNet-Lite among them."""
