"""Label maps drawn on pictures, and as pictures of their own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from cvzoo.report.draw import AnyImage, as_pil, colour_of, font_for, plate_size, scaled, write_plate
from cvzoo.structures import IGNORE

ALPHA = 0.5
"""Opacity of the classes' colours."""
GAP = 4
"""Pixels around the names in a legend."""


def draw_labels(
    image: AnyImage, labels: Tensor, classes: Sequence[str], long_side: int | None = None, legend: bool = True
) -> Image.Image:
    """A copy of the picture with the colours of its pixels' classes blended over it; ignored pixels stay as they are.

    Args:
        image: the picture.
        labels: (H, W) uint8, the class of each of the picture's pixels.
        classes: name of each class.
        long_side: scale the picture to this size in pixels first.
        legend: add a strip below the picture, with the name of each class that occurs on its colour.
    """
    picture, _ = scaled(as_pil(image), long_side)
    shown = label_image(labels).resize(picture.size, Image.Resampling.NEAREST)
    classes_HW, colours = np.asarray(shown), shown.convert("RGB")
    picture.paste(Image.blend(picture, colours, ALPHA), mask=Image.fromarray(classes_HW != IGNORE))
    picture.paste(colours, mask=Image.fromarray(_borders(classes_HW)))
    return _with_legend(picture, occurring(labels), classes) if legend else picture


def occurring(labels: Tensor) -> list[int]:
    """The classes of which a label map has pixels."""
    return [label for label in labels.unique().tolist() if label != IGNORE]


def label_image(labels: Tensor) -> Image.Image:
    """The (H, W) uint8 label map as an image whose pixels are class numbers and whose palette their colours.

    Saved as PNG it can be looked at, and read again with `np.asarray(Image.open(path))`. IGNORE is black.
    """
    image = Image.fromarray(labels.cpu().numpy())
    image.putpalette([value for label in range(IGNORE) for value in colour_of(label)] + [0, 0, 0])
    return image


def _borders(classes_HW: np.ndarray) -> np.ndarray:
    """The pixels that differ from the one to the right or below, ignored ones left out."""
    border = np.zeros(classes_HW.shape, bool)
    border[:, :-1] |= classes_HW[:, :-1] != classes_HW[:, 1:]
    border[:-1] |= classes_HW[:-1] != classes_HW[1:]
    return border & (classes_HW != IGNORE)


def _with_legend(picture: Image.Image, labels: Sequence[int], classes: Sequence[str]) -> Image.Image:
    """The picture on top of the names of these labels, in as many lines as they need."""
    font = font_for(picture)
    places: list[tuple[int, tuple[float, float]]] = []
    x, y, height = GAP, picture.height + GAP, plate_size("", font)[1]
    for label in labels:
        width = plate_size(classes[label], font)[0]
        if x > GAP and x + width > picture.width:
            x, y = GAP, y + height + GAP
        places.append((label, (x, y)))
        x += width + GAP
    whole = Image.new("RGB", (picture.width, round(y + height + GAP)), "white")
    whole.paste(picture)
    canvas = ImageDraw.Draw(whole)
    for label, place in places:
        write_plate(canvas, classes[label], place, colour_of(label), font)
    return whole
