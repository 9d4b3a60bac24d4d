"""Images of objects that have a surface each, for tests of networks: a chart board of 6 x 4 parts."""

from __future__ import annotations

from dataclasses import replace

import torch

from cvzoo.data.shapes import draw
from cvzoo.structures import Batch, Size, Surface, Target


def surface_in(box: torch.Tensor, points: int = 40) -> Surface:
    """Of the box as a frame: each of its 24 fields is a part, U and V run from edge to edge of the field."""
    points_P2 = torch.rand(points, 2) * 256
    column_row = points_P2 / 256 * torch.tensor([4, 6])
    field = column_row.floor().clamp(max=torch.tensor([3, 5]))
    x1, y1, x2, y2 = box.tolist()
    coarse = (1 + torch.arange(256) // 19).clamp(max=14).to(torch.uint8).expand(256, 256)
    return Surface((x1, y1, x2, y2), points_P2, (1 + field[:, 1] * 4 + field[:, 0]).long(), column_row - field, coarse)


def people(*sizes: Size, count: int = 3) -> Batch:
    """One image of each size with so many people."""
    samples = []
    for i, (height, width) in enumerate(sizes):
        sample = draw(height, width, count, seed=i)
        boxes = sample.target.boxes
        target = Target(boxes, torch.zeros(len(boxes), dtype=torch.int64), surfaces=[surface_in(box) for box in boxes])
        samples.append(replace(sample, target=target, original_size=sample.size, image_id=i))
    return Batch.collate(samples)
