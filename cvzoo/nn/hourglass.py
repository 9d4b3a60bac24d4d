"""Hourglass networks (1603.06937) as detectors stack them (1808.01244): down to a few cells and up again, twice."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from cvzoo.fields import Count
from cvzoo.nn.layers import ConvNorm, Norm
from cvzoo.nn.resnet import BasicBlock
from cvzoo.ops.resize import enlarged
from cvzoo.structures import size_of


@dataclass(frozen=True, kw_only=True)
class HourglassConfig:
    """A stack of hourglasses; the defaults are Hourglass-104."""

    stacks: Count = 2
    """Hourglasses, one after the other; each gives a map."""
    stem_channels: Count = 128
    """Channels of the 7x7 convolution that an hourglass network begins with."""
    channels: tuple[Count, ...] = (256, 256, 384, 384, 384, 512)
    """Channels inside an hourglass, from its finest level, at stride 4, to its coarsest; each level halves the map."""
    blocks: tuple[Count, ...] = (2, 2, 2, 2, 2, 4)
    """Residual blocks on each level of an hourglass."""
    width: Count = 256
    """Channels of the maps that the hourglasses give."""
    norm: Norm = "batch"
    """Norm of the hourglasses: batch norm fixed, with its affine part trained, or trained altogether; or group norm."""
    norm_groups: Count = 32
    """Groups of the hourglasses' group norms; must divide the channels of all their convolutions."""

    def __post_init__(self) -> None:
        if len(self.channels) < 2 or len(self.channels) != len(self.blocks):
            raise ValueError(
                f"model.backbone.channels {self.channels} and model.backbone.blocks {self.blocks}: give one of each for"
                " every level, for two levels or more"
            )

    @property
    def norm_eps(self) -> float:
        """Added to the variance in all norms."""
        return 1e-5

    def build(self) -> Hourglass:
        return Hourglass(self)


class Hourglass(nn.Module):
    """Images to one map of each hourglass, all at stride 4; the last one is the result, the others learn as well."""

    def __init__(self, config: HourglassConfig) -> None:
        super().__init__()
        self.config = config
        self.channels = (config.width,) * config.stacks
        inside, between = config.channels[0], range(config.stacks - 1)
        self.stem = nn.Sequential(
            _conv(config, 3, config.stem_channels, 7, stride=2, relu=True),
            BasicBlock(config, config.stem_channels, inside, inside, stride=2),
        )
        self.hourglasses = nn.ModuleList(Level(config, 0) for _ in range(config.stacks))
        self.outputs = nn.ModuleList(_conv(config, inside, config.width, 3, relu=True) for _ in range(config.stacks))
        self.from_input = nn.ModuleList(_conv(config, inside, inside, 1) for _ in between)
        self.from_output = nn.ModuleList(_conv(config, config.width, inside, 1) for _ in between)
        self.merged = nn.ModuleList(BasicBlock(config, inside, inside, inside, stride=1) for _ in between)

    def forward(self, images_N3HW: Tensor) -> list[Tensor]:
        x = self.stem(images_N3HW)
        maps = []
        for i, (hourglass, output) in enumerate(zip(self.hourglasses, self.outputs)):
            maps.append(output(hourglass(x)))
            if i < len(self.merged):
                x = self.merged[i](F.relu(self.from_input[i](x) + self.from_output[i](maps[-1])))
        return maps


class Level(nn.Module):
    """One level of an hourglass and all that are coarser: past them at full size, and through them at half of it."""

    def __init__(self, config: HourglassConfig, index: int) -> None:
        super().__init__()
        here, below = config.channels[index : index + 2]
        blocks = config.blocks[index]
        self.past = _blocks(config, [here] * (blocks + 1))
        self.down = _blocks(config, [here] + [below] * blocks, stride=2)
        coarsest = index + 2 == len(config.channels)
        inner = _blocks(config, [below] * (config.blocks[-1] + 1)) if coarsest else Level(config, index + 1)
        self.inner: nn.Module = inner
        self.up = _blocks(config, [below] * blocks + [here])

    def forward(self, x: Tensor) -> Tensor:
        past = self.past(x)
        through = self.up(self.inner(self.down(x)))
        return past + enlarged(through, size_of(past))


def _blocks(config: HourglassConfig, channels: list[int], stride: int = 1) -> nn.Sequential:
    """Residual blocks between so many channels, of which the first one strides."""
    pairs = pairwise(channels)
    return nn.Sequential(*(BasicBlock(config, a, b, b, stride if i == 0 else 1) for i, (a, b) in enumerate(pairs)))


def _conv(config: HourglassConfig, a: int, b: int, kernel: int, stride: int = 1, relu: bool = False) -> ConvNorm:
    """A convolution from `a` to `b` channels with the network's norm."""
    norm = {"norm": config.norm, "norm_groups": config.norm_groups}
    return ConvNorm(a, b, kernel, stride=stride, relu=relu, **norm)
