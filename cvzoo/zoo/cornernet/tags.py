"""Tags tell which corners belong together (1611.05424; 1808.01244, section 3.3): one number for every corner.

Shape suffixes: N images, O objects of all images.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cvzoo.fields import Count, NotNegative
from cvzoo.parts.heatmap.targets import Objects, at_cells, cells_of
from cvzoo.structures import size_of


@dataclass(frozen=True, kw_only=True)
class TagLoss:
    """How tags learn."""

    pull_weight: NotNegative = 0.1
    """Weight of the squared distances of both tags of an object from their mean."""
    push_weight: NotNegative = 0.1
    """Weight of how much nearer than 1 the tags of two objects of an image are."""
    images: Count = 5
    """The losses of tags are the mean over images times so many: the references add up those of a process' images."""
    epsilon: NotNegative = 0.0
    """Added to the number of objects, or of pairs of them, that an image's losses of tags are divided by."""


def tag_losses(
    top_left: list[Tensor], bottom_right: list[Tensor], objects: Objects, images: int, config: TagLoss
) -> tuple[Tensor, Tensor]:
    """(), (): the weighted losses that pull and push, summed over hourglasses, from their maps of tags (N, 1, H, W).

    The published repository adds a constant for an image with one object, which nothing learns from.
    """
    image_O = objects.image_O
    ones_O = torch.ones_like(image_O, dtype=torch.float32)
    count_O = ones_O.new_zeros(images).index_add(0, image_O, ones_O)[image_O]
    other_OO = (image_O[:, None] == image_O) & ~torch.eye(len(image_O), dtype=torch.bool, device=image_O.device)
    pairs_O = (count_O * (count_O - 1) + config.epsilon).clamp(min=1e-4)  # an object alone has none
    pull, push = [], []
    for maps in zip(top_left, bottom_right):
        tags_2O = torch.stack([_tags(x, corner_O2, image_O) for x, corner_O2 in zip(maps, _corners(objects))])
        mean_O = tags_2O.mean(dim=0)
        pull.append(((tags_2O - mean_O).square().sum(dim=0) / (count_O + config.epsilon)).sum())
        near_OO = (1 - (mean_O[:, None] - mean_O).abs()).relu() * other_OO
        push.append((near_OO.sum(dim=1) / pairs_O).sum())
    share = config.images / images
    return config.pull_weight * share * torch.stack(pull).sum(), config.push_weight * share * torch.stack(push).sum()


def _corners(objects: Objects) -> tuple[Tensor, ...]:
    return objects.boxes_O4.split(2, dim=1)


def _tags(maps_N1HW: Tensor, corner_O2: Tensor, image_O: Tensor) -> Tensor:
    return at_cells(maps_N1HW, image_O, cells_of(corner_O2, size_of(maps_N1HW))).squeeze(1)
