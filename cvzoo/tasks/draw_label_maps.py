"""Label maps drawn on images, and as images of their own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from cvzoo.structures import IGNORE
from cvzoo.tasks.draw_boxes import AnyImage, as_pil, colour_of, scaled
from cvzoo.tasks.lettering import lettering, plate_size, write_plate

ALPHA = 0.5
"""Opacity of the classes' colours."""
GAP = 4
"""Pixels around the names in a legend."""


def draw_labels(
    image: AnyImage, labels: Tensor, classes: Sequence[str], long_side: int | None = None, legend: bool = True
) -> Image.Image:
    """A copy of the image with the colours of its pixels' classes blended over it; ignored pixels stay as they are.

    Args:
        image: the image.
        labels: (H, W) uint8, the class of each of the image's pixels.
        classes: name of each class.
        long_side: scale the image to this size in pixels first.
        legend: add a strip below the image, with the name of each class that occurs on its colour.
    """
    drawn, _ = scaled(as_pil(image), long_side)
    shown = label_image(labels).resize(drawn.size, Image.Resampling.NEAREST)
    classes_HW = np.asarray(shown)
    colours = shown.convert("RGB")
    drawn.paste(Image.blend(drawn, colours, ALPHA), mask=Image.fromarray(classes_HW != IGNORE))
    drawn.paste(colours, mask=Image.fromarray(_borders(classes_HW)))
    return _with_legend(drawn, occurring(labels), classes) if legend else drawn


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


def _with_legend(drawn: Image.Image, labels: Sequence[int], classes: Sequence[str]) -> Image.Image:
    """The image on top of the names of these labels, in as many lines as they need."""
    names, font = lettering(drawn, [classes[label] for label in labels])
    places: list[tuple[float, float]] = []
    x = GAP
    y = drawn.height + GAP
    height = plate_size("", font)[1]
    for name in names:
        width = plate_size(name, font)[0]
        if x > GAP and x + width > drawn.width:
            x = GAP
            y = y + height + GAP
        places.append((x, y))
        x += width + GAP
    whole = Image.new("RGB", (drawn.width, round(y + height + GAP)), "white")
    whole.paste(drawn)
    canvas = ImageDraw.Draw(whole)
    for label, name, place in zip(labels, names, places):
        write_plate(canvas, name, place, colour_of(label), font)
    return whole
