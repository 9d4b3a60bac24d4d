"""Convolutions evaluated at a few cells only.

A loss that reads a few hundred of a map's hundred thousand cells has a gradient that is zero everywhere else. Dense
convolutions would compute all of it, forwards and backwards.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cvzoo.nn.layers import ConvNorm


def tower_at(tower: nn.Sequential, x_NCHW: Tensor, image_P: Tensor, row_P: Tensor, column_P: Tensor) -> Tensor:
    """(P, C): what a tower of 3x3 convolutions without norm puts out at P cells; equal to its dense output there."""
    height, width = x_NCHW.shape[-2:]
    reach = len(tower)
    # The cells that P outputs depend on, as rows of a table: gathering rows has a fast gradient.
    padded_NHWC = F.pad(x_NCHW, (reach,) * 4).permute(0, 2, 3, 1)
    _, padded_height, padded_width, channels = padded_NHWC.shape
    offset = torch.arange(2 * reach + 1, device=x_NCHW.device)
    row_PV, column_PV = row_P[:, None] + offset, column_P[:, None] + offset
    index_PVV = (image_P[:, None, None] * padded_height + row_PV[:, :, None]) * padded_width + column_PV[:, None, :]
    rows = padded_NHWC.reshape(-1, channels).index_select(0, index_PVV.flatten())
    windows = rows.view(*index_PVV.shape, channels).permute(0, 3, 1, 2)
    for layer in tower:
        assert isinstance(layer, ConvNorm)
        assert layer.norm is None
        windows = F.relu(F.conv2d(windows, layer.conv.weight, layer.conv.bias))
        # the dense tower pads every layer with zeros: what now lies outside the map is zero for the next one
        row_PV, column_PV = row_PV[:, 1:-1], column_PV[:, 1:-1]
        inside_row = (row_PV >= reach) & (row_PV < reach + height)
        inside_column = (column_PV >= reach) & (column_PV < reach + width)
        windows = windows * (inside_row[:, None, :, None] & inside_column[:, None, None, :])
    return windows.flatten(1)
