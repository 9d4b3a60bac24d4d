"""Deconvolutions that bring a body's last map back to a finer one (1804.06208; 1904.07850)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from cvzoo.fields import Count
from cvzoo.nn.layers import ConvNorm, Norm, make_norm, norm_relu

PADDINGS = {4: (1, 0), 3: (1, 1), 2: (0, 0)}
"""Of a deconvolution that doubles a map, by its kernel: what is cut off at all sides, what is added at the end."""


@dataclass(frozen=True, kw_only=True)
class DeconvConfig:
    """Deconvolutions after a body; each one doubles the map."""

    channels: tuple[Count, ...] = (256, 128, 64)
    """Channels of each deconvolution's map, from coarse to fine; as many deconvolutions as there are numbers."""
    kernels: tuple[Count, ...] = (4, 4, 4)
    """Kernel of each deconvolution: 4, 3 or 2."""
    conv: Literal["none", "plain", "deform"] = "plain"
    """What changes the number of channels before each deconvolution: nothing, so that it does so itself (the original
    ResNets without deformable convolutions), a 3x3 convolution (mmdetection), or a deformable one (DCNv2)."""
    conv_bias: bool = False
    """The 3x3 convolutions before the deconvolutions have a bias, too (the original's and cvpods' deformable ones)."""
    deform_groups: Count = 1
    """Groups of channels that have offsets of their own in the deformable convolutions before the deconvolutions."""
    norm: Norm = "batch"
    """Norm after each convolution and deconvolution of the up-sampling."""
    norm_groups: Count = 32
    """Groups of the up-sampling's group norms; must divide its channels."""

    def __post_init__(self) -> None:
        problems = []
        if len(self.kernels) != len(self.channels):
            problems.append(f"model.neck.kernels {self.kernels}: give one for each of {len(self.channels)} channels")
        if set(self.kernels) - set(PADDINGS):
            problems.append(f"model.neck.kernels {self.kernels}: choose from 4, 3 and 2")
        if problems:
            raise ValueError("; ".join(problems))

    def build(self, in_channels: Sequence[int]) -> DeconvNeck:
        return DeconvNeck(self, in_channels[-1])


class DeconvNorm(nn.Module):
    """A deconvolution that doubles a map, norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, norm: Norm, norm_groups: int) -> None:
        super().__init__()
        padding, more = PADDINGS[kernel]
        self.conv = nn.ConvTranspose2d(
            in_channels, out_channels, kernel, stride=2, padding=padding, output_padding=more, bias=False
        )
        self.norm = make_norm(norm, out_channels, groups=norm_groups)
        start_bilinear(self.conv)

    def forward(self, x: Tensor) -> Tensor:
        return norm_relu(self.norm, self.conv(x))


class DeconvNeck(nn.Module):
    """[C2, ..., C5] to one map, finer than C5 by a factor of 2 for each deconvolution."""

    def __init__(self, config: DeconvConfig, in_channels: int) -> None:
        super().__init__()
        convs, ups = [], []
        for channels, kernel in zip(config.channels, config.kernels):
            if config.conv != "none":
                convs.append(_conv(config, in_channels, channels))
                in_channels = channels
            ups.append(DeconvNorm(in_channels, channels, kernel, config.norm, config.norm_groups))
            in_channels = channels
        self.channels = in_channels
        self.convs, self.ups = nn.ModuleList(convs), nn.ModuleList(ups)

    def forward(self, features: list[Tensor]) -> Tensor:
        x = features[-1]
        for i, up in enumerate(self.ups):
            x = up(self.convs[i](x) if len(self.convs) else x)
        return x


def _conv(config: DeconvConfig, in_channels: int, channels: int) -> ConvNorm:
    return ConvNorm(
        in_channels,
        channels,
        norm=config.norm,
        norm_groups=config.norm_groups,
        relu=True,
        bias=config.conv_bias,
        deform=config.conv == "deform",
        deform_groups=config.deform_groups,
    )


@torch.no_grad()
def start_bilinear(conv: nn.ConvTranspose2d) -> None:
    """Let the first output channel begin as a bilinear enlargement of every input channel.

    All references mean to do so for each channel, and leave the others as they were: kept, it is what they train from.
    """
    side = conv.kernel_size[0]
    half = (side + 1) // 2
    centre = (2 * half - 1 - half % 2) / (2 * half)
    share = 1 - (torch.arange(side, device=conv.weight.device) / half - centre).abs()
    conv.weight[:, 0] = share[:, None] * share
