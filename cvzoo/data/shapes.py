"""The drawn data set: rectangles, ellipses and triangles, or people, on a busy background, exactly annotated, endless.

Image i of a split is a pure function of (settings, split, i): nothing is stored or downloaded. figures.py draws people.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.random import Generator

from cvzoo.data.config import Data, Shapes
from cvzoo.data.dataset import digest_of
from cvzoo.data.figures import Figures, draw_figures, surface_of
from cvzoo.data.surfaces import surface_json
from cvzoo.ops.masks import mask_json
from cvzoo.ops.rle import encode
from cvzoo.structures import IGNORE, Mask, Sample, Size, Target

SplitName = Literal["train", "val"]

MIN_VISIBLE = 0.25
"""Objects of which later ones leave less than this share visible are not ground truth: nobody could name them.
In label maps their pixels are ignored."""


def _rectangle(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.maximum(abs(u), abs(v)) <= 1


def _ellipse(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return u * u + v * v <= 1


def _triangle(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return (v <= 1) & (v >= 2 * abs(u) - 1)


CLASSES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "rectangle": _rectangle,
    "ellipse": _ellipse,
    "triangle": _triangle,
}
"""Each shape as the points (u, v) of the square -1..1 that it covers."""
BACKGROUND = "background"
"""The class 0 of label maps; the shapes follow."""
PERSON = "person"
"""The class of drawn people."""


class ShapesDataset:
    """The drawn images of one split, with masks or surfaces if asked for, or label maps if `settings` ask for them.

    See `ObjectDataset` and `LabelMapImages` for the attributes.
    """

    def __init__(
        self,
        settings: Shapes,
        split: SplitName,
        indices: np.ndarray | None = None,
        masks: bool = False,
        surfaces: bool = False,
    ) -> None:
        count = settings.train_images if split == "train" else settings.val_images
        self._settings = settings
        self._split: SplitName = split
        self._masks = masks
        self._surfaces = surfaces
        self.classes = [PERSON] if settings.figures else [BACKGROUND, *CLASSES] if settings.label_maps else [*CLASSES]
        first = 0 if settings.label_maps else 1
        self.category_ids = list(range(first, first + len(self.classes)))
        self.image_ids = np.arange(count) if indices is None else indices
        self.sizes = np.full((len(self.image_ids), 2), settings.size, np.int32)
        self._ground_truth: dict[str, Any] | None = None

    def select(self, rows: np.ndarray) -> ShapesDataset:
        """The data set of these positions only."""
        return ShapesDataset(self._settings, self._split, self.image_ids[rows], self._masks, self._surfaces)

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, index: int) -> Sample:
        return self._draw(index)[0]

    def labels(self, index: int) -> np.ndarray:
        """(G,) int64 labels of the objects of an image, or the classes of its label map; draws it."""
        target = self[index].target
        if target.label_map is None:
            return target.labels.numpy()
        classes = np.unique(target.label_map.numpy()).astype(np.int64)
        return classes[classes != IGNORE]

    @property
    def digest(self) -> str:
        return digest_of(dataclasses.asdict(self._settings))

    def in_order(self, classes: list[str]) -> ShapesDataset:
        if classes != self.classes:
            raise ValueError(f"drawn data have the classes {', '.join(self.classes)} in this order alone")
        return self

    @property
    def names(self) -> list[str]:
        """A name for each image: its split and number."""
        return [f"{self._split}_{image_id}" for image_id in self.image_ids.tolist()]

    def _draw(self, index: int) -> tuple[Sample, np.ndarray]:
        image_id = int(self.image_ids[index])
        painting = self.painting(index)
        surfaces_of = image_id if self._surfaces else None
        sample, areas = _annotate(painting, self._masks, self._settings.label_maps, surfaces_of)
        sample.image_id = image_id
        return sample, areas

    def painting(self, index: int) -> Painting:
        """What there is to know of an image."""
        rng = np.random.default_rng((0 if self._split == "train" else 1, int(self.image_ids[index])))
        count = int(rng.integers(1, self._settings.max_objects + 1))
        return paint(self._settings.size, self._settings.size, count, rng, self._settings.figures)

    @property
    def ground_truth(self) -> dict[str, Any]:
        """The annotations in COCO's format; drawn when first asked for."""
        if self._ground_truth is None:
            self._ground_truth = self._draw_ground_truth()
        return self._ground_truth

    def _draw_ground_truth(self) -> dict[str, Any]:
        annotations: list[dict[str, Any]] = []
        for index, image_id in enumerate(self.image_ids.tolist()):
            sample, areas = self._draw(index)
            target = sample.target
            for number, (x1, y1, x2, y2) in enumerate(target.boxes.tolist()):
                more = {} if target.masks is None else {"segmentation": mask_json(target.masks[number])}
                surface = None if target.surfaces is None else target.surfaces[number]
                more |= {} if surface is None else surface_json(surface)
                annotations.append(
                    {
                        "id": len(annotations) + 1,  # not 0, which pycocotools takes for "unmatched"
                        "image_id": image_id,
                        "category_id": self.category_ids[int(target.labels[number])],
                        "bbox": [x1, y1, x2 - x1, y2 - y1],
                        "area": int(areas[number]),
                        "iscrowd": 0,
                        **more,
                    }
                )
        size = self._settings.size
        files = [(image_id, f"{name}.png") for image_id, name in zip(self.image_ids.tolist(), self.names)]
        return {
            "images": [{"id": i, "file_name": file, "height": size, "width": size} for i, file in files],
            "annotations": annotations,
            "categories": [{"id": i, "name": name} for i, name in zip(self.category_ids, self.classes)],
        }


def draw(
    height: int,
    width: int,
    objects: int,
    seed: int,
    masks: bool = False,
    label_maps: bool = False,
    surfaces: bool = False,
    figures: bool = False,
) -> Sample:
    """Draw one image of any size, with up to `objects` objects: those that others hide are not annotated.

    Args:
        masks: annotate masks too.
        label_maps: annotate a label map instead of objects.
        surfaces: draw people, and annotate their surfaces too.
        figures: draw people.
    """
    painting = paint(height, width, objects, np.random.default_rng(seed), figures or surfaces)
    return _annotate(painting, masks, label_maps, seed if surfaces else None)[0]


def draw_for(data: Data, size: Size, objects: int, seed: int) -> Sample:
    """Draw one image with the kind of truth that the data have."""
    figures = data.source == "shapes" and data.shapes.figures
    return draw(*size, objects, seed, data.masks, data.semantic, data.surfaces, figures)


@dataclass(frozen=True)
class Painting:
    """An image and what it shows."""

    image: np.ndarray
    """(3, H, W) uint8."""
    owner: np.ndarray
    """(H, W) int16: which object a pixel shows, counted from 1; 0 is the background."""
    labels: np.ndarray
    """(G,) int64: the label of each object."""
    areas: np.ndarray
    """(G,) int64: the pixels of each object before others hid it."""
    figures: Figures | None = None
    """Of drawn people: their parts and coordinates."""

    def shown(self) -> np.ndarray:
        """The numbers, from 1, of the objects that can be seen."""
        visible = np.bincount(self.owner.ravel(), minlength=len(self.labels) + 1)[1:]
        return np.flatnonzero(visible >= np.maximum(MIN_VISIBLE * self.areas, 1)) + 1

    def objects(self) -> list[tuple[int, np.ndarray]]:
        """Label and visible pixels, (H, W) bool, of each object that can be seen."""
        return [(int(self.labels[number - 1]), self.owner == number) for number in self.shown().tolist()]

    def label_map(self) -> np.ndarray:
        """(H, W) uint8: 0 for the background, the shapes from 1, IGNORE where an object shows that cannot be named."""
        shown = self.shown()
        table = np.full(len(self.labels) + 1, IGNORE, np.uint8)
        table[0] = 0
        table[shown] = self.labels[shown - 1] + 1
        return table[self.owner]


def paint(height: int, width: int, count: int, rng: Generator, figures: bool = False) -> Painting:
    """Paint `count` objects, or people, later ones over earlier ones."""
    image = _background(height, width, rng)
    if figures:
        people = draw_figures(image, count, rng)
        return Painting(image, people.owner, np.zeros(count, np.int64), people.areas, people)
    owner = np.zeros((height, width), np.int16)
    shapes = list(CLASSES.values())
    labels, areas = np.zeros((2, count), np.int64)
    for index in range(count):
        labels[index] = rng.integers(len(CLASSES))
        window, inside = _place(shapes[labels[index]], height, width, rng)
        image[:, *window][:, inside] = _colour(rng)[:, None]
        owner[window][inside] = index + 1
        areas[index] = np.count_nonzero(inside)
    return Painting(image, owner, labels, areas)


def _place(
    shape: Callable[[np.ndarray, np.ndarray], np.ndarray], height: int, width: int, rng: Generator
) -> tuple[tuple[slice, slice], np.ndarray]:
    """Put a shape somewhere: sides of 1/8 to 1/2 of the image's short side, any rotation, centre in the image.

    Returns: the window of the image that holds it, and which of the window's pixels it covers.
    """
    side = min(height, width)
    half_w, half_h = rng.uniform(side / 16, side / 4, 2)
    margin = min(half_w, half_h)
    x, y = rng.uniform(margin, width - margin), rng.uniform(margin, height - margin)
    angle = rng.uniform(0, 2 * math.pi)
    reach = math.hypot(half_w, half_h)
    top = max(int(y - reach), 0)
    bottom = min(math.ceil(y + reach) + 1, height)
    left = max(int(x - reach), 0)
    right = min(math.ceil(x + reach) + 1, width)
    dy = np.arange(top, bottom, dtype=np.float32)[:, None] + (0.5 - y)
    dx = np.arange(left, right, dtype=np.float32) + (0.5 - x)
    u = (dx * math.cos(angle) + dy * math.sin(angle)) / half_w
    v = (dy * math.cos(angle) - dx * math.sin(angle)) / half_h
    return (slice(top, bottom), slice(left, right)), shape(u, v)


def _background(height: int, width: int, rng: Generator) -> np.ndarray:
    """A dull gradient with fine noise and, often, coarse blotches: (3, H, W) uint8."""
    base = rng.uniform(85, 170) + rng.uniform(-25, 25, (3, 1, 1))
    slopes = rng.uniform(-25, 25, (2, 3, 1, 1)).astype(np.float32)
    down = base.astype(np.float32) + slopes[0] * np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None]
    image = down + slopes[1] * np.linspace(-0.5, 0.5, width, dtype=np.float32)
    texture = rng.integers(-12, 13, (height, width), dtype=np.int8)
    if rng.random() < 0.7:
        cell = int(rng.integers(4, 25))
        coarse = rng.integers(-20, 21, (height // cell + 1, width // cell + 1), dtype=np.int8)
        texture += coarse.repeat(cell, 0).repeat(cell, 1)[:height, :width]
    image += texture  # at most 170 + 25 + 25 + 32, at least 85 - 25 - 25 - 32: nothing overflows
    return image.astype(np.uint8)


def _colour(rng: Generator) -> np.ndarray:
    """A colour with clearly different channels, which the dull background does not have."""
    return rng.permuted(rng.integers((0, 0, 170), (80, 256, 256))).astype(np.uint8)


def _annotate(painting: Painting, masks: bool, label_maps: bool, surfaces_of: int | None) -> tuple[Sample, np.ndarray]:
    """The sample with its objects or its label map; and the objects' areas.

    With a number, the surfaces of people are annotated too, at places that are drawn from it.
    """
    sample = Sample(torch.from_numpy(painting.image), original_size=painting.owner.shape)
    if label_maps:
        sample.target = replace(Target.empty(), label_map=torch.from_numpy(painting.label_map()))
        return sample, np.zeros(0, np.int64)
    objects = painting.objects()
    boxes = np.zeros((len(objects), 4), np.float32)
    for box, (_, mask) in zip(boxes, objects):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box[:] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    labels = np.array([label for label, _ in objects], np.int64)
    areas = np.array([np.count_nonzero(mask) for _, mask in objects], np.int64)
    codes: list[Mask] | None = [encode(mask) for _, mask in objects] if masks else None
    sample.target = Target(torch.from_numpy(boxes), torch.from_numpy(labels), codes)
    if painting.figures is not None and surfaces_of is not None:
        rng = np.random.default_rng(surfaces_of)
        people = zip(painting.shown().tolist(), boxes.astype(int).tolist())
        sample.target.surfaces = [surface_of(painting.figures, number, box, rng) for number, box in people]
    return sample, areas
