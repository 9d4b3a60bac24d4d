"""Geometry and colour of training images: uint8 tensors, boxes, masks, surfaces. All chance comes from a generator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Generator, Tensor
from torchvision.transforms.v2 import functional

from cvzoo.data.charts import Charts, charts_of, flip_surface, scale_surface, shift_surface
from cvzoo.data.config import Data
from cvzoo.ops.boxes import flip_boxes
from cvzoo.ops.masks import crop_mask, flip_mask, pad_mask, scale_mask, upend_mask
from cvzoo.structures import IGNORE, Mask, Sample, Size, Surface, Target

CROPS = 10
"""Places that are tried for a crop of several classes."""
MIN_SIDE = 1.0
"""Boxes that a crop leaves narrower than this, in pixels, are dropped (torchvision's SanitizeBoundingBoxes)."""


def shortest_edge_size(size: Size, short_side: int, max_long_side: int, canvas: Size | None = None) -> Size:
    """The size an image is resized to: short side as asked, smaller where the long side or the canvas bounds it.

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
    """Resize the image (antialiased bilinear, within two grey levels of PIL's), its boxes, masks and surfaces."""
    height, width = sample.size
    if size == (height, width):
        return sample
    factors = torch.tensor([size[1] / width, size[0] / height]).repeat(2)
    boxes = sample.target.boxes * factors
    target = _moved(
        sample.target,
        boxes,
        lambda mask: scale_mask(mask, sample.size, size),
        lambda label_map: resize_label_map(label_map, size),
        lambda surface: scale_surface(surface, factors.tolist()),
    )
    return _changed(sample, resize_image(sample.image, size), target)


def resize_image(image: Tensor, size: Size) -> Tensor:
    """Resize a (3, H, W) uint8 image as `resize` does."""
    return functional.resize(image, list(size), antialias=True)


def resize_label_map(label_map_HW: Tensor, size: Size) -> Tensor:
    """Resize (H, W) classes: each pixel is the one that its top left corner falls into (OpenCV's nearest)."""
    return F.interpolate(label_map_HW[None, None], size=size, mode="nearest")[0, 0]


def flip(sample: Sample, charts: Charts | None = None) -> Sample:
    """Mirror left and right: x becomes W - x. Surfaces need their `charts`."""

    def flip_of(surface: Surface) -> Surface:
        assert charts is not None, "a sample with surfaces"
        return flip_surface(surface, width, charts)

    width = sample.size[1]
    target = _moved(
        sample.target,
        flip_boxes(sample.target.boxes, width),
        lambda mask: flip_mask(mask, width),
        lambda label_map: label_map.flip(-1),
        flip_of,
    )
    return _changed(sample, sample.image.flip(-1), target)


def upend(sample: Sample) -> Sample:
    """Mirror up and down: y becomes H - y. Surfaces cannot be."""
    height = sample.size[0]
    x1, y1, x2, y2 = sample.target.boxes.unbind(1)
    target = _moved(
        sample.target,
        torch.stack([x1, height - y2, x2, height - y1], 1),
        lambda mask: upend_mask(mask, height),
        lambda label_map: label_map.flip(-2),
        _immovable,
    )
    return _changed(sample, sample.image.flip(-2), target)


def _immovable(surface: Surface) -> Surface:
    raise AssertionError("the settings refuse surfaces")


def crop(sample: Sample, top: int, left: int, size: Size) -> Sample:
    """Cut a window out; boxes are clipped to it, and their objects dropped where less than a pixel is left."""
    height, width = size
    image = sample.image[:, top : top + height, left : left + width]
    boxes = sample.target.boxes - torch.tensor([left, top]).repeat(2)
    boxes = torch.stack([boxes[:, 0::2].clamp(0, width), boxes[:, 1::2].clamp(0, height)], -1).flatten(1)
    kept = ((boxes[:, 2:] - boxes[:, :2]) >= MIN_SIDE).all(1)
    target = replace(sample.target, boxes=boxes)[kept]
    window = slice(top, top + height), slice(left, left + width)
    target = _moved(
        target,
        target.boxes,
        lambda mask: crop_mask(mask, top, left, size),
        lambda label_map: label_map[window],
        lambda surface: shift_surface(surface, -left, -top),
    )
    return _changed(sample, image, target)


def colour_jitter(sample: Sample, strength: float, generator: Generator) -> Sample:
    """Change brightness, contrast and saturation by factors drawn from 1 - strength to 1 + strength."""
    brightness, contrast, saturation = (
        1 + strength * (2 * torch.rand(3, generator=generator, dtype=torch.float64) - 1)
    ).tolist()
    image = functional.adjust_brightness(sample.image, brightness)
    image = functional.adjust_contrast(image, contrast)
    return _changed(sample, functional.adjust_saturation(image, saturation), sample.target)


def distort_colours(sample: Sample, generator: Generator) -> Sample:
    """SSD's photometric distortion (1512.02325), as mmsegmentation does it; each step has a chance of one half.

    Brightness moves by up to 32 grey levels; contrast is multiplied by 0.5 to 1.5, before or after the colours;
    saturation by 0.5 to 1.5; hue turns by up to 36 degrees.
    """
    happens = (torch.rand(5, generator=generator) < 0.5).tolist()
    draws = (2 * torch.rand(4, generator=generator, dtype=torch.float64) - 1).tolist()
    brightness = 32 * draws[0]
    contrast = 1 + 0.5 * draws[1]
    saturation = 1 + 0.5 * draws[2]
    hue = round(256 / 10 * draws[3])
    contrast_first = happens[4]
    values = np.arange(256, dtype=np.float64)
    # what happens to single grey levels is one look-up table before the colours and one after them
    before = values + brightness if happens[0] else values
    if happens[1] and contrast_first:
        before = before.clip(0, 255) * contrast
    after = values * contrast if happens[1] and not contrast_first else values
    pixels = _looked_up(sample.image.permute(1, 2, 0).numpy(), before)
    if happens[2] or happens[3]:
        hsv = np.array(Image.fromarray(pixels).convert("HSV"))
        if happens[2]:
            hsv[..., 1] = _looked_up(hsv[..., 1], values * saturation)
        if happens[3]:
            hsv[..., 0] += np.uint8(hue % 256)  # the circle has 256 steps, and bytes wrap around
        pixels = np.array(Image.frombytes("HSV", hsv.shape[1::-1], hsv.tobytes()).convert("RGB"))
    pixels = _looked_up(pixels, after)
    return _changed(sample, torch.from_numpy(pixels).permute(2, 0, 1), sample.target)


def _looked_up(pixels: np.ndarray, table_256: np.ndarray) -> np.ndarray:
    return table_256.clip(0, 255).astype(np.uint8)[pixels]


def random_window(sample: Sample, data: Data, generator: Generator) -> Sample:
    """Cut a square window around a random place of the image, often larger than it, and resize it to the crop.

    Those of 1904.07850 and 1808.01244: objects with less than a pixel left are dropped, the rest of the crop is
    black.
    """
    assert data.crop is not None
    draws = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
    scale = data.window_scales[int(draws[0] * len(data.window_scales))]
    side = max(int(scale * (data.window_side or max(sample.size)) + 0.5), 1)
    middles = []
    for draw, length in zip(draws[1:], sample.size):
        border = data.window_border
        while length <= 2 * border:
            border //= 2
        middles.append(border + int(draw * (length - 2 * border)))
    starts = [middle - side // 2 for middle in middles]
    inner = [max(start, 0) for start in starts]
    ends = [min(start + side, length) for start, length in zip(starts, sample.size)]
    part = crop(sample, inner[0], inner[1], (ends[0] - inner[0], ends[1] - inner[1]))
    zoom = data.crop[0] / side
    places = [int((begin - start) * zoom + 0.5) for begin, start in zip(inner, starts)]
    room = [full - place for full, place in zip(data.crop, places)]
    height, width = (max(min(int(length * zoom + 0.5), free), 1) for length, free in zip(part.size, room))
    return placed(resize(part, (height, width)), places[0], places[1], data.crop)


def placed(sample: Sample, top: int, left: int, size: Size) -> Sample:
    """The image at a place on a black canvas of `size`, large enough for it; on a label map the rest is ignored."""
    height, width = sample.size
    image = sample.image.new_zeros(3, *size)
    image[:, top : top + height, left : left + width] = sample.image
    boxes = sample.target.boxes + torch.tensor([left, top]).repeat(2)
    around = (left, size[1] - left - width, top, size[0] - top - height)
    target = _moved(
        sample.target,
        boxes,
        lambda mask: pad_mask(mask, top, left, size),
        lambda label_map: F.pad(label_map, around, value=IGNORE),
        lambda surface: shift_surface(surface, left, top),
    )
    return _changed(sample, image, target)


def train_resize(sample: Sample, data: Data, generator: Generator) -> Sample:
    """Resize for training: a short side drawn from the choice, zoomed by the scale jitter and cropped to fit.

    The jitter is large-scale jitter (Ghiasi et al. 2021): the zoomed image is cut at a random place to the crop, to
    the canvas, or to the size it would have had unzoomed; an image that is smaller is left as it is. With window scales
    a window takes the place of all this.
    """
    if data.window_scales:
        return random_window(sample, data, generator)
    choice = int(torch.randint(len(data.short_sides), (), generator=generator))
    height, width = shortest_edge_size(sample.size, data.short_sides[choice], data.max_long_side, data.canvas)
    zoom = 1.0
    if data.scale_jitter is not None:
        low, high = data.scale_jitter
        zoom = low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))
    zoomed = resize(sample, (max(int(height * zoom + 0.5), 1), max(int(width * zoom + 0.5), 1)))
    return random_crop(zoomed, data.crop or data.canvas or (height, width), data.crop_max_share, generator)


def random_crop(sample: Sample, size: Size, max_share: float, generator: Generator) -> Sample:
    """Cut a window of at most `size` out at a random place.

    With `max_share` below 1, up to ten places are tried until no class has more than this share of the labelled pixels,
    and there are two classes at least (mmsegmentation's cat_max_ratio); the last one counts.
    """
    window = min(sample.size[0], size[0]), min(sample.size[1], size[1])
    if window == sample.size:
        return sample
    label_map = sample.target.label_map
    top = left = 0
    for _ in range(CROPS if max_share < 1 and label_map is not None else 1):
        draws = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
        top, left = (int(draw * (full - part + 1)) for draw, full, part in zip(draws, sample.size, window))
        if label_map is None or _is_varied(label_map[top : top + window[0], left : left + window[1]], max_share):
            break
    return crop(sample, top, left, window)


def _is_varied(label_map_HW: Tensor, max_share: float) -> bool:
    counts = torch.bincount(label_map_HW.flatten(), minlength=IGNORE + 1)[:IGNORE]
    return int(counts.count_nonzero()) > 1 and float(counts.max()) < max_share * float(counts.sum())


def train_augment(sample: Sample, data: Data, generator: Generator) -> Sample:
    """What follows the resize in training: horizontal flip and colour jitter."""
    if float(torch.rand((), generator=generator)) < data.flip:
        sample = flip(sample, charts_of(data))
    if data.colour_jitter > 0:
        sample = colour_jitter(sample, data.colour_jitter, generator)
    if data.distort_colours:
        sample = distort_colours(sample, generator)
    return sample


def eval_resize(sample: Sample, data: Data) -> Sample:
    """Resize for evaluation and prediction. A label map stays as it is: predictions are compared in original pixels."""
    if data.test_full_size:
        return sample
    size = shortest_edge_size(sample.size, data.test_short_side, data.max_long_side, data.canvas)
    if sample.target.label_map is None:
        return resize(sample, size)
    return _changed(sample, resize_image(sample.image, size), sample.target)


def _moved(
    target: Target,
    boxes: Tensor,
    move: Callable[[Mask], Mask],
    move_map: Callable[[Tensor], Tensor],
    move_surface: Callable[[Surface], Surface],
) -> Target:
    """The same objects with new boxes, and their masks, surfaces or the label map moved where there are any."""
    masks = None if target.masks is None else [move(mask) for mask in target.masks]
    label_map = None if target.label_map is None else move_map(target.label_map)
    surfaces = None
    if target.surfaces is not None:
        surfaces = [None if surface is None else move_surface(surface) for surface in target.surfaces]
    return Target(boxes, target.labels, masks, label_map, surfaces)


def _changed(sample: Sample, image: Tensor, target: Target) -> Sample:
    return Sample(image, target, sample.image_id, sample.original_size)
