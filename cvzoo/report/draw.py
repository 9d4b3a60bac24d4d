"""Objects drawn on pictures: boxes, class names and scores."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchvision.transforms.functional import to_pil_image

from cvzoo.structures import Prediction, Target

Colour = tuple[int, int, int]
Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont
GOLDEN = 0.618034
"""Steps of the golden ratio around the colour wheel keep any number of neighbours apart."""


def draw(
    image: Image.Image | Tensor | np.ndarray,
    objects: Target | Prediction,
    classes: Sequence[str],
    min_score: float = 0.0,
    long_side: int | None = None,
) -> Image.Image:
    """A copy of the picture with its objects drawn on it, the best detection on top.

    Args:
        image: a PIL image, a (3, H, W) uint8 RGB tensor or an (H, W, 3) uint8 RGB array.
        objects: in the image's pixels; scores are written where there are any.
        classes: name of each label.
        min_score: leave out detections below this score.
        long_side: scale the picture to this size in pixels first, so that labels stay legible on small pictures.
    """
    picture = image.convert("RGB") if isinstance(image, Image.Image) else to_pil_image(image)
    scale = long_side / max(picture.size) if long_side else 1.0
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)))
    scores = objects.scores.tolist() if isinstance(objects, Prediction) else [None] * len(objects)
    marks = [
        (_inside([value * scale for value in box], picture), colour_of(label), _caption(str(classes[label]), score))
        for box, label, score in zip(objects.boxes.tolist(), objects.labels.tolist(), scores)
        if score is None or score >= min_score
    ]
    canvas = ImageDraw.Draw(picture)
    width = max(2, round(max(picture.size) / 250))
    font = ImageFont.load_default(max(11, round(max(picture.size) / 30)))
    for box, colour, _ in reversed(marks):
        canvas.rectangle(box, outline=colour, width=width)
    for box, colour, caption in reversed(marks):
        _write(canvas, caption, box, colour, font)
    return picture


def colour_of(label: int) -> Colour:
    """The colour of a class, the same in every picture."""
    red, green, blue = colorsys.hsv_to_rgb(label * GOLDEN % 1, 0.85 if label % 2 else 0.65, 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)


def _caption(name: str, score: float | None) -> str:
    return name if score is None else f"{name} {score:.2f}"


def _inside(box: list[float], picture: Image.Image) -> tuple[float, float, float, float]:
    """The part of a box that can be seen, at least a dot of it."""
    x1, x2 = (min(max(x, 0), picture.width - 1) for x in box[::2])
    y1, y2 = (min(max(y, 0), picture.height - 1) for y in box[1::2])
    return x1, y1, max(x1, x2), max(y1, y2)


def _write(canvas: ImageDraw.ImageDraw, text: str, box: tuple[float, ...], colour: Colour, font: Font) -> None:
    """Text on a plate of the box's colour: on top of the box, or within it where the picture ends."""
    _, _, right, bottom = canvas.textbbox((0, 0), text, font=font)
    width, height = right + 6, bottom + 4
    x = max(0, min(box[0], canvas.im.size[0] - width))
    y = box[1] - height if box[1] >= height else box[1]
    canvas.rectangle((x, y, x + width, y + height), fill=colour)
    is_light = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 140
    canvas.text((x + 3, y + 1), text, fill="black" if is_light else "white", font=font)
