"""The sliding windows of TensorMask: which of them learns which object, and some of them by their place.

Shape suffixes: N images, G ground-truth boxes of an image, K = 9 cells around an object's centre, A windows of a cell,
M windows of all levels, P chosen windows of all images, H W cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from cvzoo.ops.anchors import AnchorConfig
from cvzoo.ops.assigners import BACKGROUND
from cvzoo.ops.class_ids import outputs_of
from cvzoo.ops.transfer import on_device
from cvzoo.structures import Size, Target

MAX_SCALE = 2.0
"""A window is at most this many times as large as its object's longer side."""
MAX_DISTANCE = 1.0
"""An object's centre is at most this many strides from its window's."""


class WindowTargets(NamedTuple):
    """What the windows of each image learn."""

    labels_NM: Tensor
    """Network outputs, or BACKGROUND."""
    index_NM: Tensor
    """The object of its image that a window learns; meaningful where `labels_NM >= 0`."""
    boxes_NG4: Tensor
    """The objects' boxes, filled up to as many as the fullest image has."""


def match_windows(
    config: AnchorConfig,
    windows: tuple[Tensor, ...],
    grids: list[Size],
    targets: list[Target],
    class_ids: tuple[int, ...],
) -> WindowTargets:
    """A window learns the one object that it contains, that is large enough for it, and whose centre is near its own.

    One that could learn several learns background (1903.12174, section 5). Only the windows around an object's centre
    are looked at.
    """
    boxes_NG4 = pad_sequence([target.boxes for target in targets], batch_first=True)
    labels_NG = pad_sequence([outputs_of(target.labels, class_ids) for target in targets], batch_first=True)
    if not boxes_NG4.shape[1]:
        boxes_NG4, labels_NG = boxes_NG4.new_zeros(len(targets), 1, 4), labels_NG.new_zeros(len(targets), 1)
    number_G = torch.arange(boxes_NG4.shape[1], device=boxes_NG4.device)
    count_N1 = on_device([[len(target)] for target in targets], boxes_NG4.device)
    found = []
    start = 0
    for level, grid in enumerate(grids):
        index_NGKA, fits_NGKA = _near(config, level, windows[level], grid, boxes_NG4)
        found.append((start + index_NGKA.flatten(2), fits_NGKA.flatten(2)))
        start += len(windows[level])
    index, fits = (torch.cat(parts, dim=2) for parts in zip(*found))
    fits = (fits & (number_G < count_N1).unsqueeze(2)).long()
    nothing_NM = fits.new_zeros(len(targets), start)
    wanted_NM = nothing_NM.scatter_add(1, index.flatten(1), fits.flatten(1))
    index_NM = nothing_NM.scatter_add(1, index.flatten(1), (fits * number_G[:, None]).flatten(1))
    index_NM = torch.where(wanted_NM == 1, index_NM, 0)
    labels_NM = torch.where(wanted_NM == 1, labels_NG.gather(1, index_NM), BACKGROUND)
    return WindowTargets(labels_NM, index_NM, boxes_NG4)


def _near(config: AnchorConfig, level: int, windows_M4: Tensor, grid: Size, boxes_NG4: Tensor) -> tuple[Tensor, Tensor]:
    """Windows (N, G, K, A) of a level around the centre of each object, and which of them may learn it."""
    stride = config.strides[level]
    centre_NG2 = (boxes_NG4[..., :2] + boxes_NG4[..., 2:]) / 2
    shift = torch.arange(-1, 2, device=boxes_NG4.device)
    shift_K2 = torch.cartesian_prod(shift, shift)
    cell_NGK2 = (centre_NG2 / stride - config.offset).round().long().unsqueeze(2) + shift_K2
    limit_2 = on_device([grid[1], grid[0]], boxes_NG4.device)
    in_grid_NGK = ((cell_NGK2 >= 0) & (cell_NGK2 < limit_2)).all(dim=-1)
    column_NGK, row_NGK = torch.minimum(cell_NGK2.clamp(min=0), limit_2 - 1).unbind(-1)
    kind_A = torch.arange(len(config.sizes[level]), device=boxes_NG4.device)
    index_NGKA = (row_NGK * grid[1] + column_NGK).unsqueeze(-1) * len(kind_A) + kind_A
    window_NGKA4, box_NG114 = windows_M4[index_NGKA], boxes_NG4[:, :, None, None]
    contains = ((window_NGKA4[..., :2] <= box_NG114[..., :2]) & (window_NGKA4[..., 2:] >= box_NG114[..., 2:])).all(-1)
    smallest = min(config.sizes[0]) - config.strides[0]
    side_NG = (boxes_NG4[..., 2:] - boxes_NG4[..., :2]).amax(dim=-1)
    side_NGKA = (window_NGKA4[..., 2:] - window_NGKA4[..., :2]).amax(dim=-1) - stride
    large = (MAX_SCALE * side_NG).clamp(min=smallest)[:, :, None, None] >= side_NGKA
    offset_NGKA2 = centre_NG2[:, :, None, None] - (window_NGKA4[..., 2:] + window_NGKA4[..., :2]) / 2
    near = (offset_NGKA2 / stride).square().sum(dim=-1) <= MAX_DISTANCE**2
    return index_NGKA, contains & large & near & in_grid_NGK.unsqueeze(-1)


@dataclass(frozen=True)
class Windows:
    """Some windows of a batch by their place, on the CPU: what is computed for them depends on how they lie."""

    image: np.ndarray
    level: np.ndarray
    row: np.ndarray
    column: np.ndarray
    kind: np.ndarray
    """Which of the windows of its cell."""

    @staticmethod
    def of(image_P: np.ndarray, index_P: np.ndarray, grids: list[Size], per_cell: int) -> Windows:
        """From their images and their indices among the M windows of an image."""
        ends = np.cumsum([height * width * per_cell for height, width in grids])
        level_P = np.searchsorted(ends, index_P, side="right")
        begin_P = np.concatenate([[0], ends])[level_P]
        width_P = np.array([width for _, width in grids])[level_P]
        cell_P = (index_P - begin_P) // per_cell
        return Windows(image_P, level_P, cell_P // width_P, cell_P % width_P, (index_P - begin_P) % per_cell)

    def __len__(self) -> int:
        return len(self.image)

    def at(self, level: int, kind: int) -> np.ndarray:
        """Which of them are of this level and kind."""
        return np.flatnonzero((self.level == level) & (self.kind == kind))

    def cells(self, level: int, images: int, grid: Size) -> np.ndarray:
        """(N, H, W) bool: the cells of a level that hold any."""
        held = np.zeros((images, *grid), bool)
        own = self.level == level
        held[self.image[own], self.row[own], self.column[own]] = True
        return held


def covered(image_P: np.ndarray, first_P2: np.ndarray, last_P2: np.ndarray, images: int, grid: Size) -> np.ndarray:
    """(N, H, W) bool: the cells of a map from the first row and column to the last of any of P rectangles."""
    steps = np.zeros((images, grid[0] + 1, grid[1] + 1), np.int32)
    limit = np.array(grid)
    first_P2, end_P2 = first_P2.clip(0, limit), (last_P2 + 1).clip(0, limit)
    for rows, columns, step in (
        (first_P2[:, 0], first_P2[:, 1], 1),
        (first_P2[:, 0], end_P2[:, 1], -1),
        (end_P2[:, 0], first_P2[:, 1], -1),
        (end_P2[:, 0], end_P2[:, 1], 1),
    ):
        np.add.at(steps, (image_P, rows, columns), step)
    return steps.cumsum(axis=1).cumsum(axis=2)[:, :-1, :-1] > 0
