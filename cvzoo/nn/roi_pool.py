"""RoIAlign over the levels of a pyramid (Mask R-CNN 1703.06870; FPN 1612.03144, equation 1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import roi_align


@dataclass(frozen=True, kw_only=True)
class RoIPoolConfig:
    """How the features under a box are sampled."""

    size: int = 7
    """Bins per side."""
    strides: tuple[int, ...] = (4, 8, 16, 32)
    """Of the levels that are pooled from; further levels are left out."""
    sampling: int = 0
    """Samples per bin and axis; 0: one per cell the bin covers."""
    aligned: bool = True
    """Pixel centres at half integers (RoIAlignV2); False: the original, half a pixel off, sides of at least 1."""


def roi_levels(boxes_R4: Tensor, levels: int, finest: int) -> Tensor:
    """(R,) int64: the level each box is pooled from, 0 = finest: a 224-pixel box belongs to P4."""
    area = (boxes_R4[:, 2] - boxes_R4[:, 0]) * (boxes_R4[:, 3] - boxes_R4[:, 1])
    level = torch.floor(4 + torch.log2(area.sqrt() / 224 + 1e-8))
    return level.clamp(finest, finest + levels - 1).long() - finest


def roi_pool(features: list[Tensor], boxes: list[Tensor], config: RoIPoolConfig) -> Tensor:
    """(R, C, size, size): the features under the boxes of all images, image by image in the order given."""
    strides = config.strides
    boxes_R4 = torch.cat(boxes)
    image_R = torch.repeat_interleave(
        torch.arange(len(boxes), device=boxes_R4.device), torch.tensor([len(b) for b in boxes], device=boxes_R4.device)
    )
    rois_R5 = torch.cat([image_R.unsqueeze(1).to(boxes_R4.dtype), boxes_R4], dim=1)
    level_R = roi_levels(boxes_R4, len(strides), finest=strides[0].bit_length() - 1)
    index, pooled = [], []
    for level, (x, stride) in enumerate(zip(features, strides)):
        rows = torch.where(level_R == level)[0]
        index.append(rows)
        rois = rois_R5[rows].to(x.dtype)
        pooled.append(roi_align(x, rois, config.size, 1 / stride, config.sampling, config.aligned))
    # back in order; index_select, for the gradient of plain indexing is slow on a CPU
    return torch.cat(pooled).index_select(0, torch.cat(index).argsort())
