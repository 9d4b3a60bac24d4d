"""What the two kinds of run report share: objects.py shows boxes and masks, pixels.py label maps."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image
from torch import Tensor

from cvzoo.structures import Prediction, Segmentation, Target

Picture = tuple[Tensor, Target, Prediction | Segmentation]
"""(3, H, W) uint8 RGB with its ground truth and what was predicted, in the picture's pixels."""
Metrics = Mapping[str, Any]
"""metrics.json: by split, what an evaluation found."""
LONG_SIDE = 480
"""Pictures are shown this large, in pixels."""


@dataclass(frozen=True)
class Shown:
    """One picture, drawn twice."""

    truth: str
    """A data URI ..."""
    found: str
    """... and another."""
    truth_caption: str
    found_caption: str


@dataclass(frozen=True)
class Gallery:
    """The pictures of a report."""

    note: str
    """How to read them."""
    legend: list[tuple[str, str]]
    """Names and their colours in CSS, where the pictures do not tell them."""
    pictures: list[Shown]


def data_uri(image: Image.Image) -> str:
    """The image as a JPEG inside an address."""
    data = io.BytesIO()
    image.save(data, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode("ascii")
