"""What an augmentation moves, and which images it brings together; all chance comes from one generator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cvzoo.data.config import Data
from cvzoo.data.mixing import copy_paste, mixup, mosaic
from cvzoo.data.transforms import upend
from cvzoo.data.warp import drawn_map, warp
from cvzoo.structures import Sample


def rearranged(sample: Sample, data: Data, rng: np.random.Generator, other: Callable[[], Sample] | None) -> Sample:
    """A resized image with the settings' mosaic, warp, MixUp, copy-paste and vertical flip.

    Args:
        other: gives another resized image, each time it is called; None mixes none in.
    """
    if other and rng.random() < data.mosaic:
        size = data.crop or data.canvas or sample.size
        four = mosaic([sample, other(), other(), other()], size, rng)
        sample = warp(four, drawn_map(data, four.size, size, rng), size, data.min_visible)
    elif data.warps:
        sample = warp(sample, drawn_map(data, sample.size, sample.size, rng), sample.size, data.min_visible)
    if other and rng.random() < data.mixup:
        sample = mixup(sample, other(), rng, data.min_visible)
    if other and rng.random() < data.copy_paste:
        sample = copy_paste(sample, other(), rng, data.min_visible)
    return upend(sample) if rng.random() < data.vertical_flip else sample
