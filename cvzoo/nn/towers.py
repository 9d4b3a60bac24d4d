"""The small convolutional towers that dense heads share over the levels of a pyramid."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from cvzoo.nn.deform import start_plain
from cvzoo.nn.layers import ConvNorm, Norm


def tower(
    channels: int,
    convs: int,
    norm: Norm | None,
    bias: bool | None = None,
    deform_last: bool = False,
    *,
    norm_groups: int = 32,
    out_channels: int | None = None,
) -> nn.Sequential:
    """`convs` times 3x3 convolution, norm if any, ReLU; with `deform_last` the last convolution is deformable.

    `out_channels` are those of all convolutions; None: as many as go in.
    """
    options: dict[str, Any] = {"norm": norm, "norm_groups": norm_groups, "relu": True, "bias": bias}
    deform = [deform_last and i == convs - 1 for i in range(convs)]
    out = out_channels or channels
    inputs = [channels, *[out] * (convs - 1)]
    return nn.Sequential(*(ConvNorm(c, out, deform=d, **options) for c, d in zip(inputs, deform, strict=False)))


def init_normal(module: nn.Module, std: float = 0.01) -> None:
    """Weights of all convolutions and linear layers ~ N(0, std), biases 0 (1504.08083, 1708.02002)."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.normal_(layer.weight, std=std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    start_plain(module)


def logit(score: float) -> float:
    """The value whose sigmoid is `score`; a head's bias for which every class starts from that score."""
    return math.log(score / (1 - score)) if score > 0 else -math.inf
