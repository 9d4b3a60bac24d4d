"""The heads of detectron2's DeepLab, written anew from its description for tests: its keys, its order, its defaults.

A convolution owns its norm; a separable one has norm and ReLU after both of its parts (detectron2 0.6,
`layers/{aspp,blocks}.py` and `projects/DeepLab/deeplab/semantic_seg.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORMS: dict[str, Any] = {
    "BN": nn.BatchNorm2d,
    "SyncBN": nn.BatchNorm2d,
    "GN": lambda channels: nn.GroupNorm(32, channels),
}


class Conv(nn.Conv2d):
    """A convolution, its norm if any, and ReLU."""

    def __init__(self, channels: tuple[int, int], kernel: int, norm: str | None, dilation: int = 1, groups: int = 1):
        options: dict[str, Any] = {"dilation": dilation, "groups": groups, "bias": norm is None}
        super().__init__(*channels, kernel, padding=kernel // 2 * dilation, **options)
        self.norm = None if norm is None else NORMS[norm](channels[1])

    def forward(self, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        x = super().forward(x)
        return F.relu(x if self.norm is None else self.norm(x))


class Separable(nn.Module):
    def __init__(self, channels: tuple[int, int], kernel: int, norm: str, dilation: int = 1) -> None:
        super().__init__()
        self.depthwise = Conv((channels[0], channels[0]), kernel, norm, dilation, groups=channels[0])
        self.pointwise = Conv(channels, 1, norm)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(x))


class ASPP(nn.Module):
    def __init__(self, source: int, options: Mapping[str, Any], window: tuple[int, int] | None) -> None:
        super().__init__()
        channels, norm = (source, options["ASPP_CHANNELS"]), options["NORM"]
        kind: Any = Separable if options["USE_DEPTHWISE_SEPARABLE_CONV"] else Conv
        pool = nn.AdaptiveAvgPool2d(1) if window is None else nn.AvgPool2d(window, stride=1)
        self.convs = nn.ModuleList([Conv(channels, 1, norm)])
        self.convs += [kind(channels, 3, norm, dilation=d) for d in options["ASPP_DILATIONS"]]
        self.convs.append(nn.Sequential(pool, Conv(channels, 1, None)))
        self.project = Conv((5 * channels[1], channels[1]), 1, norm)

    def forward(self, x: Tensor) -> Tensor:
        *parts, pooled = (conv(x) for conv in self.convs)
        return self.project(torch.cat([*parts, upsampled(pooled, x)], dim=1))


def upsampled(x: Tensor, to: Tensor) -> Tensor:
    return F.interpolate(x, to.shape[-2:], mode="bilinear", align_corners=False)


class PlusHead(nn.Module):
    """v3+: low-level features come first."""

    def __init__(self, channels: Mapping[str, int], options: Mapping[str, Any], window: tuple[int, int] | None) -> None:
        super().__init__()
        (low,), width, norm = options["PROJECT_CHANNELS"], options["CONVS_DIM"], options["NORM"]
        source = low + options["ASPP_CHANNELS"]
        if options["USE_DEPTHWISE_SEPARABLE_CONV"]:
            fuse = Separable((source, width), 5, norm)
        else:
            fuse = nn.Sequential(Conv((source, width), 3, norm), Conv((width, width), 3, norm))
        low_stage = nn.ModuleDict({"project_conv": Conv((channels["res2"], low), 1, norm), "fuse_conv": fuse})
        aspp_stage = nn.ModuleDict({"project_conv": ASPP(channels["res5"], options, window)})
        self.decoder = nn.ModuleDict({"res2": low_stage, "res5": aspp_stage})
        self.predictor = nn.Conv2d(width, options["NUM_CLASSES"], 1)

    def forward(self, c2: Tensor, c5: Tensor) -> Tensor:
        stages: Any = self.decoder
        low, known = stages["res2"]["project_conv"](c2), stages["res5"]["project_conv"](c5)
        return self.predictor(stages["res2"]["fuse_conv"](torch.cat([low, upsampled(known, low)], dim=1)))


class V3Head(nn.Module):
    def __init__(self, channels: Mapping[str, int], options: Mapping[str, Any], window: tuple[int, int] | None) -> None:
        super().__init__()
        self.aspp = ASPP(channels["res5"], options, window)
        self.predictor = nn.Conv2d(options["CONVS_DIM"], options["NUM_CLASSES"], 1)

    def forward(self, c2: Tensor, c5: Tensor) -> Tensor:
        return self.predictor(self.aspp(c5))


HEADS: dict[str, Any] = {"DeepLabV3PlusHead": PlusHead, "DeepLabV3Head": V3Head}
