"""Feature pyramid network (1612.03144) with the coarser levels detectors add to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from cvzoo.fields import Count, Needs
from cvzoo.nn.layers import ConvNorm, Norm
from cvzoo.ops.pool import halved
from cvzoo.ops.resize import enlarged
from cvzoo.structures import size_of


@dataclass(frozen=True, kw_only=True)
class FPNConfig:
    """A pyramid over the backbone's last outputs; the defaults are the levels P3 to P7 of 1708.02002."""

    channels: Count = 256
    """Channels of every level of the pyramid."""
    first_level: Literal[2, 3] = 3
    """Finest level of the pyramid: P2 (stride 4) or P3 (stride 8)."""
    extra: Literal["conv", "pool", "none"] = "conv"
    """Levels above P5: P6, P7 by convolutions of stride 2 (1708.02002), P6 by subsampling P5 (1612.03144) or none."""
    extra_from: Annotated[Literal["input", "output"], Needs("extra=conv")] = "output"
    """Convolve P6 from C5 (`input`: detectron2, mmdetection, torchvision v2) or from P5 (`output`: torchvision)."""
    extra_relu: Annotated[bool, Needs("extra=conv")] = True
    """A ReLU between the convolutions to P6 and P7 (none in mmdetection's models of 1708.02002)."""
    fuse: Literal["sum", "mean"] = "sum"
    """How a level of the pyramid and the coarser one above it are merged."""
    norm: Norm | None = None
    """Norm of the pyramid's lateral and output convolutions; none: they have biases instead."""
    extra_norm: Annotated[Norm | None, Needs("extra=conv")] = None
    """Norm of the convolutions to P6 and P7; none: they have biases instead."""
    norm_groups: Annotated[Count, Needs("norm=group", "extra_norm=group")] = 32
    """Groups of the pyramid's group norms; must divide the pyramid's channels."""


class FPN(nn.Module):
    """[C2 or C3, ..., C5] to [P2 or P3, ..., P5, P6, P7], finest first."""

    def __init__(self, config: FPNConfig, in_channels: tuple[int, ...]) -> None:
        super().__init__()
        self.config = config
        channels = config.channels
        inputs = in_channels[config.first_level - 2 :]
        norms: dict[str, Any] = {"norm": config.norm, "norm_groups": config.norm_groups}
        self.lateral = nn.ModuleList(ConvNorm(c, channels, 1, **norms) for c in inputs)
        self.output = nn.ModuleList(ConvNorm(channels, channels, **norms) for _ in inputs)
        self.extra = nn.ModuleList()
        if config.extra == "conv":
            source = inputs[-1] if config.extra_from == "input" else channels
            norms["norm"] = config.extra_norm
            self.extra.extend(ConvNorm(c, channels, stride=2, **norms) for c in (source, channels))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        features = features[self.config.first_level - 2 :]
        merged = self.lateral[-1](features[-1])
        levels = [self.output[-1](merged)]
        for i in reversed(range(len(features) - 1)):
            lateral = self.lateral[i](features[i])
            merged = enlarged(merged, size_of(lateral)).add_(lateral)
            if self.config.fuse == "mean":
                merged = merged / 2
            levels.insert(0, self.output[i](merged))
        return levels + self._coarser(features[-1], levels[-1])

    def _coarser(self, c5: Tensor, p5: Tensor) -> list[Tensor]:
        if self.config.extra == "none":
            return []
        if self.config.extra == "pool":
            return [halved(p5, 1)]  # every second cell; torch.compile cannot take views of one another
        p6 = self.extra[0](c5 if self.config.extra_from == "input" else p5)
        return [p6, self.extra[1](F.relu(p6) if self.config.extra_relu else p6)]
