"""RoIAlign (1703.06870) over the levels of a pyramid (1612.03144, equation 1).

Shape suffixes: R regions, S bins per side, T taps (cells that a bin reads along one axis), C channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import roi_align

from cvzoo.fields import Count, Natural
from cvzoo.ops.kernels import triton_kernels
from cvzoo.ops.transfer import numbered, rows_where


@dataclass(frozen=True, kw_only=True)
class RoIPoolConfig:
    """How the features under a box are sampled."""

    size: Count = 7
    """Bins per side that a box is divided into: the pooled features are so many cells high and wide."""
    strides: tuple[Count, ...] = (4, 8, 16, 32)
    """Strides of the levels that boxes are pooled from, finest first; coarser levels are left out."""
    sampling: Natural = 0
    """Samples per bin and axis; 0: one for each cell that a bin covers."""
    aligned: bool = True
    """Pixel centres at half integers (RoIAlignV2); False: the original, half a pixel off, sides of at least 1."""
    canonical_size: Count = 224
    """Side in pixels of a box that is pooled from the canonical level; one twice as large is from the next level."""
    canonical_level: Natural = 4
    """Level of the pyramid (4 is P4, of stride 16) that a box of the canonical size is pooled from."""


def roi_levels(boxes_R4: Tensor, config: RoIPoolConfig) -> Tensor:
    """(R,) int64: the level each box is pooled from, as an index of the config's strides."""
    area = (boxes_R4[:, 2] - boxes_R4[:, 0]) * (boxes_R4[:, 3] - boxes_R4[:, 1])
    level = torch.floor(config.canonical_level + torch.log2(area.sqrt() / config.canonical_size + 1e-8))
    finest = config.strides[0].bit_length() - 1
    return level.clamp(finest, finest + len(config.strides) - 1).long() - finest


def flat(boxes: list[Tensor] | Tensor) -> tuple[Tensor, Tensor]:
    """Boxes (R, 4) of several images, given image by image or as (N, P, 4), and whose (R,) they are."""
    if isinstance(boxes, Tensor):
        image_N1 = torch.arange(boxes.shape[0], device=boxes.device)[:, None]
        return boxes.flatten(0, 1), image_N1.expand(boxes.shape[:2]).flatten()
    boxes_R4 = torch.cat(boxes)
    return boxes_R4, numbered([len(own) for own in boxes], boxes_R4.device)


def roi_pool(features: list[Tensor], boxes_R4: Tensor, image_R: Tensor, config: RoIPoolConfig) -> Tensor:
    """(R, C, size, size): the features under boxes of those images; `flat` puts boxes so that lie image by image."""
    maps = features[: len(config.strides)]
    assert len(maps) == len(config.strides)
    level_R = roi_levels(boxes_R4, config)
    if (kernels := triton_kernels("roi_align", maps[0])) is not None:
        how = kernels.Pooling(config.strides, config.size, config.sampling, config.aligned)
        return kernels.RoIAlign.apply(kernels.Regions(boxes_R4, image_R, level_R), how, *maps)
    in_bags = boxes_R4.device.type == "cpu" and not torch.compiler.is_exporting()
    pool = _pool_bags if in_bags else _pool_levels
    return pool(maps, boxes_R4, image_R, level_R, config)


def _pool_levels(
    maps: list[Tensor], boxes_R4: Tensor, image_R: Tensor, level_R: Tensor, config: RoIPoolConfig
) -> Tensor:
    """torchvision's kernel, level by level. The program waits for which regions are on which."""
    rois_R5 = torch.cat([image_R.unsqueeze(1).to(boxes_R4.dtype), boxes_R4], dim=1)
    index, pooled = rows_where([level_R == level for level in range(len(maps))]), []
    for x, stride, rows in zip(maps, config.strides, index):
        # in float32: a bfloat16 coordinate is off by pixels
        pooled.append(roi_align(x.float(), rois_R5[rows], config.size, 1 / stride, config.sampling, config.aligned))
    on_level_LR = level_R == torch.arange(len(maps), device=level_R.device)[:, None]
    count_LR = on_level_LR.flatten().cumsum(0).view_as(on_level_LR)
    row_R = count_LR.gather(0, level_R[None])[0] - 1  # where the regions have come to lie, level by level
    return torch.cat(pooled).to(maps[0].dtype).index_select(0, row_R)


def _pool_bags(maps: list[Tensor], boxes_R4: Tensor, image_R: Tensor, level_R: Tensor, config: RoIPoolConfig) -> Tensor:
    """The same as weighted sums of cells of all levels, many times faster than torchvision's kernel on a CPU."""
    cells_MC = torch.cat([x.permute(0, 2, 3, 1).flatten(0, 2) for x in maps])
    if not len(boxes_R4):  # of no cells, so that the maps get a gradient of 0 and not none at all
        return cells_MC[:0, :, None, None].expand(-1, -1, config.size, config.size)
    sizes_L2 = torch.tensor([x.shape[2:] for x in maps])
    cells_L = sizes_L2.prod(dim=1)
    level_start_L = (cells_L.cumsum(0) - cells_L) * len(maps[0])
    first_R = level_start_L[level_R] + image_R * cells_L[level_R]
    scaled_R4 = boxes_R4 * (1 / torch.tensor(config.strides))[level_R, None] - (0.5 if config.aligned else 0.0)
    order_R, index, weight, count = _bags(scaled_R4, first_R, sizes_L2[level_R], config)
    bags = F.embedding_bag(
        index, cells_MC, count.cumsum(0) - count, mode="sum", per_sample_weights=weight.to(cells_MC.dtype)
    )
    pooled_RSSC = bags.view(-1, config.size, config.size, cells_MC.shape[1])
    return pooled_RSSC.index_select(0, order_R.argsort()).permute(0, 3, 1, 2)


def _bags(
    boxes_R4: Tensor, first_R: Tensor, sizes_R2: Tensor, config: RoIPoolConfig
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Which cells each bin of each region sums up, with which weights.

    Args:
        boxes_R4: in cells of their level.
        first_R: row of the table that holds the first cell of a region's map, `sizes_R2` cells high and wide.

    Returns: the order the regions come in; cell and weight of every tap; and how many taps each bin has.
    """
    sides_R2 = boxes_R4[:, 2:] - boxes_R4[:, :2]
    if not config.aligned:
        sides_R2 = sides_R2.clamp(min=1)
    samples_R2 = (sides_R2 / config.size).ceil().clamp(min=0).long()  # none in a box without extent
    if config.sampling:
        samples_R2 = torch.full_like(samples_R2, config.sampling)
    # regions with as many samples per bin read as many cells: one block of bags each
    kinds, kind_R = samples_R2.unique(dim=0, return_inverse=True)
    order, index, weight, count = [], [], [], []
    for kind, (samples_x, samples_y) in enumerate(kinds.tolist()):
        rows = torch.where(kind_R == kind)[0]
        width = sizes_R2[rows, 1]
        x_RST, weight_x = _taps(boxes_R4[rows, 0], sides_R2[rows, 0], width, config.size, samples_x)
        y_RST, weight_y = _taps(boxes_R4[rows, 1], sides_R2[rows, 1], sizes_R2[rows, 0], config.size, samples_y)
        start_RST = first_R[rows, None, None] + y_RST * width[:, None, None]
        order.append(rows)
        index.append((start_RST[:, :, None, :, None] + x_RST[:, None, :, None, :]).flatten())
        weight.append((weight_y[:, :, None, :, None] * weight_x[:, None, :, None, :]).flatten())
        count.append(torch.full((len(rows) * config.size**2,), 4 * samples_x * samples_y))
    return torch.cat(order), torch.cat(index), torch.cat(weight), torch.cat(count)


def _taps(start_R: Tensor, side_R: Tensor, cells_R: Tensor, bins: int, samples: int) -> tuple[Tensor, Tensor]:
    """(R, S, 2 * samples) cells that each bin reads along one axis of a map, and their weights (RoIAlign's rules)."""
    step = (side_R / bins)[:, None, None]
    at = (torch.arange(samples) + 0.5) / max(samples, 1)
    place = start_R[:, None, None] + (torch.arange(bins)[:, None] + at) * step
    last = (cells_R - 1)[:, None, None]
    inside = ((place >= -1) & (place <= last + 1)).to(place.dtype) / max(samples, 1)
    place = torch.minimum(place.clamp(min=0), last.to(place.dtype))
    low = place.long()
    fraction = place - low
    index = torch.stack([low, torch.minimum(low + 1, last)], dim=-1)
    return index.flatten(2), torch.stack([(1 - fraction) * inside, fraction * inside], dim=-1).flatten(2)
