"""Geometry and colour of the training pictures: uint8 tensors, boxes, masks. All randomness comes from a generator."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torchvision.transforms.v2 import functional

from cvzoo.data.config import Data
from cvzoo.ops.boxes import flip_boxes
from cvzoo.ops.masks import crop_mask, flip_mask, scale_mask
from cvzoo.structures import Mask, Sample, Size, Target

MIN_SIDE = 1.0
"""Boxes that a crop leaves narrower than this, in pixels, are dropped (torchvision's SanitizeBoundingBoxes)."""


def shortest_edge_size(size: Size, short_side: int, max_long_side: int, canvas: Size | None = None) -> Size:
    """The size a picture is resized to: short side as asked, smaller where the long side or the canvas bounds it.

    The arithmetic, int(x + 0.5) included, is detectron2's ResizeShortestEdge.
    """
    height, width = size
    scale = short_side / min(height, width)
    # The short side is set, not multiplied: h * (s / h) can land just under s.
    new_h, new_w = (short_side, scale * width) if height < width else (scale * height, short_side)
    bounds = [max_long_side / max(new_h, new_w)]
    if canvas is not None:
        bounds += [canvas[0] / new_h, canvas[1] / new_w]
    shrink = min(1.0, *bounds)
    return max(int(new_h * shrink + 0.5), 1), max(int(new_w * shrink + 0.5), 1)


def resize(sample: Sample, size: Size) -> Sample:
    """Resize the picture (antialiased bilinear, within two grey levels of PIL's), its boxes and masks."""
    height, width = sample.size
    if size == (height, width):
        return sample
    factors = torch.tensor([size[1] / width, size[0] / height]).repeat(2)
    target = _moved(sample.target, sample.target.boxes * factors, lambda mask: scale_mask(mask, sample.size, size))
    return _changed(sample, resize_image(sample.image, size), target)


def resize_image(image: Tensor, size: Size) -> Tensor:
    """Resize a (3, H, W) uint8 picture as `resize` does."""
    return functional.resize(image, list(size), antialias=True)


def flip(sample: Sample) -> Sample:
    """Mirror left and right: x becomes W - x."""
    width = sample.size[1]
    target = _moved(sample.target, flip_boxes(sample.target.boxes, width), lambda mask: flip_mask(mask, width))
    return _changed(sample, sample.image.flip(-1), target)


def crop(sample: Sample, top: int, left: int, size: Size) -> Sample:
    """Cut a window out; boxes are clipped to it, and their objects dropped where less than a pixel is left."""
    height, width = size
    image = sample.image[:, top : top + height, left : left + width]
    boxes = sample.target.boxes - torch.tensor([left, top]).repeat(2)
    boxes = torch.stack([boxes[:, 0::2].clamp(0, width), boxes[:, 1::2].clamp(0, height)], -1).flatten(1)
    kept = ((boxes[:, 2:] - boxes[:, :2]) >= MIN_SIDE).all(1)
    target = Target(boxes, sample.target.labels, sample.target.masks)[kept]
    return _changed(sample, image, _moved(target, target.boxes, lambda mask: crop_mask(mask, top, left, size)))


def colour_jitter(sample: Sample, strength: float, generator: Generator) -> Sample:
    """Change brightness, contrast and saturation by factors drawn from 1 - strength to 1 + strength."""
    brightness, contrast, saturation = (
        1 + strength * (2 * torch.rand(3, generator=generator, dtype=torch.float64) - 1)
    ).tolist()
    image = functional.adjust_brightness(sample.image, brightness)
    image = functional.adjust_contrast(image, contrast)
    return _changed(sample, functional.adjust_saturation(image, saturation), sample.target)


def train_resize(sample: Sample, data: Data, generator: Generator) -> Sample:
    """Resize for training: a short side drawn from the choice, zoomed by the scale jitter and cropped to fit.

    The jitter is large-scale jitter (Ghiasi et al. 2021): the zoomed picture is cut at a random place to the
    canvas, or to the size it would have had unzoomed; a picture that is smaller is left as it is.
    """
    choice = int(torch.randint(len(data.short_sides), (), generator=generator))
    height, width = shortest_edge_size(sample.size, data.short_sides[choice], data.max_long_side, data.canvas)
    if data.scale_jitter is None:
        return resize(sample, (height, width))
    low, high = data.scale_jitter
    draws = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
    zoom = low + (high - low) * draws[0]
    zoomed = max(int(height * zoom + 0.5), 1), max(int(width * zoom + 0.5), 1)
    frame = data.canvas or (height, width)
    window = min(zoomed[0], frame[0]), min(zoomed[1], frame[1])
    top, left = (int(draw * (full - part + 1)) for draw, full, part in zip(draws[1:], zoomed, window))
    return crop(resize(sample, zoomed), top, left, window)


def train_augment(sample: Sample, data: Data, generator: Generator) -> Sample:
    """What follows the resize in training: horizontal flip and colour jitter."""
    if float(torch.rand((), generator=generator)) < data.flip:
        sample = flip(sample)
    if data.colour_jitter > 0:
        sample = colour_jitter(sample, data.colour_jitter, generator)
    return sample


def eval_resize(sample: Sample, data: Data) -> Sample:
    """Resize for evaluation and prediction."""
    return resize(sample, shortest_edge_size(sample.size, data.test_short_side, data.max_long_side, data.canvas))


def _moved(target: Target, boxes: Tensor, move: Callable[[Mask], Mask]) -> Target:
    """The same objects with new boxes, and their masks moved where they have any."""
    return Target(boxes, target.labels, None if target.masks is None else [move(mask) for mask in target.masks])


def _changed(sample: Sample, image: Tensor, target: Target) -> Sample:
    return Sample(image, target, sample.image_id, sample.original_size)
