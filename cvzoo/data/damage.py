"""What makes an image harder to see and moves nothing: blur, lost colours, a hidden rectangle."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from PIL import Image, ImageFilter
from torchvision.transforms.v2 import functional

from cvzoo.data.config import Data
from cvzoo.structures import IGNORE, Sample

BLUR = (0.1, 2.0)
"""Range of the standard deviation, in pixels."""
HIDDEN = (0.02, 0.2)
"""Range of the share of the image that a cutout hides (1708.04896 goes up to 0.4, which hides most objects) ..."""
SLIMMEST = 3.0
"""... and how many times as long as wide, or wide as long, it is at most."""


def damaged(sample: Sample, data: Data, rng: np.random.Generator) -> Sample:
    """Each with its probability."""
    if data.blur and rng.random() < data.blur:
        sample = blurred(sample, rng.uniform(*BLUR))
    if data.greyscale and rng.random() < data.greyscale:
        sample = replace(sample, image=functional.rgb_to_grayscale(sample.image, num_output_channels=3))
    if data.cutout and rng.random() < data.cutout:
        sample = cutout(sample, rng, data.min_visible)
    return sample


def blurred(sample: Sample, sigma: float) -> Sample:
    """By a Gaussian of that standard deviation, which Pillow approaches with boxes in a fifth of the time."""
    pixels = Image.fromarray(sample.image.permute(1, 2, 0).contiguous().numpy())
    shown = np.array(pixels.filter(ImageFilter.GaussianBlur(sigma)))
    return replace(sample, image=torch.from_numpy(shown).permute(2, 0, 1).contiguous())


def cutout(sample: Sample, rng: np.random.Generator, min_visible: float) -> Sample:
    """Hide a rectangle behind noise (random erasing, 1708.04896), and its part of the label map.

    Boxes and masks stay whole. An object is dropped where less than `min_visible` of its box lies outside.
    """
    height, width = sample.size
    area = rng.uniform(*HIDDEN) * height * width
    aspect = math.exp(rng.uniform(-math.log(SLIMMEST), math.log(SLIMMEST)))
    high, wide = min(round(math.sqrt(area * aspect)), height), min(round(math.sqrt(area / aspect)), width)
    top, left = int(rng.integers(height - high + 1)), int(rng.integers(width - wide + 1))
    rows, columns = slice(top, top + high), slice(left, left + wide)
    image = sample.image.clone()
    image[:, rows, columns] = torch.from_numpy(rng.integers(256, size=(3, high, wide), dtype=np.uint8))
    target = sample.target
    if target.label_map is not None:
        label_map = target.label_map.clone()
        label_map[rows, columns] = IGNORE
        target = replace(target, label_map=label_map)
    x1, y1, x2, y2 = target.boxes.unbind(1)
    covered = (x2.clamp(max=left + wide) - x1.clamp(min=left)).clamp(min=0)
    covered = covered * (y2.clamp(max=top + high) - y1.clamp(min=top)).clamp(min=0)
    area_G = (x2 - x1) * (y2 - y1)
    return replace(sample, image=image, target=target[area_G - covered >= min_visible * area_G])
