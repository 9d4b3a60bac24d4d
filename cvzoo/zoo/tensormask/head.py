"""The head of TensorMask: every window's classes, and on demand the boxes and masks of some windows.

Of a hundred thousand windows a loss or a detector reads the boxes and masks of a few hundred. Their towers run in the
tiles of the maps that these depend on, with the values, losses and gradients of the dense head.
Shape suffixes: N images, C channels, H W cells, P windows of one level and kind, S side of their masks.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cvzoo.nn.layers import ConvNorm
from cvzoo.nn.towers import init_normal, logit
from cvzoo.nn.windows import grown, tower_in_tiles
from cvzoo.nn.winograd import WinogradConv
from cvzoo.ops.swap_align2nat import swap_align2nat_at
from cvzoo.ops.transfer import on_device
from cvzoo.structures import Size, size_of
from cvzoo.zoo.tensormask.windows import Windows, covered

Representation = Literal["bipyramid", "aligned", "natural"]
"""How masks are represented, from the paper's best to its simplest."""
BOX_TILE, MASK_TILE = 8, 16
"""Cells along a tile: of boxes, which few cells have, and of masks, which lie in large windows."""


class TensorMaskOutput(NamedTuple):
    """What is computed everywhere, level by level."""

    logits: list[Tensor]
    """L of (N, A * K, H, W): the classes of all windows, the class running fastest."""
    features: list[Tensor]
    """L of (N, C, H, W): the pyramid, from which the head makes boxes and masks of windows."""


class TensorMaskHead(nn.Module):
    """Three towers shared by the levels, and one layer of masks for each window of a cell."""

    CLASSES_FASTEST = ("cls_out",)
    """Layers whose outputs are windows x classes; see weights/class_count.py."""

    def __init__(
        self,
        channels: int,
        classes: int,
        masks: tuple[int, ...],
        representation: Representation,
        scales: tuple[int, ...],
        *,
        convs: int,
        tower_channels: tuple[int, int, int],
        prior: float,
        pad: float,
    ) -> None:
        """`masks` are the sides of the masks of a cell's windows on the finest level.

        `scales` are the levels' strides in those of the finest; `tower_channels` those of classes, boxes and masks;
        `prior` is the score every class starts from, `pad` the logit of what no window sees.
        """
        super().__init__()
        self.sides, self.representation, self.scales, self.pad = masks, representation, scales, pad
        cls_channels, box_channels, mask_channels = tower_channels
        self.cls_tower = _tower(channels, cls_channels, convs)
        self.cls_out = nn.Conv2d(cls_channels, len(masks) * classes, 3, padding=1)
        self.box_tower = _tower(channels, box_channels, convs)
        self.box_out = nn.Conv2d(box_channels, len(masks) * 4, 3, padding=1)
        self.mask_tower = _tower(channels, mask_channels, convs)
        self.mask_fuse = ConvNorm(mask_channels, mask_channels, relu=True) if representation == "bipyramid" else None
        self.mask_out = nn.ModuleDict({str(side): nn.Conv2d(mask_channels, side * side, 1) for side in masks})
        init_normal(self)
        nn.init.constant_(self.cls_out.get_parameter("bias"), logit(prior))

    def forward(self, features: list[Tensor]) -> TensorMaskOutput:
        return TensorMaskOutput([self.cls_out(self.cls_tower(x)) for x in features], features)

    def deltas(self, features: list[Tensor], windows: Windows) -> list[Tensor]:
        """L of (N, A * 4, H, W): the box code of these windows; other windows may hold anything."""
        layers = [*self.box_tower, self.box_out]
        return [
            tower_in_tiles(layers, x, windows.cells(level, len(x), size_of(x)), BOX_TILE)
            for level, x in enumerate(features)
        ]

    def masks(self, features: list[Tensor], windows: Windows) -> Iterator[tuple[np.ndarray, Tensor]]:
        """For each level and kind of window: which of the windows are meant, and their masks' logits (P, S, S)."""
        regions = [self._regions(level, features, windows) for level in range(len(features))]
        finest = None
        if self.mask_fuse is not None and len(windows):
            needed = np.any([_any(region) for region in regions if region], axis=0)
            finest = self._tower_at(features[0], grown(needed))
        for level, region in enumerate(regions):
            if not region:
                continue
            hidden = self._hidden(level, features, finest, _any(region))
            for kind, wanted in region.items():
                layer = self.mask_out[str(self.sides[kind])]
                x = tower_in_tiles([layer], hidden, wanted, MASK_TILE)
                rows = windows.at(level, kind)
                places = np.stack([windows.image[rows], windows.row[rows], windows.column[rows]])
                image_P, row_P, column_P = on_device(places, x.device)
                yield rows, self.natural_masks(x, image_P, row_P, column_P, level)

    def all_deltas(self, features: list[Tensor]) -> list[Tensor]:
        """`deltas` of all windows."""
        return [self.box_out(self.box_tower(x)) for x in features]

    def mask_maps(self, features: list[Tensor]) -> Iterator[tuple[int, int, Tensor]]:
        """For each level and kind of window: the map from which `natural_masks` reads the masks of any window."""
        towers = [self.mask_tower(x) for x in features]
        for level, x in enumerate(towers):
            if self.mask_fuse is not None:
                fine = _finer(x, self.scales[level], size_of(towers[0])) if self.scales[level] > 1 else x
                x = self.mask_fuse(fine + towers[0])
            for kind, side in enumerate(self.sides):
                yield level, kind, self.mask_out[str(side)](x)

    def natural_masks(self, x_NCHW: Tensor, image_P: Tensor, row_P: Tensor, column_P: Tensor, level: int) -> Tensor:
        """(P, S, S): the masks' logits of windows of one level and kind, from what its layer puts out."""
        if self.representation != "natural":
            return swap_align2nat_at(x_NCHW, image_P, row_P, column_P, self.scale(level), self.pad)
        side = round(x_NCHW.shape[1] ** 0.5)
        return x_NCHW[image_P, :, row_P, column_P].unflatten(1, (side, side))

    def _hidden(self, level: int, features: list[Tensor], finest: Tensor | None, wanted_NHW: np.ndarray) -> Tensor:
        """(N, C, H, W): what the mask layers of a level read; with a bipyramid on the finest level's cells."""
        x = features[level]
        if finest is None:
            return self._tower_at(x, wanted_NHW)
        assert self.mask_fuse is not None
        fine, scale = finest, self.scales[level]
        if scale > 1:
            fine = _finer(self._tower_at(x, _coarser(grown(wanted_NHW), scale, size_of(x))), scale, size_of(finest))
        return tower_in_tiles([self.mask_fuse], fine + finest, wanted_NHW, MASK_TILE)

    def _tower_at(self, x_NCHW: Tensor, wanted_NHW: np.ndarray) -> Tensor:
        return tower_in_tiles(list(self.mask_tower), x_NCHW, wanted_NHW, MASK_TILE)

    def _regions(self, level: int, features: list[Tensor], windows: Windows) -> dict[int, np.ndarray]:
        """For each kind of window that is there: the cells (N, H, W) that its layer is asked for."""
        grid = size_of(features[0 if self.representation == "bipyramid" else level])
        scale, found = self.scale(level), {}
        for kind, side in enumerate(self.sides):
            rows = windows.at(level, kind)
            if len(rows):
                cells_P2 = np.stack([windows.row[rows], windows.column[rows]], axis=1)
                natural = self.representation == "natural"
                first_P2 = cells_P2 if natural else (2 * scale * cells_P2 - side * scale + 1) // 2
                last_P2 = cells_P2 if natural else first_P2 + side * scale
                found[kind] = covered(windows.image[rows], first_P2, last_P2, len(features[0]), grid)
        return found

    def scale(self, level: int) -> int:
        """How much finer than the level's cells the pixels of its masks are."""
        return self.scales[level] if self.representation == "bipyramid" else 1


def _tower(channels: int, hidden: int, convs: int) -> nn.Sequential:
    widths = [channels] + [hidden] * convs
    return nn.Sequential(*(WinogradConv(a, b, relu=True) for a, b in pairwise(widths)))


def _finer(coarse_NCHW: Tensor, scale: int, grid: Size) -> Tensor:
    """(N, C, H, W): a level's map on the finest level's cells."""
    fine_NCHW, (height, width) = F.interpolate(coarse_NCHW, scale_factor=float(scale), mode="bilinear"), grid
    if torch.compiler.is_exporting():  # a slice would bind the graph to canvases of which nothing is to be cut
        row_H, column_W = (torch.arange(length, device=fine_NCHW.device) for length in grid)
        return fine_NCHW.index_select(2, row_H).index_select(3, column_W)
    return fine_NCHW[:, :, :height, :width]


def _any(region: dict[int, np.ndarray]) -> np.ndarray:
    """The cells that any kind asks for."""
    return np.any(list(region.values()), axis=0)


def _coarser(wanted_NHW: np.ndarray, scale: int, grid: Size) -> np.ndarray:
    """The cells of a map that is `scale` times coarser from which the wanted ones are interpolated."""
    height, width = grid
    padded = np.pad(
        wanted_NHW,
        ((0, 0), (0, height * scale - wanted_NHW.shape[1]), (0, width * scale - wanted_NHW.shape[2])),
    )
    blocks = padded.reshape(len(padded), height, scale, width, scale)
    return grown(np.asarray(blocks.any(axis=(2, 4))))
