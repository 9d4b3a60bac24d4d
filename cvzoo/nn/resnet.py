"""ResNet (1512.03385) and ResNeXt bodies with the names torchvision uses, so that ImageNet weights load as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from cvzoo.nn.context import ContextBlock
from cvzoo.nn.deform import Deform, DeformConv, start_plain
from cvzoo.nn.layers import Norm, make_norm

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


@dataclass(frozen=True, kw_only=True)
class ResNetConfig:
    """A residual network; the defaults are torchvision's ResNet-50 as detectors use it."""

    depth: Literal[18, 34, 50, 101, 152] = 50
    """Number of layers; 18 and 34 have basic blocks, the others bottlenecks."""
    width: int = 64
    """Channels of the 3x3 convolutions of layer1; each further layer doubles them."""
    stem_channels: int | None = None
    """Channels of the stem; None: `width`."""
    deep_stem: bool = False
    """Three 3x3 convolutions instead of one of 7x7, the first two with half the channels (ResNet-C of 1812.01187)."""
    out_channels: int | None = None
    """Channels of layer1's output; None: 4 * width with bottlenecks, else width."""
    groups: int = 1
    """Groups of the bottlenecks' 3x3 convolutions (ResNeXt)."""
    stride_in_1x1: bool = False
    """Bottlenecks stride in their first 1x1 convolution (caffe style) instead of the 3x3 (pytorch style)."""
    deform: Deform | None = None
    """Bottlenecks of layer2 to layer4 have deformable 3x3 convolutions."""
    output_stride: Literal[8, 16, 32] = 32
    """Of the last map: layers that would go beyond it dilate their 3x3 convolutions instead (1706.05587, figure 3)."""
    multi_grid: tuple[int, ...] = ()
    """Dilation in each block of layer4, where `output_stride` is not to decide it (detectron2's DeepLab: 2, 4, 8)."""
    context_ratio: float | None = None
    """Bottlenecks of layer2 to layer4 end in a global context block this much narrower than they are (1904.11492)."""
    norm: Norm = "frozen"
    """`frozen` is the zoo's common setting."""
    norm_eps: float = 1e-5
    """Added to the variance; torchvision's published COCO_V1 detectors have 0."""
    frozen_stages: int = 2
    """How many of stem, layer1, ... do not train."""

    def __post_init__(self) -> None:
        blocks = BLOCKS[self.depth][-1]
        if self.multi_grid and len(self.multi_grid) != blocks:
            raise ValueError(f"model.backbone.multi-grid {self.multi_grid}: give one for each of {blocks} blocks")
        if self.context_ratio is not None and not self.bottleneck:
            raise ValueError(f"model.backbone.context-ratio: depth {self.depth} has no bottlenecks; take 50 or more")
        if self.deform and (self.output_stride < 32 or self.multi_grid):
            raise ValueError("model.backbone.deform: deformable convolutions are not dilated; take output-stride 32")

    @property
    def bottleneck(self) -> bool:
        return self.depth >= 50

    @property
    def channels(self) -> tuple[int, int, int, int]:
        """Of C2..C5."""
        first = self.out_channels or (4 * self.width if self.bottleneck else self.width)
        return (first, 2 * first, 4 * first, 8 * first)

    def build(self) -> ResNet:
        return ResNet(self)


def _norm(config: ResNetConfig, channels: int) -> nn.Module:
    norm = make_norm(config.norm, channels, config.norm_eps)
    assert norm is not None
    return norm


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, the first of them dilated, and a shortcut."""

    def __init__(
        self, config: ResNetConfig, in_channels: int, mid: int, out_channels: int, stride: int, dilation: int = 1
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, dilation, dilation, bias=False)
        self.bn1 = _norm(config, out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = _norm(config, out_channels)
        self.downsample = _downsample(config, in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        x = self.bn2(self.conv2(x))
        return F.relu(x.add_(shortcut), inplace=True)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions, the second of them dilated, and a shortcut."""

    conv2: nn.Conv2d

    def __init__(
        self, config: ResNetConfig, in_channels: int, mid: int, out_channels: int, stride: int, dilation: int = 1
    ) -> None:
        super().__init__()
        first_layer = mid == config.width
        stride_1x1, stride_3x3 = (stride, 1) if config.stride_in_1x1 else (1, stride)
        self.conv1 = nn.Conv2d(in_channels, mid, 1, stride_1x1, bias=False)
        self.bn1 = _norm(config, mid)
        if config.deform and not first_layer:
            self.conv2 = DeformConv(mid, mid, stride=stride_3x3, kind=config.deform)
        else:
            self.conv2 = nn.Conv2d(mid, mid, 3, stride_3x3, dilation, dilation, config.groups, bias=False)
        self.bn2 = _norm(config, mid)
        self.conv3 = nn.Conv2d(mid, out_channels, 1, bias=False)
        self.bn3 = _norm(config, out_channels)
        ratio = None if first_layer else config.context_ratio
        self.context = None if ratio is None else ContextBlock(out_channels, ratio)
        self.downsample = _downsample(config, in_channels, out_channels, stride)

    def forward(self, x: Tensor, dilation: int = 1) -> Tensor:
        """`dilation` spreads the 3x3 convolution otherwise than it is; TridentNet runs one block with several."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        conv = self.conv2
        if dilation == 1:
            x = conv(x)
        else:
            x = F.conv2d(x, conv.weight, conv.bias, conv.stride, dilation, dilation, conv.groups)
        x = F.relu(self.bn2(x), inplace=True)
        x = self.bn3(self.conv3(x))
        if self.context is not None:
            x = self.context(x)
        return F.relu(x.add_(shortcut), inplace=True)


def _downsample(config: ResNetConfig, in_channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    """The projection shortcut, where the shape changes."""
    if stride == 1 and in_channels == out_channels:
        return None
    conv = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
    return nn.Sequential(conv, _norm(config, out_channels))


def _deep_stem(config: ResNetConfig, channels: int) -> nn.Sequential:
    layers, half = [], channels // 2
    for in_channels, out_channels, stride in ((3, half, 2), (half, half, 1), (half, channels, 1)):
        layers.append(nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False))
        layers += [_norm(config, out_channels), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class ResNet(nn.Module):
    """The body without its classifier: images to [C2, C3, C4, C5] at strides 4, 8, 16, 32 or less.

    Fewer `stages` end earlier; the layers left over are there for the model to run elsewhere, as C4 detectors do.
    """

    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential

    def __init__(self, config: ResNetConfig, stages: int = 4) -> None:
        super().__init__()
        self.config, self.stages = config, stages
        self.channels = config.channels
        stem = config.stem_channels or config.width
        if config.deep_stem:
            self.stem = _deep_stem(config, stem)
        else:
            self.conv1 = nn.Conv2d(3, stem, 7, stride=2, padding=3, bias=False)
            self.bn1 = _norm(config, stem)
        in_channels = stem
        for i, out_channels in enumerate(config.channels):
            self.add_module(f"layer{i + 1}", _layer(config, i, in_channels, out_channels))
            in_channels = out_channels
        self._initialise()
        self._freeze(config.frozen_stages)

    @property
    def layers(self) -> list[nn.Sequential]:
        return [self.layer1, self.layer2, self.layer3, self.layer4]

    def forward(self, images_N3HW: Tensor) -> list[Tensor]:
        x = self.stem(images_N3HW) if self.config.deep_stem else F.relu(self.bn1(self.conv1(images_N3HW)), inplace=True)
        x = F.max_pool2d(x, kernel_size=3, stride=2, padding=1)
        features = []
        for layer in self.layers[: self.stages]:
            x = layer(x)
            features.append(x)
        return features

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        for module in self.modules():
            if isinstance(module, ContextBlock):
                module.start_as_identity()
        start_plain(self)

    def _freeze(self, stages: int) -> None:
        stem = [self.stem] if self.config.deep_stem else [self.conv1, self.bn1]
        for module in [stem, *([layer] for layer in self.layers)][:stages]:
            for part in module:
                part.requires_grad_(False)


def _layer(config: ResNetConfig, index: int, in_channels: int, out: int) -> nn.Sequential:
    """`index` 0 is layer1. The first block of a layer that does not halve its map is dilated as the layer before."""
    block = Bottleneck if config.bottleneck else BasicBlock
    mid, stride, blocks = config.width * 2**index, 4 * 2**index, BLOCKS[config.depth][index]
    dilation = max(1, stride // config.output_stride)
    dilations = [max(1, dilation // 2), *[dilation] * (blocks - 1)]
    if index == 3 and config.multi_grid:
        dilations = list(config.multi_grid)
    first = block(config, in_channels, mid, out, 2 if index and dilation == 1 else 1, dilations[0])
    return nn.Sequential(first, *(block(config, out, mid, out, 1, d) for d in dilations[1:]))
