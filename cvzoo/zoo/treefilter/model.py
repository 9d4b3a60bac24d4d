"""The network of the learnable tree filter (Song et al., 1909.12513).

A decoder adds coarse knowledge to finer maps, and blurs it on the way. Before it is added it is averaged along a tree
that follows the outlines of the finer map: the coarse map says what is alike, the fine one where it ends.

Shape suffixes: N images, C channels, K classes, H W cells, h w cells of the coarser map.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from cvzoo.fields import Count, Needs, NotNegative
from cvzoo.nn.bodies import BodyConfig
from cvzoo.nn.layers import ConvNorm, Norm
from cvzoo.nn.pixels import Pixels
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.ops.resize import resize
from cvzoo.parts.semantic.head import UNPADDED, AuxiliaryConfig, Classifier
from cvzoo.parts.semantic.logits import PixelLossConfig
from cvzoo.parts.semantic.segmenter import Segmenter
from cvzoo.structures import AnswerKind, size_of
from cvzoo.zoo.treefilter.tree import minimum_spanning_tree, tree_filter

BODY = ResNetConfig(deep_stem=True, stem_channels=128, norm="batch", frozen_stages=0)
"""The authors' body: a stem twice as wide as usual, nothing dilated, all of it trained."""


@dataclass(frozen=True, kw_only=True)
class TreeFilterConfig:
    """Hyper-parameters; the defaults are those of the authors' ResNet-50."""

    answer: ClassVar[AnswerKind] = "label_maps"

    num_classes: Count = 21
    """Classes the network scores."""
    backbone: BodyConfig = BODY
    """The network that turns an image into feature maps, C2 to C5."""
    pixels: Pixels = UNPADDED
    """How pixels are normalised and padded; belongs to the backbone's weights."""
    decoder: Literal["basic", "extra"] = "basic"
    """`extra` has residual blocks instead of convolutions, adds the mean of the whole image, and grows its trees on
    the body's maps instead of the decoder's."""
    channels: Count = 256
    """Channels of the decoder's maps; 512 in the authors' `extra`."""
    embed_channels: Count = 256
    """Channels of the embedding that says how alike neighbours are."""
    embed_std: NotNegative | None = None
    """The embeddings' weights start from this standard deviation. None is the authors' start, He's, from which
    neighbours may be so far apart that the filter does nothing and does not learn to; 0.01 is that of its second
    version (2012.03482)."""
    groups: Count = 16
    """Groups of channels, each averaged along the tree with similarities of its own."""
    norm: Norm = "batch"
    """Norm of the decoder and the auxiliary head."""
    norm_groups: Annotated[Count, Needs("norm=group")] = 32
    """Groups of the group norms of decoder and auxiliary head; must divide the channels of each convolution."""
    align_corners: bool = True
    """Resize so that the centres of corner cells stay in place."""
    aux: AuxiliaryConfig | None = None
    """The auxiliary head; None without."""
    loss: PixelLossConfig = field(default_factory=lambda: PixelLossConfig(count_ignored=False))
    """Cross-entropy of the pixels."""

    def __post_init__(self) -> None:
        if self.channels % self.groups or self.embed_channels % self.groups:
            raise ValueError(
                f"model.groups {self.groups}: take a divisor of model.channels {self.channels} and"
                f" model.embed-channels {self.embed_channels}"
            )

    def build(self) -> Segmenter:
        backbone = self.backbone.build()
        return Segmenter(self, backbone, TreeDecoder(self, backbone.channels))


class Residual(nn.Module):
    """A 1x1 convolution, and two of 3x3 that refine what it yields."""

    def __init__(self, in_channels: int, channels: int, norm: Norm, norm_groups: int) -> None:
        super().__init__()
        self.point = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.conv1 = ConvNorm(channels, channels, norm=norm, norm_groups=norm_groups, relu=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        x = self.point(x_NCHW)
        return F.relu(x + self.conv2(self.conv1(x)), inplace=True)


def _block(config: TreeFilterConfig, in_channels: int, kernel: int) -> nn.Module:
    """What the decoder is made of."""
    if config.decoder == "extra":
        return Residual(in_channels, config.channels, config.norm, config.norm_groups)
    return ConvNorm(in_channels, config.channels, kernel, bias=False)


class Scene(nn.Module):
    """The start of the `extra` decoder: the coarsest map, and the mean of all its cells added to each.

    The authors filter that mean first: the average of equal cells, so that it stays as it is.
    """

    def __init__(self, in_channels: int, config: TreeFilterConfig) -> None:
        super().__init__()
        self.latent = _block(config, in_channels, 3)
        after: dict[str, Any] = {"norm": config.norm, "norm_groups": config.norm_groups, "relu": True}
        self.context = ConvNorm(in_channels, config.channels, 1, **after)
        self.refine = _block(config, config.channels, 1)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return self.refine(self.latent(x_NCHW) + self.context(x_NCHW.mean(dim=(2, 3), keepdim=True)))


class Finer(nn.Module):
    """One step of the decoder: what is known so far, averaged along the tree of a finer map and added to it."""

    def __init__(self, in_channels: int, config: TreeFilterConfig) -> None:
        super().__init__()
        self.config = config
        self.latent = _block(config, in_channels, 3)
        self.embed = ConvNorm(config.channels, config.embed_channels, 1, bias=False)
        self.refine = _block(config, config.channels, 1)

    def forward(self, known_NChw: Tensor, fine_NCHW: Tensor) -> Tensor:
        known_NCHW = resize(known_NChw, size_of(fine_NCHW), self.config.align_corners)
        latent_NCHW = self.latent(fine_NCHW)
        tree = minimum_spanning_tree(fine_NCHW if self.config.decoder == "extra" else latent_NCHW)
        return self.refine(latent_NCHW + tree_filter(known_NCHW, self.embed(known_NCHW), tree, self.config.groups))


class TreeDecoder(nn.Module):
    """From the coarsest map to the finest, filtered on the way, and the classifier."""

    def __init__(self, config: TreeFilterConfig, channels: tuple[int, ...]) -> None:
        """`channels` of C2 to C5."""
        super().__init__()
        c = config
        c2, c3, c4, c5 = channels
        extra = c.decoder == "extra"
        self.start = Scene(c5, c) if extra else _block(c, c5, 3)
        self.finer = nn.ModuleList(Finer(source, c) for source in (c4, c3, c2))
        after: dict[str, Any] = {"norm": c.norm, "norm_groups": c.norm_groups, "relu": True}
        self.last = _block(c, c.channels, 3) if extra else ConvNorm(c.channels, c.channels, **after)
        self.classifier = Classifier(c.channels, c.num_classes, dropout=0.0)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        for name, weight in self.finer.named_parameters():
            if c.embed_std is not None and ".embed." in name:
                nn.init.normal_(weight, std=c.embed_std)

    def forward(self, features: list[Tensor]) -> Tensor:
        c2, c3, c4, c5 = features
        x = self.start(c5)
        for finer, fine in zip(self.finer, (c4, c3, c2)):
            x = finer(x, fine)
        return self.classifier(self.last(x))
