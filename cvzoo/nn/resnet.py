"""ResNet (1512.03385) and ResNeXt bodies with the names torchvision uses, so that ImageNet weights load as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

from torch import Tensor, nn

from cvzoo.fields import Count, Natural, Needs, NotNegative, Positive
from cvzoo.nn.context import ContextBlock
from cvzoo.nn.deform import Deform, DeformConv, dilated, start_plain
from cvzoo.nn.layers import Norm, make_norm, norm_relu
from cvzoo.ops.pool import halved

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


@dataclass(frozen=True, kw_only=True)
class ResNetConfig:
    """A residual network; the defaults are torchvision's ResNet-50 as detectors use it."""

    depth: Literal[18, 34, 50, 101, 152] = 50
    """Number of layers of the body; 18 and 34 have basic blocks, the others bottlenecks."""
    width: Count = 64
    """Channels of the 3x3 convolutions of the body's layer1; each further layer doubles them."""
    stem_channels: Count | None = None
    """Channels of the body's stem; None: as many as the 3x3 convolutions of layer1."""
    deep_stem: bool = False
    """A stem of three 3x3 convolutions instead of one of 7x7, the first two half as wide (ResNet-C of 1812.01187)."""
    out_channels: Count | None = None
    """Channels of the output of the body's layer1; None: four times the width with bottlenecks, else the width."""
    groups: Count = 1
    """Groups of the 3x3 convolutions in bottlenecks (ResNeXt, 1611.05431)."""
    stride_in_1x1: bool = False
    """Bottlenecks stride in their first 1x1 convolution (caffe style) instead of the 3x3 (pytorch style)."""
    deform: Deform | None = None
    """Deformable 3x3 convolutions in the bottlenecks of layer2 to layer4; `v2` weights their taps, too (1811.11168)."""
    deform_groups: Annotated[Count, Needs("deform")] = 1
    """Groups of channels that have offsets of their own in deformable convolutions."""
    output_stride: Literal[8, 16, 32] = 32
    """Stride of the body's last map: layers beyond it dilate their 3x3 convolutions instead (1706.05587, figure 3)."""
    contract_dilation: Annotated[bool, Needs("output_stride=8", "output_stride=16")] = True
    """The first block of a layer that dilates instead of halving its map is dilated as the layer before it
    (torchvision, mmsegmentation), not as the other blocks of its layer (detectron2)."""
    multi_grid: tuple[Count, ...] = ()
    """Dilation in each block of layer4; empty: the output stride decides it (2, 4, 8: detectron2's for 1706.05587)."""
    context_ratio: Positive | None = None
    """Bottlenecks of layer2 to layer4 end in a global context block this much narrower than they are (1904.11492)."""
    norm: Norm = "frozen"
    """Norm of the body: batch norm fixed, with its affine part trained, or trained altogether; or group norm."""
    norm_groups: Annotated[Count, Needs("norm=group")] = 32
    """Groups of the body's group norms; must divide the channels of all its convolutions."""
    norm_eps: NotNegative = 1e-5
    """Added to the variance in the body's norms; torchvision's published COCO_V1 detectors have 0."""
    frozen_stages: Natural = 2
    """How many of the body's stem, layer1, layer2 ... do not train."""

    def __post_init__(self) -> None:
        blocks = BLOCKS[self.depth][-1]
        if self.multi_grid and len(self.multi_grid) != blocks:
            raise ValueError(f"model.backbone.multi-grid {self.multi_grid}: give one for each of {blocks} blocks")
        of_bottlenecks = {"groups": self.groups > 1, "deform": self.deform, "context-ratio": self.context_ratio}
        for name, value in of_bottlenecks.items():
            if value and not self.bottleneck:
                raise ValueError(f"model.backbone.{name}: depth {self.depth} has no bottlenecks; take 50 or more")
        if self.width % self.groups:
            raise ValueError(f"model.backbone.groups {self.groups} must be a divisor of the width, {self.width}")
        if self.context_ratio is not None and self.channels[1] * self.context_ratio < 1:
            ratio, channels = self.context_ratio, self.channels[1]
            raise ValueError(f"model.backbone.context-ratio {ratio} leaves no channel of {channels}; raise it")

    @property
    def bottleneck(self) -> bool:
        return self.depth >= 50

    @property
    def channels(self) -> tuple[int, int, int, int]:
        """Channels of C2 to C5."""
        first = self.out_channels or (4 * self.width if self.bottleneck else self.width)
        return (first, 2 * first, 4 * first, 8 * first)

    def build(self) -> ResNet:
        return ResNet(self)


class NormConfig(Protocol):
    """What the config of a network of such blocks says of their norms."""

    @property
    def norm(self) -> Norm: ...
    @property
    def norm_groups(self) -> int: ...
    @property
    def norm_eps(self) -> float: ...


def _norm(config: NormConfig, channels: int) -> nn.Module:
    norm = make_norm(config.norm, channels, config.norm_eps, config.norm_groups)
    assert norm is not None
    return norm


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, the first of them dilated, and a shortcut."""

    def __init__(
        self, config: NormConfig, in_channels: int, mid: int, out_channels: int, stride: int, dilation: int = 1
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, dilation, dilation, bias=False)
        self.bn1 = _norm(config, out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = _norm(config, out_channels)
        self.downsample = _downsample(config, in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = norm_relu(self.bn1, self.conv1(x))
        return norm_relu(self.bn2, self.conv2(x), shortcut)


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
        deform = None if first_layer else config.deform
        self.conv2 = _conv_3x3(config, mid, stride_3x3, dilation, deform)
        self.bn2 = _norm(config, mid)
        self.conv3 = nn.Conv2d(mid, out_channels, 1, bias=False)
        self.bn3 = _norm(config, out_channels)
        ratio = None if first_layer else config.context_ratio
        self.context = None if ratio is None else ContextBlock(out_channels, ratio)
        self.downsample = _downsample(config, in_channels, out_channels, stride)

    def forward(self, x: Tensor, dilation: int | None = None) -> Tensor:
        """`dilation` overrides the 3x3 convolution's own: one block can run with several (1901.01892)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = norm_relu(self.bn1, self.conv1(x))
        conv = self.conv2
        x = conv(x, dilation) if isinstance(conv, DeformConv) else dilated(conv, x, dilation)
        x = self.conv3(norm_relu(self.bn2, x))
        if self.context is None:
            return norm_relu(self.bn3, x, shortcut)
        return norm_relu(None, self.context(self.bn3(x)), shortcut)


def _conv_3x3(config: ResNetConfig, channels: int, stride: int, dilation: int, deform: Deform | None) -> nn.Conv2d:
    """The 3x3 convolution of a bottleneck."""
    shape: dict[str, Any] = {"stride": stride, "padding": dilation, "dilation": dilation, "groups": config.groups}
    if deform:
        return DeformConv(channels, channels, deform_groups=config.deform_groups, kind=deform, **shape)
    return nn.Conv2d(channels, channels, 3, bias=False, **shape)


def _downsample(config: NormConfig, in_channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    """The projection shortcut, where the shape changes."""
    if stride == 1 and in_channels == out_channels:
        return None
    conv = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
    return nn.Sequential(conv, _norm(config, out_channels))


def _deep_stem(config: ResNetConfig, channels: int) -> nn.Sequential:
    layers = []
    half = channels // 2
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
        x = self.stem(images_N3HW) if self.config.deep_stem else norm_relu(self.bn1, self.conv1(images_N3HW))
        x = halved(x, 3, padding=1)
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
    """`index` 0 is layer1."""
    block = Bottleneck if config.bottleneck else BasicBlock
    mid = config.width * 2**index
    stride = 4 * 2**index
    blocks = BLOCKS[config.depth][index]
    dilation = max(1, stride // config.output_stride)
    dilations = [max(1, dilation // 2) if config.contract_dilation else dilation, *[dilation] * (blocks - 1)]
    if index == 3 and config.multi_grid:
        dilations = list(config.multi_grid)
    first = block(config, in_channels, mid, out, 2 if index and dilation == 1 else 1, dilations[0])
    return nn.Sequential(first, *(block(config, out, mid, out, 1, d) for d in dilations[1:]))
