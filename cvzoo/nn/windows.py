"""Convolutions evaluated at a few cells only, or in the tiles of a map that hold them.

A loss that reads a few hundred of a map's hundred thousand cells has a gradient that is zero everywhere else. Dense
convolutions would compute all of it, forwards and backwards.
Shape suffixes: N images, C channels, H W cells of a map, P windows, V cells along a window, S along what comes of it,
T tiles of all images.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cvzoo.nn.layers import ConvNorm
from cvzoo.ops.transfer import constant, on_device
from cvzoo.structures import size_of


def tower_at(tower: nn.Sequential, maps: Sequence[Tensor], image_P: Tensor, cell_P: Tensor) -> Tensor:
    """(P, C): what a tower of convolutions without norm puts out at P cells of maps (N, C, H, W), which share it.

    Equal to the dense output there. Cells are counted row by row, map after map; the program waits once for how many
    lie on each.
    """
    sizes = [size_of(x) for x in maps]
    ends = tuple(accumulate(height * width for height, width in sizes))
    cell_P, order_P = cell_P.sort()  # map by map
    counts = np.diff(torch.searchsorted(cell_P, constant(ends, cell_P.device)).tolist(), prepend=0)
    of_maps = [(end - height * width, height, width) for end, (height, width) in zip(ends, sizes)]
    start_P1, height_P1, width_P1 = on_device(np.repeat(of_maps, counts, axis=0), cell_P.device).split(1, dim=1)
    place_P1 = cell_P[:, None] - start_P1
    windows = _windows(tower, place_P1 // width_P1, place_P1 % width_P1, height_P1, width_P1, side=1)
    index_PVV = windows.cells(image_P[order_P])
    rows = [_rows(x, own_PVV) for x, own_PVV in zip(maps, index_PVV.split(counts.tolist()))]
    return _through(tower, torch.cat(rows), windows).flatten(1).index_select(0, order_P.argsort())


def tower_in(
    layers: Sequence[nn.Module], x_NCHW: Tensor, image_P: Tensor, row_P: Tensor, column_P: Tensor, side: int
) -> Tensor:
    """(P, C, S, S): what convolutions without norm put out in P windows of `side` cells, from their top-left cells on.

    Equal to the dense output there; cells beyond the map hold anything.
    """
    windows = _windows(layers, row_P[:, None], column_P[:, None], *size_of(x_NCHW), side)
    return _through(layers, _rows(x_NCHW, windows.cells(image_P)), windows)


class _Windows(NamedTuple):
    """The rows and columns that windows of a map read."""

    row_PV: Tensor
    column_PV: Tensor
    height: Tensor | int
    """Of the map of each window (P, 1), or of all."""
    width: Tensor | int

    def cells(self, image_P: Tensor) -> Tensor:
        """(P, V, V): the places of a window's cells among those of the map's images; beyond it, of the nearest."""
        row_PV = self.row_PV.clamp(min=0).clamp(max=self.height - 1)
        column_PV = self.column_PV.clamp(min=0).clamp(max=self.width - 1)
        line_PV = (image_P[:, None] * self.height + row_PV) * self.width
        return line_PV[:, :, None] + column_PV[:, None]

    def inside(self) -> Tensor:
        """(P, 1, V, V) bool: which cells lie on the map."""
        row_PV, column_PV = _inside(self.row_PV, self.height), _inside(self.column_PV, self.width)
        return row_PV[:, None, :, None] & column_PV[:, None, None]

    def trimmed(self, trim: int) -> _Windows:
        return self._replace(row_PV=self.row_PV[:, trim:-trim], column_PV=self.column_PV[:, trim:-trim])


def _windows(
    layers: Iterable[nn.Module], row_P1: Tensor, column_P1: Tensor, height: Tensor | int, width: Tensor | int, side: int
) -> _Windows:
    """What windows of `side` cells, from their top-left cells on, depend on."""
    reach = _reach(layers)
    offset_V = torch.arange(-reach, side + reach, device=row_P1.device)
    return _Windows(row_P1 + offset_V, column_P1 + offset_V, height, width)


def _rows(x_NCHW: Tensor, index_PVV: Tensor) -> Tensor:
    """(P, V, V, C): cells of a map, as rows of a table: gathering rows has a fast gradient."""
    rows = x_NCHW.permute(0, 2, 3, 1).flatten(0, 2).index_select(0, index_PVV.flatten())
    return rows.view(*index_PVV.shape, x_NCHW.shape[1])


def _through(layers: Iterable[nn.Module], x_PVVC: Tensor, windows: _Windows) -> Tensor:
    """(P, C, S, S): what comes of windows."""
    x_PCVV = x_PVVC.permute(0, 3, 1, 2)
    for layer in layers:
        conv, trim = _conv(layer), _reach([layer])
        if trim:  # the dense layer pads with zeros what lies outside the map
            x_PCVV = x_PCVV * windows.inside()
            windows = windows.trimmed(trim)
        x_PCVV = _convolved(x_PCVV, conv)
        if isinstance(layer, ConvNorm) and layer.relu:
            x_PCVV = F.relu(x_PCVV, inplace=True)
    return x_PCVV


def _convolved(x_PCVV: Tensor, conv: nn.Conv2d) -> Tensor:
    """(P, C, S, S): without padding."""
    if size_of(x_PCVV) != conv.kernel_size:
        return F.conv2d(x_PCVV, conv.weight, conv.bias)
    # one cell comes of each window: as a matrix product in a quarter of the time, forwards and backwards
    x_PX, weight_CX = (values.permute(0, 2, 3, 1).flatten(1) for values in (x_PCVV, conv.weight))
    return F.linear(x_PX, weight_CX, conv.bias)[:, :, None, None]


def tower_in_tiles(layers: Sequence[nn.Module], x_NCHW: Tensor, wanted_NHW: np.ndarray, side: int) -> Tensor:
    """(N, C, H, W): what convolutions without norm put out, equal to the dense output where it is wanted.

    Each layer is evaluated in the tiles of `side` cells that hold what the next one reads, and zero in others; if that
    would be most of the map, everywhere.
    """
    wanted = [wanted_NHW]
    for layer in reversed(layers[1:]):
        wanted.insert(0, grown(wanted[0], _reach([layer])))
    for layer, wanted_NHW in zip(layers, wanted):
        x_NCHW = _in_tiles(layer, x_NCHW, _tiles(wanted_NHW, side), side)
    return x_NCHW


def _in_tiles(layer: nn.Module, x_NCHW: Tensor, tiles_NHW: np.ndarray, side: int) -> Tensor:
    images, _, height, width = x_NCHW.shape
    index = np.flatnonzero(tiles_NHW)
    if len(index) * (side + _reach([layer])) ** 2 >= images * height * width:
        return layer(x_NCHW)
    channels = _conv(layer).out_channels
    if not len(index):
        return x_NCHW.new_zeros(images, channels, height, width)
    _, rows, columns = tiles_NHW.shape
    tile_T = on_device(index, x_NCHW.device)
    places = tile_T // (rows * columns), tile_T // columns % rows * side, tile_T % columns * side
    found_TCSS = tower_in([layer], x_NCHW, *places, side)
    cell_TSS = _cells(*places, side, (images, height, width))
    cells = found_TCSS.new_zeros(images * height * width + 1, channels)
    cells = cells.index_copy(0, cell_TSS.flatten(), found_TCSS.permute(0, 2, 3, 1).flatten(0, 2))
    return cells[:-1].view(images, height, width, channels).permute(0, 3, 1, 2)


def grown(wanted_NHW: np.ndarray, reach: int = 1) -> np.ndarray:
    """(N, H, W) bool: also the cells that lie within `reach` rows and columns of a wanted one."""
    for _ in range(reach):
        padded = np.pad(wanted_NHW, ((0, 0), (1, 1), (1, 1)))
        rows = padded[:, :-2] | padded[:, 1:-1] | padded[:, 2:]
        wanted_NHW = rows[:, :, :-2] | rows[:, :, 1:-1] | rows[:, :, 2:]
    return wanted_NHW


def _cells(image_T: Tensor, row_T: Tensor, column_T: Tensor, side: int, size: tuple[int, int, int]) -> Tensor:
    """(T, S, S): the places of tiles' cells among those of all maps, row by row; one past them for cells beyond one."""
    images, height, width = size
    offset_S = torch.arange(side, device=image_T.device)
    row_TS, column_TS = row_T[:, None] + offset_S, column_T[:, None] + offset_S
    cell_TSS = (image_T[:, None, None] * height + row_TS[:, :, None]) * width + column_TS[:, None]
    inside_TSS = (row_TS < height)[:, :, None] & (column_TS < width)[:, None]
    return torch.where(inside_TSS, cell_TSS, images * height * width)


def _tiles(wanted_NHW: np.ndarray, side: int) -> np.ndarray:
    """(N, ceil(H / side), ceil(W / side)) bool: tiles that hold wanted cells."""
    height, width = wanted_NHW.shape[1:]
    padded = np.pad(wanted_NHW, ((0, 0), (0, -height % side), (0, -width % side)))
    blocks = padded.reshape(len(padded), -(-height // side), side, -(-width // side), side)
    return np.asarray(blocks.any(axis=(2, 4)))


def _reach(layers: Iterable[nn.Module]) -> int:
    """How far beyond a cell the layers look."""
    return sum(_conv(layer).kernel_size[0] // 2 for layer in layers)


def _conv(layer: nn.Module) -> nn.Conv2d:
    """The convolution of a layer that has no norm, keeps the size of its map and is not deformable."""
    conv = layer.conv if isinstance(layer, ConvNorm) else layer
    assert type(conv) is nn.Conv2d
    assert not isinstance(layer, ConvNorm) or layer.norm is None
    assert conv.stride == conv.dilation == (1, 1)
    return conv


def _inside(place: Tensor, length: Tensor | int) -> Tensor:
    return (place >= 0) & (place < length)
