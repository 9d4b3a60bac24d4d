"""Anchors: boxes of fixed sizes and shapes around every cell of a feature map."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from cvzoo.fields import Count, Positive
from cvzoo.ops.points import Grid, grid_points
from cvzoo.structures import Size, size_of


@dataclass(frozen=True, kw_only=True)
class AnchorConfig:
    """Anchors of a feature pyramid, level by level from fine to coarse."""

    sizes: tuple[tuple[Positive, ...], ...]
    """Per level: square roots of the anchor areas, in pixels of the network's input."""
    ratios: tuple[tuple[Positive, ...], ...] = ((0.5, 1.0, 2.0),)
    """Per level, or one set for all levels: height / width."""
    strides: tuple[Count, ...] = (8, 16, 32, 64, 128)
    """Per level: pixels of the input per cell."""
    offset: float = 0.0
    """Where in its cell an anchor is centred: 0 is the top-left corner, 0.5 the middle."""
    order: Literal["size", "ratio"] = "size"
    """Which index runs slowest within a cell: `size` (detectron2, cvpods) or `ratio` (torchvision, mmdetection)."""
    rounded: bool = False
    """Round the half-extents to whole pixels (torchvision)."""
    stride_from_input: bool = False
    """Stride = padded input size // cells, per axis (torchvision), instead of the nominal stride."""

    def per_cell(self, level: int = 0) -> int:
        """Number of anchors in each cell of a level."""
        return len(self.sizes[level]) * len(self.ratios[level % len(self.ratios)])

    def __post_init__(self) -> None:
        if len(self.sizes) != len(self.strides):
            raise ValueError(f"anchors: {len(self.sizes)} levels of sizes but {len(self.strides)} strides")
        if len(self.ratios) not in (1, len(self.strides)):
            raise ValueError(f"anchors: give ratios once or for each of the {len(self.strides)} levels")


def octave_sizes(bases: tuple[float, ...], octaves: int = 3) -> tuple[tuple[float, ...], ...]:
    """Per level `octaves` sizes base * 2^(i / octaves), the scales of 1708.02002, section 4."""
    return tuple(tuple(base * 2 ** (i / octaves) for i in range(octaves)) for base in bases)


def cell_anchors(config: AnchorConfig, level: int) -> Tensor:
    """The (A, 4) anchors of one cell, xyxy around (0, 0)."""
    sizes = config.sizes[level]
    ratios = config.ratios[level % len(config.ratios)]
    by_size = [(s, r) for s in sizes for r in ratios]
    pairs = by_size if config.order == "size" else [(s, r) for r in ratios for s in sizes]
    half_wh = [(s / math.sqrt(r) / 2, s * math.sqrt(r) / 2) for s, r in pairs]
    anchors = torch.tensor([(-w, -h, w, h) for w, h in half_wh], dtype=torch.float32)
    return anchors.round() if config.rounded else anchors


@lru_cache(maxsize=64)
def pyramid_anchors(
    config: AnchorConfig, grids: tuple[Grid, ...], input_size: Size, device: torch.device
) -> tuple[Tensor, ...]:
    """All anchors of a pyramid: per level (H * W * A, 4) xyxy in the order row, column, anchor.

    `grids` are the (H, W) of the levels, `input_size` that of the padded input. Cached: do not write into the result.
    """
    anchors = []
    for level, (grid, stride) in enumerate(zip(grids, config.strides)):
        points_P2 = grid_points(grid, stride, input_size, config.offset, config.stride_from_input, device)
        anchors.append((points_P2.repeat(1, 2).unsqueeze(1) + cell_anchors(config, level).to(device)).reshape(-1, 4))
    return tuple(anchors)


def anchors_of(config: AnchorConfig, maps: list[Tensor], canvas: Size) -> tuple[Tensor, ...]:
    """L of (H * W * A, 4): the anchors of the cells of some maps."""
    # the sizes of an exported graph are no numbers that a cache could compare
    make = pyramid_anchors.__wrapped__ if torch.compiler.is_exporting() else pyramid_anchors
    return make(config, tuple(size_of(x) for x in maps), canvas, maps[0].device)


def per_anchor(x_NCHW: Tensor, columns: int) -> Tensor:
    """(..., A * columns, H, W) to (..., H * W * A, columns), the order of the anchors; no copy in channels_last."""
    return x_NCHW.unflatten(-3, (-1, columns)).movedim((-2, -1), (-4, -3)).flatten(-4, -2)
