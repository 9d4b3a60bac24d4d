"""Surfaces of people drawn on images: parts in colours with lines of equal U and V, annotated points, a texture.

H W pixels of an image, h w of a window of it, P points, S the side of a texture's tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from cvzoo.data.body_parts import COARSE_OF, PARTS
from cvzoo.data.images import read_image
from cvzoo.data.surfaces import SIDE
from cvzoo.structures import Prediction, Surface, Target
from cvzoo.tasks.draw_boxes import ALPHA, AnyImage, as_pil, colour_of, draw, scaled

LINES = 5
"""U and V are divided into so many steps by lines."""
ROWS, COLUMNS = 6, 4
"""Tiles of an atlas: parts run down its columns, as in those of the DensePose project."""
TILE = 200
"""The side in pixels of a drawn atlas's tiles."""
FIELDS = 5
"""A drawn tile is a checkerboard with so many fields a side."""
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def draw_surfaces(
    image: AnyImage,
    objects: Target | Prediction,
    classes: Sequence[str],
    min_score: float = 0.0,
    long_side: int | None = None,
) -> Image.Image:
    """A copy of the image with surfaces and boxes drawn on it, the best detection on top; arguments as `draw` has."""
    drawn, scale = scaled(as_pil(image), long_side)
    if isinstance(objects, Prediction):
        objects = objects[objects.scores >= min_score]
        drawn = _with_maps(drawn, objects, scale)
    else:
        drawn = _with_annotations(drawn, objects, scale)
    return draw(drawn, replace(objects, boxes=objects.boxes * scale, masks=None, surfaces=None), classes)


def draw_texture(image: AnyImage, found: Prediction, atlas: np.ndarray, min_score: float = 0.0) -> Image.Image:
    """A copy of the image whose people wear a texture: (24, S, S, 3) uint8, a tile for each part.

    U runs to the right on a tile, V up.
    """
    pixels = np.array(as_pil(image))
    last = atlas.shape[1] - 1
    for rows, columns, surface in _windows(found[found.scores >= min_score], pixels.shape[:2], 1.0):
        part, u, v = surface
        worn = part > 0
        texels = atlas[part[worn] - 1, (255 - v[worn].astype(int)) * last // 255, u[worn].astype(int) * last // 255]
        pixels[rows, columns][worn] = texels
    return Image.fromarray(pixels)


def checkerboard() -> np.ndarray:
    """(24, S, S, 3): fields of the part's colour and of a pale one, the darker the further from U = 0."""
    field = np.arange(TILE) * FIELDS // TILE
    dark = (field[:, None] + field) % 2 == 1
    shade = np.linspace(1.0, 0.6, TILE)[None, :, None]
    tiles = [np.where(dark[:, :, None], colour_of(part), (245, 240, 225)) * shade for part in range(len(PARTS))]
    return np.array(tiles).astype(np.uint8)


def read_atlas(path: Path) -> np.ndarray:
    """(24, S, S, 3): the tiles of an image of 4 x 6 squares. ValueError if it cannot be divided so."""
    pixels = read_image(path).permute(1, 2, 0).numpy()
    height, width, _ = pixels.shape
    side = width // COLUMNS
    if side == 0 or (height, width) != (ROWS * side, COLUMNS * side):
        raise ValueError(f"{path} is {width} x {height} pixels; a texture has {COLUMNS} x {ROWS} square tiles")
    return pixels.reshape(ROWS, side, COLUMNS, side, 3).transpose(2, 0, 1, 3, 4).reshape(-1, side, side, 3)


def seen_parts(objects: Target | Prediction) -> set[int]:
    """The parts, 1..24, that a drawing of these objects shows."""
    if isinstance(objects, Prediction):
        return {int(part) for surface in objects.surfaces or () for part in surface[0].unique() if part > 0}
    return {int(part) for surface in objects.surfaces or () if surface is not None for part in surface.parts_P}


def _with_maps(drawn: Image.Image, found: Prediction, scale: float) -> Image.Image:
    """Predicted parts in translucent colours, with lines."""
    before, pixels = np.array(drawn), np.array(drawn)
    colours = np.array([BLACK, *(colour_of(part) for part in range(len(PARTS)))])
    for rows, columns, surface in _windows(found, before.shape[:2], scale):
        part = surface[0]
        worn = part > 0
        window = pixels[rows, columns]
        window[worn] = before[rows, columns][worn] * (1 - ALPHA) + colours[part[worn]] * ALPHA
        for values, colour in ((surface[1], WHITE), (surface[2], BLACK)):
            edge = worn & _steps(part, values)
            window[edge] = (window[edge] * 0.4 + np.array(colour) * 0.6).astype(np.uint8)
    return Image.fromarray(pixels)


def _steps(part_hw: np.ndarray, values_hw: np.ndarray) -> np.ndarray:
    """Where a value passes from one step to the next within a part."""
    step = values_hw.astype(int) * LINES // 256
    edge = np.zeros(part_hw.shape, bool)
    edge[:, :-1] |= (step[:, :-1] != step[:, 1:]) & (part_hw[:, :-1] == part_hw[:, 1:])
    edge[:-1] |= (step[:-1] != step[1:]) & (part_hw[:-1] == part_hw[1:])
    return edge


def _windows(found: Prediction, size: tuple[int, ...], scale: float) -> list[tuple[slice, slice, np.ndarray]]:
    """Rows and columns of the scaled image that each map covers, the best last, and the map there, (3, h, w)."""
    windows = []
    for (x1, y1, _, _), surface in zip(found.boxes.tolist(), found.surfaces or ()):
        top, bottom, rows = _covered(int(y1), surface.shape[1], size[0], scale)
        left, right, columns = _covered(int(x1), surface.shape[2], size[1], scale)
        windows.append((slice(top, bottom), slice(left, right), surface.numpy()[:, rows[:, None], columns]))
    return windows[::-1]


def _covered(start: int, length: int, limit: int, scale: float) -> tuple[int, int, np.ndarray]:
    """Where a map begins and ends along an axis of the scaled image, and which of its pixels is at each one there."""
    first = min(max(round(start * scale), 0), limit)
    last = min(max(round((start + length) * scale), first), limit)
    places = ((np.arange(first, last) + 0.5) / scale - start).astype(int)
    return first, last, places.clip(0, length - 1)


def _with_annotations(drawn: Image.Image, target: Target, scale: float) -> Image.Image:
    """Coarse parts in translucent colours, and the annotated points."""
    for surface in target.surfaces or ():
        if surface is not None:
            frame = [value * scale for value in surface.frame]
            drawn = drawn if surface.coarse is None else _with_coarse(drawn, surface, frame)
            _draw_points(ImageDraw.Draw(drawn), surface, frame)
    return drawn


def _with_coarse(drawn: Image.Image, surface: Surface, frame: Sequence[float]) -> Image.Image:
    assert surface.coarse is not None
    colours = np.zeros((max(COARSE_OF) + 1, 3))
    for part, coarse in reversed(list(enumerate(COARSE_OF[1:]))):
        colours[coarse] = colour_of(part)
    x1, y1, x2, y2 = (round(value) for value in frame)
    size = max(x2 - x1, 1), max(y2 - y1, 1)
    coarse = np.array(Image.fromarray(surface.coarse.numpy()).resize(size, Image.Resampling.NEAREST))
    cover = np.where(coarse > 0, round(255 * ALPHA), 0).astype(np.uint8)
    drawn.paste(Image.fromarray(colours[coarse].astype(np.uint8)), (x1, y1), Image.fromarray(cover))
    return drawn


def _draw_points(canvas: ImageDraw.ImageDraw, surface: Surface, frame: Sequence[float]) -> None:
    x1, y1, x2, y2 = frame
    radius = max(1.5, max(canvas.im.size) / 250)
    for (x, y), part in zip(surface.points_P2.tolist(), surface.parts_P.tolist()):
        centre = x1 + x / SIDE * (x2 - x1), y1 + y / SIDE * (y2 - y1)
        around = [coordinate + sign * radius for sign in (-1, 1) for coordinate in centre]
        canvas.ellipse(around, fill=colour_of(part - 1), outline="black")
