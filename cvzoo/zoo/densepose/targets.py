"""What is annotated of the surfaces of a batch, and the regions that learn it.

Shape suffixes: O annotated people of the batch, P points (of the person with most), R regions, F foreground proposals
of all images, Z cells per side of a region's maps.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from cvzoo.ops.boxes import paired_iou
from cvzoo.ops.transfer import on_device, rows_where
from cvzoo.parts.rcnn.box_head import Sampled
from cvzoo.structures import Surface, Target

SIDE = 256
"""Points and map of a surface are in a frame of so many units and cells."""


class Surfaces(NamedTuple):
    """The annotated people of a batch, padded to the same number of points."""

    frame_O4: Tensor
    points_OP2: Tensor
    """In units of the frame."""
    part_OP: Tensor
    """0 where there is no further point."""
    uv_OP2: Tensor
    coarse_OSS: Tensor
    """(O, 256, 256) uint8; of nobody's outline all 0."""
    outlined_O: Tensor
    """Whether somebody has outlined them."""


class Matched(NamedTuple):
    """The regions that learn a surface."""

    boxes: list[Tensor]
    """Of each image (R, 4)."""
    person_R: Tensor
    """Which of the batch's annotated people each is on."""
    surfaces: Surfaces


def match_surfaces(sampled: list[Sampled], targets: list[Target], above: float) -> Matched:
    """Foreground proposals on annotated people whose boxes they overlap by more than the IoU `above`.

    The program waits once for which ones these are.
    """
    device = sampled[0].boxes_R4.device
    surfaces, rows = _pad(targets, device)
    boxes = [s.boxes_R4[s.foreground_F] for s in sampled]
    person = [row_G[s.index_F] for row_G, s in zip(rows, sampled)]
    near_F = paired_iou(torch.cat(boxes), torch.cat([s.truth_F4 for s in sampled])) > above
    keep_F = near_F & (torch.cat(person) >= 0)
    chosen = rows_where(keep_F.split([len(box_F4) for box_F4 in boxes]))
    person_R = torch.cat([person_F[index] for person_F, index in zip(person, chosen)])
    return Matched([box_F4[index] for box_F4, index in zip(boxes, chosen)], person_R, surfaces)


def _pad(targets: list[Target], device: torch.device) -> tuple[Surfaces, list[Tensor]]:
    """All annotated people, and of each image the row (-1: none) of each of its objects among them.

    ValueError when the targets have no surfaces.
    """
    people: list[Surface] = []
    rows = []
    for target in targets:
        if target.surfaces is None:
            raise ValueError("the people have no surfaces, which dense pose learns from; set --data.surfaces")
        row = []
        for surface in target.surfaces:
            if surface is None or not len(surface.parts_P):
                row.append(-1)
            else:
                row.append(len(people))
                people.append(surface)
        rows.append(on_device(row, device, torch.int64))
    return Surfaces(*(tensor.to(device, non_blocking=True) for tensor in _stacked(people))), rows


def _stacked(people: list[Surface]) -> Surfaces:
    points = max((len(person.parts_P) for person in people), default=1)
    frame_O4 = torch.tensor([person.frame for person in people], dtype=torch.float32).view(-1, 4)
    points_OP2, uv_OP2 = torch.zeros(2, len(people), points, 2)
    part_OP = torch.zeros(len(people), points, dtype=torch.int64)
    coarse_OSS = torch.zeros(len(people), SIDE, SIDE, dtype=torch.uint8)
    for row, person in enumerate(people):
        own = slice(len(person.parts_P))
        points_OP2[row, own], part_OP[row, own], uv_OP2[row, own] = person.points_P2, person.parts_P, person.uv_P2
        if person.coarse is not None:
            coarse_OSS[row] = person.coarse
    outlined_O = torch.tensor([person.coarse is not None for person in people], dtype=torch.bool)
    return Surfaces(frame_O4, points_OP2, part_OP, uv_OP2, coarse_OSS, outlined_O)


def places_of_points(
    points_RP2: Tensor, frame_R4: Tensor, boxes_R4: Tensor, side: int, half_cells: bool = False
) -> tuple[Tensor, Tensor]:
    """Where the points (in units of their frames) lie in maps of boxes, (R, P, 2) in cells; and (R, P): whether inside.

    0 is the centre of the first cell. That is the box's edge or, with `half_cells`, half a cell inside.
    """
    start_R12, size_R12 = (boxes_R4[:, :2].unsqueeze(1), (boxes_R4[:, 2:] - boxes_R4[:, :2]).unsqueeze(1))
    frame_size_R12 = (frame_R4[:, 2:] - frame_R4[:, :2]).unsqueeze(1)
    offset_RP2 = frame_R4[:, :2].unsqueeze(1) + points_RP2 * frame_size_R12 / SIDE - start_R12
    inside_RP = ((offset_RP2 >= 0) & (offset_RP2 < size_R12)).all(dim=2)
    place_RP2 = offset_RP2 * side / size_R12
    return place_RP2 - 0.5 if half_cells else place_RP2, inside_RP


def coarse_targets(
    surfaces: Surfaces, person_R: Tensor, boxes_R4: Tensor, side: int, half_cells: bool = False
) -> Tensor:
    """(R, side, side) int64: the coarse part at each cell of a box, 0 outside of the frame.

    At its top-left corner or, with `half_cells`, at its centre.
    """
    frame_R4 = surfaces.frame_O4[person_R]
    row_RZ, in_row_RZ = _nearest(frame_R4[:, 1::2], boxes_R4[:, 1::2], side, half_cells)
    column_RZ, in_column_RZ = _nearest(frame_R4[:, 0::2], boxes_R4[:, 0::2], side, half_cells)
    part_RZZ = surfaces.coarse_OSS[person_R[:, None, None], row_RZ.unsqueeze(2), column_RZ.unsqueeze(1)]
    return (part_RZZ * (in_row_RZ.unsqueeze(2) & in_column_RZ.unsqueeze(1))).long()


def _nearest(frame_R2: Tensor, box_R2: Tensor, side: int, half_cells: bool) -> tuple[Tensor, Tensor]:
    """Along one axis, (R, side): the cell of the frame that is nearest to each of a box; and whether there is one.

    The cells' centres reach from edge to edge of the frame. Computed in the order of the reference, which decides ties.
    """
    start_R1, size_R1 = frame_R2[:, :1], frame_R2[:, 1:] - frame_R2[:, :1]
    first_R1 = 2 * (box_R2[:, :1] - start_R1) / size_R1 - 1
    end_R1 = 2 * (box_R2[:, :1] + (box_R2[:, 1:] - box_R2[:, :1]) - start_R1) / size_R1 - 1
    share_Z = (torch.arange(side, device=box_R2.device) + (0.5 if half_cells else 0.0)) / side
    at_RZ = share_Z * (end_R1 - first_R1) + first_R1
    cell_RZ = ((at_RZ + 1) / 2 * (SIDE - 1)).round().long()
    return cell_RZ.clamp(0, SIDE - 1), (cell_RZ >= 0) & (cell_RZ < SIDE)
