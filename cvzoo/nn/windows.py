"""Convolutions evaluated at a few cells only, or in the tiles of a map that hold them.

A loss that reads a few hundred of a map's hundred thousand cells has a gradient that is zero everywhere else. Dense
convolutions would compute all of it, forwards and backwards.
Shape suffixes: N images, C channels, H W cells of a map, P windows, V cells along a window, S along what comes of it,
T tiles of all images.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cvzoo.nn.layers import ConvNorm
from cvzoo.ops.transfer import on_device
from cvzoo.structures import size_of


def tower_at(tower: nn.Sequential, x_NCHW: Tensor, image_P: Tensor, row_P: Tensor, column_P: Tensor) -> Tensor:
    """(P, C): what a tower of convolutions without norm puts out at P cells; equal to its dense output there."""
    return tower_in(list(tower), x_NCHW, image_P, row_P, column_P, side=1).flatten(1)


def tower_in(
    layers: Sequence[nn.Module], x_NCHW: Tensor, image_P: Tensor, row_P: Tensor, column_P: Tensor, side: int
) -> Tensor:
    """(P, C, S, S): what convolutions without norm put out in P windows of `side` cells, from their top-left cells on.

    Equal to the dense output there; cells beyond the map hold anything.
    """
    height, width = x_NCHW.shape[-2:]
    reach = _reach(layers)
    # The cells that the windows depend on, as rows of a table: gathering rows has a fast gradient.
    offset_V = torch.arange(-reach, side + reach, device=x_NCHW.device)
    row_PV, column_PV = row_P[:, None] + offset_V, column_P[:, None] + offset_V
    line_PV = image_P[:, None] * height + row_PV.clamp(0, height - 1)
    index_PVV = line_PV[:, :, None] * width + column_PV.clamp(0, width - 1)[:, None]
    rows = x_NCHW.permute(0, 2, 3, 1).reshape(-1, x_NCHW.shape[1]).index_select(0, index_PVV.flatten())
    x_PCVV = rows.view(*index_PVV.shape, x_NCHW.shape[1]).permute(0, 3, 1, 2)
    for layer in layers:
        conv, trim = _conv(layer), _reach([layer])
        if trim:  # the dense layer pads with zeros what lies outside the map
            inside_PV, other_PV = _inside(row_PV, height), _inside(column_PV, width)
            x_PCVV = x_PCVV * (inside_PV[:, None, :, None] & other_PV[:, None, None])
            row_PV, column_PV = row_PV[:, trim:-trim], column_PV[:, trim:-trim]
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


def _inside(place: Tensor, length: int) -> Tensor:
    return (place >= 0) & (place < length)
