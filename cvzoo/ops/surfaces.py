"""From the maps of a box to its pixels in the image.

Shape suffixes: D detections, K parts and none, Z cells per side of a box's maps, H W pixels of a box.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from cvzoo.ops.resize import resize
from cvzoo.structures import Size


class SurfaceMaps(Protocol):
    """What a dense pose branch says of the cells of each region; see `structures.BoxesWithSurfaces`."""

    @property
    def coarse(self) -> Tensor: ...
    @property
    def parts(self) -> Tensor: ...
    @property
    def u(self) -> Tensor: ...
    @property
    def v(self) -> Tensor: ...


def surfaces_of(raw: SurfaceMaps, row_D: Tensor, boxes_D4: Tensor) -> list[Tensor]:
    """Of each box (3, H, W) uint8: part, 255 U and 255 V of its pixels, as `Prediction.surfaces` has them.

    `row_D` says which regions of `raw` the boxes are.
    """
    sides_D2 = (boxes_D4[:, 2:] - boxes_D4[:, :2]).long().clamp(min=1)
    pairs = zip(row_D.tolist(), sides_D2.tolist())
    return [_surface(raw, row, (height, width)) for row, (width, height) in pairs]


def _surface(raw: SurfaceMaps, row: int, size: Size) -> Tensor:
    """A pixel has the best part, where the coarse segmentation sees a person; and U and V as that part has them."""
    coarse_HW, part_HW = (
        resize(maps[row : row + 1], size)[0].max(dim=0).indices  # several times faster than argmax on a CPU
        for maps in (raw.coarse, raw.parts)
    )
    part_HW *= coarse_HW > 0
    uv_2HW = _of_part(torch.stack([raw.u[row], raw.v[row]]), part_HW) * (part_HW > 0)
    return torch.cat([part_HW.unsqueeze(0), (uv_2HW * 255).clamp(0, 255)]).to(torch.uint8)


def _of_part(maps_2KZZ: Tensor, part_HW: Tensor) -> Tensor:
    """(2, H, W): the maps resized, of each pixel the map of its part; no other values are computed."""
    side = maps_2KZZ.shape[-1]
    (top_H, bottom_H, low_H), (left_W, right_W, far_W) = (_between(n, side, part_HW.device) for n in part_HW.shape)
    cells_2M = maps_2KZZ.flatten(1)

    def between_columns(y_H: Tensor) -> Tensor:
        left, right = (cells_2M[:, (part_HW * side + y_H.unsqueeze(1)) * side + x_W] for x_W in (left_W, right_W))
        return torch.lerp(left, right, far_W)

    return torch.lerp(between_columns(top_H), between_columns(bottom_H), low_H.unsqueeze(1))


def _between(pixels: int, side: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Along one axis, of each pixel: the cells before and after its centre, and how far it is from the one before."""
    place = ((torch.arange(pixels, device=device) + 0.5) * (side / pixels) - 0.5).clamp(min=0)
    before = place.long()
    return before, (before + 1).clamp(max=side - 1), place - before
