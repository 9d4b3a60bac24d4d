"""Objects drawn on images: masks, boxes, class names and scores."""

from __future__ import annotations

import colorsys
from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor
from torchvision.transforms.functional import to_pil_image

from cvzoo.ops.masks import scale_mask, to_bitmap
from cvzoo.structures import Prediction, Size, Target
from cvzoo.tasks.lettering import Colour, lettering, plate_size, write_plate
from cvzoo.tasks.placing import placed

AnyImage: TypeAlias = Image.Image | Tensor | np.ndarray
"""A PIL image, a (3, H, W) uint8 RGB tensor or an (H, W, 3) uint8 RGB array."""
GOLDEN = 0.618034
"""Steps of the golden ratio around the colour wheel keep any number of neighbours apart ..."""
TONES = ((0.85, 0.95), (0.85, 0.55), (0.4, 0.95))
"""... and every eighth step, as hues come close again, another saturation and brightness: vivid, dark, pale."""
ALPHA = 0.45
"""Opacity of a mask."""
HUES = 0.16
"""Share of the colour wheel over which objects of one class with masks are spread ..."""
SHADES = (1.0, 0.75)
"""... and their brightness, in turn."""


def draw(
    image: AnyImage,
    objects: Target | Prediction,
    classes: Sequence[str],
    min_score: float = 0.0,
    long_side: int | None = None,
) -> Image.Image:
    """A copy of the image with its objects drawn on it, the best detection on top.

    Args:
        image: the image.
        objects: in the image's pixels; scores are written where there are any.
        classes: name of each label.
        min_score: leave out detections below this score.
        long_side: scale the image to this size in pixels first, so that labels stay legible on small images.
    """
    drawn = as_pil(image)
    size = (drawn.height, drawn.width)
    drawn, scale = scaled(drawn, long_side)
    if isinstance(objects, Prediction):
        objects = objects[objects.scores >= min_score]
    labels = objects.labels.tolist()
    line = max(2, round(max(drawn.size) / 250))
    if objects.masks is None:
        colours = [colour_of(label) for label in labels]
    else:
        colours = instance_colours(labels)
        line = line // 2
        drawn = _with_masks(drawn, size, objects, colours, line)
    boxes = [inside([value * scale for value in box], drawn) for box in objects.boxes.tolist()]
    scores = objects.scores.tolist() if isinstance(objects, Prediction) else [None] * len(labels)
    captions = [_caption(str(classes[label]), score) for label, score in zip(labels, scores)]
    canvas = ImageDraw.Draw(drawn)
    for box, colour in reversed(list(zip(boxes, colours))):
        canvas.rectangle(box, outline=colour, width=line)
    captions, font = lettering(drawn, captions)
    places = placed(boxes, [plate_size(caption, font) for caption in captions], drawn.size)
    for caption, place, colour in reversed(list(zip(captions, places, colours))):
        write_plate(canvas, caption, place, colour, font)
    return drawn


def as_pil(image: AnyImage) -> Image.Image:
    """The image as PIL's, in RGB."""
    return image.convert("RGB") if isinstance(image, Image.Image) else to_pil_image(image)


def scaled(drawn: Image.Image, long_side: int | None) -> tuple[Image.Image, float]:
    """A copy of the image with this long side, or its own, and the factor between them."""
    scale = long_side / max(drawn.size) if long_side else 1.0
    return drawn.resize((round(drawn.width * scale), round(drawn.height * scale))), scale


def colour_of(label: int) -> Colour:
    """The colour of a class, the same in every image."""
    saturation, value = TONES[label // 8 % len(TONES)]
    red, green, blue = colorsys.hsv_to_rgb(label * GOLDEN % 1, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def instance_colours(labels: Sequence[int]) -> list[Colour]:
    """A colour for each object: its class's for the first of a class, then near it, darker and lighter in turn."""
    seen: Counter[int] = Counter()
    colours: list[Colour] = []
    for label in labels:
        turn = (seen[label] * GOLDEN + 0.5) % 1 - 0.5
        hue, saturation, value = colorsys.rgb_to_hsv(*colour_of(label))
        shade = value * SHADES[seen[label] % len(SHADES)]
        red, green, blue = colorsys.hsv_to_rgb((hue + HUES * turn) % 1, saturation, shade)
        colours.append((round(red), round(green), round(blue)))
        seen[label] += 1
    return colours


def _with_masks(
    drawn: Image.Image, size: Size, objects: Target | Prediction, colours: Sequence[Colour], contour: int
) -> Image.Image:
    """The image, which was of `size`, with masks in translucent colours, small ones over large ones."""
    assert objects.masks is not None
    before, pixels = np.array(drawn), np.array(drawn)
    shown = (drawn.height, drawn.width)
    areas = (objects.boxes[:, 2:] - objects.boxes[:, :2]).prod(1)
    for number in areas.argsort(descending=True).tolist():
        mask = objects.masks[number]
        bitmap = to_bitmap(mask if shown == size else scale_mask(mask, size, shown), shown)
        _paint(pixels, before, bitmap, colours[number], contour)
    return Image.fromarray(pixels)


def _paint(pixels_HW3: np.ndarray, before_HW3: np.ndarray, bitmap_HW: np.ndarray, colour: Colour, contour: int) -> None:
    """Blend a mask with what was there before all masks, and draw its border `contour` pixels wide."""
    rows, columns = np.flatnonzero(bitmap_HW.any(1)), np.flatnonzero(bitmap_HW.any(0))
    if not len(rows):
        return
    window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    inside = bitmap_HW[window].astype(bool)
    part = pixels_HW3[window]
    part[inside] = before_HW3[window][inside] * (1 - ALPHA) + np.array(colour) * ALPHA
    eroded = Image.fromarray(np.pad(inside, contour)).convert("L").filter(ImageFilter.MinFilter(2 * contour + 1))
    core = np.array(eroded)[contour:-contour, contour:-contour] > 0
    part[inside & ~core] = colour


def _caption(name: str, score: float | None) -> str:
    return name if score is None else f"{name} {score:.2f}"


def inside(box: list[float], drawn: Image.Image) -> tuple[float, float, float, float]:
    """The part of a box that can be seen, at least a dot of it."""
    x1, x2 = (min(max(x, 0), drawn.width - 1) for x in box[::2])
    y1, y2 = (min(max(y, 0), drawn.height - 1) for y in box[1::2])
    return x1, y1, max(x1, x2), max(y1, y2)
