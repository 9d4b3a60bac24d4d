"""CornerNet's head: where objects have their top-left and bottom-right corners, and which corners belong together.

Every hourglass has a head of its own. All of them learn, the last one's maps are the answer.

Shape suffixes: N images, K classes, H W cells.
"""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from cvzoo.nn.layers import ConvNorm, Norm
from cvzoo.nn.towers import logit
from cvzoo.ops.corner_pool import Direction, corner_pool
from cvzoo.parts.heatmap.head import Branch


class CornerOutput(NamedTuple):
    """Maps of one kind of corner, of each hourglass whose head has run; the last is the answer."""

    heat: list[Tensor]
    """(N, K, H, W) logits of there being a corner."""
    tag: list[Tensor]
    """(N, 1, H, W): alike at both corners of an object."""
    offset: list[Tensor]
    """(N, 2, H, W): x and y of the corner in its cell."""


class PairOutput(NamedTuple):
    """The maps of both kinds of corners."""

    top_left: CornerOutput
    bottom_right: CornerOutput


class CornerPool(nn.Module):
    """Pools towards two sides, beside a shortcut (figure 7 of the paper)."""

    def __init__(
        self,
        channels: int,
        pooled: int,
        directions: tuple[Direction, Direction],
        norm: Norm,
        norm_groups: int,
    ) -> None:
        super().__init__()
        of_norm = {"norm": norm, "norm_groups": norm_groups}
        self.directions = directions
        self.before = nn.ModuleList(ConvNorm(channels, pooled, relu=True, **of_norm) for _ in directions)
        self.after = ConvNorm(pooled, channels, **of_norm)
        self.shortcut = ConvNorm(channels, channels, 1, **of_norm)
        self.out = ConvNorm(channels, channels, relu=True, **of_norm)

    def forward(self, x: Tensor) -> Tensor:
        one, other = (corner_pool(conv(x), direction) for conv, direction in zip(self.before, self.directions))
        return self.out(F.relu(self.after(one + other) + self.shortcut(x)))


class CornerHead(nn.Module):
    """The maps of one kind of corner from an hourglass' map."""

    def __init__(self, pool: CornerPool, channels: int, branch: int, num_classes: int, prior: float) -> None:
        super().__init__()
        self.pool = pool
        self.heat = Branch(channels, branch, num_classes)
        self.tag = Branch(channels, branch, 1)
        self.offset = Branch(channels, branch, 2)
        nn.init.constant_(self.heat.out.get_parameter("bias"), logit(prior))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.pool(x)
        return self.heat(x), self.tag(x), self.offset(x)


class PairHead(nn.Module):
    """The heads of all hourglasses."""

    def __init__(
        self,
        channels: tuple[int, ...],
        num_classes: int,
        *,
        pooled: int,
        branch: int,
        norm: Norm,
        norm_groups: int,
        prior: float,
    ) -> None:
        super().__init__()

        def heads(first: Direction, second: Direction) -> nn.ModuleList:
            pools = (CornerPool(c, pooled, (first, second), norm, norm_groups) for c in channels)
            return nn.ModuleList(CornerHead(p, c, branch, num_classes, prior) for p, c in zip(pools, channels))

        self.top_left = heads("top", "left")
        self.bottom_right = heads("bottom", "right")

    def forward(self, maps: list[Tensor]) -> PairOutput:
        """In training from the maps of all hourglasses, else from the last one's."""
        kinds, run = [], slice(None) if self.training else slice(-1, None)
        for heads in (self.top_left, self.bottom_right):
            outputs = [head(x) for head, x in zip(list(heads)[run], maps[run])]
            kinds.append(CornerOutput(*(list(values) for values in zip(*outputs))))
        return PairOutput(*kinds)
