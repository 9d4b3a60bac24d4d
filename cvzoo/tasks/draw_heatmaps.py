"""Heat maps drawn over images, and on them the detections: the key points, and which of them belong together.

Shape suffixes: H W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import Colormap, LinearSegmentedColormap
from PIL import Image, ImageDraw, ImageEnhance
from torch import Tensor

from cvzoo.parts.heatmap.heat import Heat, Point
from cvzoo.structures import Prediction, Size
from cvzoo.tasks.draw_boxes import AnyImage, as_pil, inside, scaled
from cvzoo.tasks.lettering import Colour, lettering, plate_size

LIGHT, COLOUR = 0.45, 0.2
"""Brightness and saturation that are left to the image, so that its own colours are not taken for heat."""
SMALLEST = 480
"""Smaller images are enlarged to this long side, or dots would cover what they mark."""
FAINT = 0.6
"""Brightness of the box or line of a detection of score 0; at score 1 it is white."""


def _ramp(*colours: str) -> Colormap:
    return LinearSegmentedColormap.from_list("heat", colours)


RAMPS: Mapping[Point, Colormap] = {
    "centre": _ramp("#d01c8b", "#ff3d5a", "#ff8a1f", "#ffd83a", "#ffffe0"),
    "top_left": _ramp("#0060ff", "#00b4ff", "#c8f4ff"),
    "bottom_right": _ramp("#ff4800", "#ff8800", "#ffe8c0"),
}
"""The colours of heat from 0 to 1. Whatever colours somebody cannot see, blue and orange are different."""
DOTS: Mapping[Point, Colour] = {"centre": (255, 255, 255), "top_left": (0, 180, 255), "bottom_right": (255, 136, 0)}
PLACES: Mapping[Point, tuple[float, float]] = {
    "centre": (0.5, 0.5),
    "top_left": (0.0, 0.0),
    "bottom_right": (1.0, 1.0),
}
"""Where in a box a point lies, as shares of its width and height."""


def draw_heatmaps(image: AnyImage, heats: Sequence[Heat], found: Prediction, min_score: float) -> Image.Image:
    """The image, dark and grey, with heat over it and the detections on top; a legend below tells the colours.

    Where the heat shows one point of each object, a detection is its box and a dot at that point; where it shows two,
    a detection is two dots and the line between them.

    Args:
        image: the image.
        heats: where the network sees key points, in the image's pixels.
        found: the detections, in the image's pixels.
        min_score: leave out detections below this score.
    """
    shown = as_pil(image)
    shown, scale = scaled(shown, max(SMALLEST, *shown.size))
    size = shown.height, shown.width
    pixels_HW3 = warmed(np.asarray(_dimmed(shown)), [(heat.point, _scaled(heat.map_HW, size)) for heat in heats])
    drawn = Image.fromarray(pixels_HW3)
    points: list[Point] = [heat.point for heat in heats]
    found = found[found.scores >= min_score]
    for box, score in reversed(list(zip(found.boxes.tolist(), found.scores.tolist()))):
        _mark(drawn, inside([value * scale for value in box], drawn), score, points)
    return _with_legend(drawn, points)


def warmed(dim_HW3: np.ndarray, heats: Sequence[tuple[Point, np.ndarray]]) -> np.ndarray:
    """(H, W, 3) uint8: the image gives way to heat, also to little of it, and heat of several points adds up."""
    opacity = [1 - (1 - heat_HW[..., None]) ** 3 for _, heat_HW in heats]
    pixels_HW3 = dim_HW3 * (1 - np.max(opacity, axis=0))
    for (point, heat_HW), opacity_HW1 in zip(heats, opacity):
        pixels_HW3 += RAMPS[point](heat_HW, bytes=True)[..., :3] * opacity_HW1
    return pixels_HW3.clip(0, 255).round().astype(np.uint8)


def _dimmed(image: Image.Image) -> Image.Image:
    return ImageEnhance.Brightness(ImageEnhance.Color(image).enhance(COLOUR)).enhance(LIGHT)


def _scaled(map_HW: Tensor, size: Size) -> np.ndarray:
    image = Image.fromarray(map_HW.float().cpu().numpy())
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.BILINEAR))


def _mark(drawn: Image.Image, box: Sequence[float], score: float, points: Sequence[Point]) -> None:
    """Dots at these points of a detection; its box around a single one, else a line between them."""
    canvas = ImageDraw.Draw(drawn)
    width = max(1, round(max(drawn.size) / 500))
    colour = (round(255 * (FAINT + (1 - FAINT) * score)),) * 3
    x1, y1, x2, y2 = box
    places = [(x1 + PLACES[point][0] * (x2 - x1), y1 + PLACES[point][1] * (y2 - y1)) for point in points]
    if len(points) == 1:
        canvas.rectangle((x1, y1, x2, y2), outline=colour, width=width)
    else:
        canvas.line(places, fill=colour, width=width)
    for point, place in zip(points, places):
        (x, y), radius = place, 3 * width
        canvas.ellipse((x - radius, y - radius, x + radius, y + radius), DOTS[point], "black", width)


def _with_legend(drawn: Image.Image, points: Sequence[Point]) -> Image.Image:
    """The image on top of a line for each point: its name, and its colours from 0 to 1."""
    names, font = lettering(drawn, [f"{point.replace('_', ' ')}  0" for point in points])
    height = round(plate_size("", font)[1])
    begin = round(max(plate_size(name, font)[0] for name in names))
    width = max(drawn.width, 2 * begin)  # of narrow images, too, the bar can be seen
    end = width - round(plate_size("1", font)[0])
    whole = Image.new("RGB", (width, drawn.height + height * len(points)), "white")
    whole.paste(drawn)
    canvas = ImageDraw.Draw(whole)
    for number, (point, name) in enumerate(zip(points, names)):
        y = drawn.height + number * height
        font.write(canvas, (begin - plate_size(name, font)[0] + 3, y + 1), name, "black")
        font.write(canvas, (end + 3, y + 1), "1", "black")
        shares_W = np.linspace(0, 1, end - begin, dtype=np.float32)
        bar_HW3 = warmed(np.zeros((height - 4, len(shares_W), 3)), [(point, np.tile(shares_W, (height - 4, 1)))])
        whole.paste(Image.fromarray(bar_HW3), (begin, y + 2))
    return whole
