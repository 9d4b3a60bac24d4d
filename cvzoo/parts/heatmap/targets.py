"""What heat maps learn: a Gaussian around the key point of every object (1808.01244, section 3.2; 1904.07850).

Everything is drawn for a whole batch at once, with no loop over images, objects or pixels.

Shape suffixes: O objects of all images, M maps of all images (one per image and class), H W cells, P cells of all
objects' windows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from cvzoo.fields import Share
from cvzoo.ops.class_ids import outputs_of
from cvzoo.ops.transfer import numbered, on_device
from cvzoo.structures import Size, Target

RadiusRule = Literal["roots", "undivided"]
"""`roots`: the solutions of the three quadratic equations (1808.01244, mmdetection). `undivided`: sums in place of the
solutions, never divided by the equations' leading coefficients (the published code of 1904.07850, and cvpods)."""


@dataclass(frozen=True, kw_only=True)
class GaussianConfig:
    """How far around an object's key point its heat map is warm."""

    min_overlap: Share = 0.3
    """A box moved by less than the Gaussian's radius overlaps the true one by at least this IoU."""
    rule: RadiusRule = "roots"
    """How the radius solves for that overlap: `roots`, or the wider `undivided`."""
    round_up: bool = False
    """Count the sides of a box in whole cells, rounded up, when its radius is computed (the published repositories)."""

    def radius(self, sides_O2: Tensor) -> Tensor:
        """(O,) int64: the radius in cells for boxes of (height, width) cells."""
        sides_O2 = sides_O2.double()
        sides_O2 = sides_O2.ceil() if self.round_up else sides_O2
        return gaussian_radius(sides_O2, self.min_overlap, self.rule).long().clamp(min=0)


def gaussian_radius(sides_O2: Tensor, min_overlap: float, rule: RadiusRule = "roots") -> Tensor:
    """(O,) float64: how far the corners of boxes of (height, width) may lie off, for that IoU with the true box.

    Three cases, each a quadratic equation: both corners move the same way, both inwards, both outwards.
    """
    height, width = sides_O2.double().unbind(dim=1)
    both, area, o = height + width, height * width, min_overlap
    moved = (1.0, both, area * (1 - o) / (1 + o))
    inside = (4.0, 2 * both, area * (1 - o))
    outside = (4 * o, -2 * o * both, area * (o - 1))
    radii = []
    for sign, (a, b, c) in zip((-1, -1, 1), (moved, inside, outside)):
        root = (b.square() - 4 * a * c).sqrt()
        radii.append((b + sign * root) / (2 * a) if rule == "roots" else (b + root) / 2)
    return torch.stack(radii).amin(dim=0)


def draw(cells_O2: Tensor, radius_O: Tensor, map_O: Tensor, maps: int, size: Size) -> Tensor:
    """(M, H, W) float32: Gaussians around the cells (x, y) of objects, each in its map; where some meet, the highest.

    A Gaussian has a standard deviation of a sixth of its window's side, 2 * radius + 1, and ends with the window.
    """
    height, width = size
    side_O = 2 * radius_O + 1
    cells_O = side_O.square()
    cells = int(cells_O.sum())  # a GPU has to say it: the only wait
    object_P = torch.repeat_interleave(cells_O, output_size=cells)
    first_O = cells_O.cumsum(0) - cells_O
    place_P = torch.arange(len(object_P), device=object_P.device) - first_O[object_P]
    side_P = side_O[object_P]
    offset_P2 = torch.stack([place_P % side_P, place_P // side_P], dim=1) - radius_O[object_P, None]
    x_P, y_P = (cells_O2[object_P] + offset_P2).unbind(dim=1)
    sigma_P = side_P / 6
    value_P = torch.exp(-offset_P2.square().sum(dim=1) / (2 * sigma_P.square()))
    inside_P = (x_P >= 0) & (x_P < width) & (y_P >= 0) & (y_P < height)
    # what lies outside adds nothing, to a cell at the border
    cell_P = (map_O[object_P] * height + y_P.clamp(0, height - 1)) * width + x_P.clamp(0, width - 1)
    heat = torch.zeros(maps * height * width, device=cells_O2.device)
    heat.scatter_reduce_(0, cell_P, value_P * inside_P, "amax")
    return heat.view(maps, height, width)


class Objects(NamedTuple):
    """The objects of all images, one after the other."""

    image_O: Tensor
    """The image each one is in."""
    boxes_O4: Tensor
    """In cells of the heat map."""
    labels_O: Tensor
    """The network's output for its class."""

    def peaks(self, cells_O2: Tensor) -> tuple[Tensor, ...]:
        """Where (N, K, H, W) heat maps are 1 that have been drawn around these cells; twice where objects meet."""
        return self.image_O, self.labels_O, cells_O2[:, 1], cells_O2[:, 0]


def objects_of(
    targets: list[Target],
    canvas: Size,
    size: Size,
    class_ids: tuple[int, ...] = (),
    margin: float = 0.0,
) -> Objects:
    """The objects of a batch, their boxes scaled from the canvas to maps of `size`.

    They are clipped to the maps, at the right and bottom to `margin` cells less.
    """
    boxes_O4 = torch.cat([target.boxes for target in targets])
    (height, width), (rows, columns) = canvas, size
    where = boxes_O4.device, boxes_O4.dtype
    boxes_O4 = boxes_O4 * on_device([columns / width, rows / height] * 2, *where)
    boxes_O4 = boxes_O4.clamp(min=0).minimum(on_device([columns - margin, rows - margin] * 2, *where))
    labels_O = outputs_of(torch.cat([target.labels for target in targets]), class_ids)
    image_O = numbered([len(target) for target in targets], boxes_O4.device)
    return Objects(image_O, boxes_O4, labels_O)


def cells_of(points_O2: Tensor, size: Size) -> Tensor:
    """(O, 2) int64: the cells (x, y) of maps of `size` that points fall into; the last one has its far side, too."""
    return points_O2.long().minimum(on_device([size[1] - 1, size[0] - 1], points_O2.device))


def last_in_cell(image_O: Tensor, cells_O2: Tensor, images: int, size: Size) -> Tensor:
    """(O,) float32: 1 for the last object at a cell of an image's map of `size`, 0 for those before it."""
    height, width = size
    cell_O = (image_O * height + cells_O2[:, 1]) * width + cells_O2[:, 0]
    number_O = torch.arange(len(cell_O), device=cell_O.device)
    last = number_O.new_zeros(images * height * width).scatter_reduce_(0, cell_O, number_O, "amax")
    return (last[cell_O] == number_O).float()


def at_cells(maps_NCHW: Tensor, image_O: Tensor, cells_O2: Tensor) -> Tensor:
    """(O, C) float32: the values of maps at cells (x, y) of some images."""
    return maps_NCHW[image_O, :, cells_O2[:, 1], cells_O2[:, 0]].float()
