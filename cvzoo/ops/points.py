"""Locations: one point for every cell of a feature map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from cvzoo.fields import Count
from cvzoo.ops.transfer import on_device
from cvzoo.structures import Size, size_of

Grid = tuple[int, int]
"""(rows, columns) of a level."""


@dataclass(frozen=True, kw_only=True)
class PointConfig:
    """Where the cells of a pyramid lie in the input, level by level from fine to coarse."""

    strides: tuple[Count, ...] = (8, 16, 32, 64, 128)
    """Per level: pixels of the input per cell."""
    offset: float = 0.5
    """Where in its cell a point lies: 0 is the top-left corner, 0.5 the middle."""
    stride_from_input: bool = False
    """Step from cell to cell = padded input size // cells, per axis (torchvision), instead of the nominal stride."""


def grid_points(
    grid: Grid, stride: int, input_size: Size, offset: float, stride_from_input: bool, device: torch.device
) -> Tensor:
    """(H * W, 2): x and y of the cells of one level in pixels of the input, row by row."""
    rows, columns = grid
    step_y, step_x = (input_size[0] // rows, input_size[1] // columns) if stride_from_input else (stride, stride)
    y = (torch.arange(rows, device=device) + offset) * step_y
    x = (torch.arange(columns, device=device) + offset) * step_x
    y_HW, x_HW = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([x_HW, y_HW], dim=-1).reshape(-1, 2)


@lru_cache(maxsize=64)
def pyramid_points(
    config: PointConfig, grids: tuple[Grid, ...], input_size: Size, device: torch.device
) -> tuple[Tensor, ...]:
    """Per level (H * W, 2): the points of all cells. Cached: do not write into the result."""
    how = input_size, config.offset, config.stride_from_input, device
    return tuple(grid_points(grid, stride, *how) for grid, stride in zip(grids, config.strides))


def points_of(config: PointConfig, maps: list[Tensor], canvas: Size) -> tuple[Tensor, ...]:
    """L of (H * W, 2): the points of the cells of some maps."""
    # the sizes of an exported graph are no numbers that a cache could compare
    make = pyramid_points.__wrapped__ if torch.compiler.is_exporting() else pyramid_points
    return make(config, tuple(size_of(x) for x in maps), canvas, maps[0].device)


def per_level(values: tuple[float, ...], levels: list[Tensor] | tuple[Tensor, ...]) -> Tensor:
    """(M,): the value of its level for each of the M rows of all levels. Cached: do not write into the result."""
    return _per_level(values, tuple(map(len, levels)), levels[0].device)


@lru_cache(maxsize=64)
def _per_level(values: tuple[float, ...], counts: tuple[int, ...], device: torch.device) -> Tensor:
    return on_device(values, device).repeat_interleave(on_device(counts, device), output_size=sum(counts))


def cells_of_image(
    strides: tuple[int, ...], grids: tuple[Grid, ...], size: Size, divisor: int, per_cell: int, device: torch.device
) -> Tensor:
    """(M,) bool: which candidates belong to cells of an image of `size`, padded to `divisor`, and not to the canvas."""
    levels = []
    for (rows, columns), (own_rows, own_columns) in zip(grids, _own_grids(strides, size, divisor)):
        cells = torch.zeros(rows, columns, per_cell, dtype=torch.bool, device=device)
        cells[:own_rows, :own_columns] = True
        levels.append(cells.flatten())
    return torch.cat(levels)


def cut_to_image(
    levels: Sequence[Tensor], strides: tuple[int, ...], grids: tuple[Grid, ...], size: Size, divisor: int
) -> tuple[Tensor, ...]:
    """Of levels with a row for each candidate of each cell, the rows of the cells that are `cells_of_image`."""
    cells = (rows.unflatten(0, (*grid, -1)) for rows, grid in zip(levels, grids))
    return tuple(own[:y, :x].flatten(0, 2) for own, (y, x) in zip(cells, _own_grids(strides, size, divisor)))


def _own_grids(strides: tuple[int, ...], size: Size, divisor: int) -> list[Grid]:
    """Per level the cells of an image of `size`, padded to `divisor`."""
    height, width = (side + -side % divisor for side in size)
    return [(math.ceil(height / stride), math.ceil(width / stride)) for stride in strides]
