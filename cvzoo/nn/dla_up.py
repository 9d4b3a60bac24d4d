"""Deep layer aggregation's way back from a body's coarse maps to its finest one (1707.06484).

Source: the code of 1904.07850, `src/lib/models/networks/pose_dla_dcn.py`, whose convolutions are deformable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from cvzoo.fields import Count
from cvzoo.nn.deconv import start_bilinear
from cvzoo.nn.layers import ConvNorm, Norm


@dataclass(frozen=True, kw_only=True)
class DLAUpConfig:
    """Steps that bring C2 to C5 to one map, as wide as the finest of them."""

    conv: Literal["deform", "plain"] = "deform"
    """The 3x3 convolutions of the steps are deformable ones (DCNv2), as the authors', or plain ones."""

    first_level: Literal[2, 4] = 2
    """Finest map that the steps lead to: C2 (stride 4, the authors') or C4 (stride 16)."""
    min_channels: Count = 1
    """Maps of fewer channels are first widened to so many by a 1x1 convolution, which the authors have not."""
    norm: Norm = "batch"
    """Norm after each convolution of the way back."""
    norm_groups: Count = 32
    """Groups of the way back's group norms; must divide its channels."""

    def build(self, in_channels: Sequence[int]) -> DLAUp:
        return DLAUp(self, in_channels)


class Step(nn.Module):
    """Adds coarser maps to the finest one, one after the other: project, enlarge, add, convolve."""

    def __init__(self, config: DLAUpConfig, in_channels: Sequence[int], factors: Sequence[int], channels: int) -> None:
        """`in_channels` and `factors` (by which they are coarser) are those of the maps but the finest."""
        super().__init__()
        self.project = nn.ModuleList(_conv(config, width, channels) for width in in_channels)
        self.enlarge = nn.ModuleList(_enlarge(channels, factor) for factor in factors)
        self.node = nn.ModuleList(_conv(config, channels, channels) for _ in in_channels)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """The finest map, and what it has become after each coarser one."""
        found = maps[:1]
        for x, project, enlarge, node in zip(maps[1:], self.project, self.enlarge, self.node, strict=True):
            found.append(node(enlarge(project(x)) + found[-1]))
        return found


class DLAUp(nn.Module):
    """[C2, ..., C5] to one map of the finest one's size: from C5 on each step brings all it has to the next finer map.

    Those that each step ends with, with strides 4 to 16, make the last map.
    """

    def __init__(self, config: DLAUpConfig, in_channels: Sequence[int]) -> None:
        super().__init__()
        self.first = config.first_level - 2
        inputs = in_channels[self.first :]
        channels = [max(width, config.min_channels) for width in inputs]
        self.channels = channels[0]
        self.widen = nn.ModuleList(_widen(config, *widths) for widths in zip(inputs, channels))
        steps, above = [], 1
        for coarse, fine in pairwise(reversed(channels)):
            # all maps but the next one have been brought to `coarse` by now
            steps.append(Step(config, [coarse] * above, [2] * above, fine))
            above += 1
        self.steps = nn.ModuleList(steps)
        factors = [2**i for i in range(1, len(self.steps))]
        self.last = Step(config, channels[1:-1], factors, self.channels)

    def forward(self, features: list[Tensor]) -> Tensor:
        inputs = [widen(x) for widen, x in zip(self.widen, features[self.first :], strict=True)]
        maps, ends = inputs[-1:], []
        for step, x in zip(self.steps, reversed(inputs[:-1]), strict=True):
            maps = step([x, *maps])
            ends.append(maps[-1])
        return self.last(ends[::-1])[-1]


def _conv(config: DLAUpConfig, in_channels: int, channels: int) -> ConvNorm:
    return ConvNorm(
        in_channels,
        channels,
        norm=config.norm,
        norm_groups=config.norm_groups,
        relu=True,
        bias=True,
        deform=config.conv == "deform",
    )


def _widen(config: DLAUpConfig, in_channels: int, channels: int) -> nn.Module:
    if in_channels == channels:
        return nn.Identity()
    return ConvNorm(in_channels, channels, 1, norm=config.norm, norm_groups=config.norm_groups, relu=True)


def _enlarge(channels: int, factor: int) -> nn.ConvTranspose2d:
    """Begins as a bilinear enlargement of each channel."""
    conv = nn.ConvTranspose2d(
        channels, channels, 2 * factor, stride=factor, padding=factor // 2, groups=channels, bias=False
    )
    start_bilinear(conv)
    return conv
