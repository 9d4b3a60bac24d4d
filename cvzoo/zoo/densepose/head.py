"""The dense pose branch (1802.00434, section 3.2): of every cell of a box its coarse part, its part, and U and V there.

Shape suffixes: R regions, C channels, S cells per side of a region's features, Z = 4 S of its maps, K parts and none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cvzoo.fields import Count, Natural, NotNegative, Share
from cvzoo.nn.context import ASPP, NonLocal
from cvzoo.nn.layers import Norm
from cvzoo.nn.roi_pool import RoIPoolConfig
from cvzoo.nn.winograd import WinogradConv
from cvzoo.ops.resize import resize

UVConfidence = Literal["isotropic", "anisotropic"]
"""How U and V are said to be in error; see `loss.uncertain_loss`."""


@dataclass(frozen=True, kw_only=True)
class SurfaceHeadConfig:
    """Hyper-parameters of the dense pose branch; the defaults are detectron2's of 2019 (its `_legacy` files)."""

    pool: RoIPoolConfig = field(default_factory=lambda: RoIPoolConfig(size=14, sampling=2, aligned=False))
    """How the features of a box are sampled for the dense pose branch, whose maps are four times as fine."""
    decoder_channels: Count | None = None
    """Pool regions from one map, to which convolutions of so many channels bring all levels of the pyramid; None pools
    them from the level that fits their size."""
    decoder_norm: Norm | None = None
    """Norm of the convolutions that merge the pyramid's levels for the dense pose branch."""
    dilations: tuple[Count, ...] = ()
    """Let a region's cells first look around by parallel convolutions of these dilations and a mean (DeepLab's ASPP;
    detectron2: 6 12 56)."""
    non_local: bool = False
    """Let a region's cells then look at all others (1711.07971)."""
    convs: Natural = 8
    """3x3 convolutions of the dense pose branch."""
    channels: Count = 512
    """Channels of the dense pose branch's convolutions."""
    conv_norm: Norm | None = None
    """Norm of the dense pose branch's 3x3 convolutions (detectron2's DeepLab heads: group)."""
    norm_groups: Count = 32
    """Groups of all group norms in the dense pose branch; must divide its channels and the pyramid's."""
    parts: Count = 24
    """Parts of the body, each with coordinates U and V of its own."""
    coarse_parts: Count = 15
    """Outputs of the coarse segmentation: background and 14 parts, or 2 for background and person."""
    uv_confidence: UVConfidence | None = None
    """Predict how far off U and V are: equally in all directions, or more in one of them (detectron2's WC1, WC2)."""
    uv_confidence_floor: NotNegative = 0.01
    """The least variance that is predicted of U and V."""
    part_confidence: bool = False
    """Predict how sure both segmentations are, and multiply their scores with it (detectron2's WC1M, WC2M)."""
    part_confidence_floor: NotNegative = 0.01
    """The least confidence that is predicted of a segmentation."""
    positive_above: Share = 0.7
    """Foreground proposals that overlap their person by more than this IoU learn the surface."""
    half_cells: bool = False
    """Learn a surface at the centres of the maps' cells, where inference takes it to be; detectron2 learns it half a
    cell off, which matters to small people."""
    coarse_loss_weight: NotNegative = 2.0
    """Weight of the loss of the coarse segmentation."""
    part_loss_weight: NotNegative = 0.3
    """Weight of the loss of the parts."""
    uv_loss_weight: NotNegative = 0.1
    """Weight of the losses of U and V."""
    uv_images: Count = 2
    """The losses of U and V are sums over the points of so many images (detectron2: those of one process), as the mean
    over all images of the batch makes them."""

    def __post_init__(self) -> None:
        if self.decoder_channels is not None and len(self.pool.strides) != 1:
            strides = self.pool.strides
            raise ValueError(f"model.surface-head.pool.strides {strides}: the decoder has one map; give its stride, 4")
        if self.coarse_parts < 2:
            raise ValueError(f"model.surface-head.coarse-parts must be 2 or more, not {self.coarse_parts}")


class SurfaceOutput(NamedTuple):
    """What the head says of the cells of each region."""

    coarse: Tensor
    """(R, coarse parts, Z, Z) logits, the background's first."""
    parts: Tensor
    """(R, K, Z, Z) logits, that of no part first."""
    u: Tensor
    """(R, K, Z, Z): U, were the cell of that part."""
    v: Tensor
    """(R, K, Z, Z)."""
    spread: Tensor | None = None
    """(R, K, Z, Z): how far off U and V are, before the softplus that makes it a variance."""
    skew_u: Tensor | None = None
    """(R, K, Z, Z): in which direction they are further off, times how much."""
    skew_v: Tensor | None = None
    """(R, K, Z, Z)."""

    @staticmethod
    def mean(raws: list[SurfaceOutput]) -> SurfaceOutput:
        """Of several looks at the same regions."""
        looks = zip(*raws)
        return SurfaceOutput._make(None if maps[0] is None else torch.stack(maps).mean(dim=0) for maps in looks)


class SurfaceHead(nn.Module):
    """Region features to maps of the surface."""

    def __init__(self, config: SurfaceHeadConfig, channels: int) -> None:
        super().__init__()
        self.config = config
        groups = config.norm_groups
        around: list[nn.Module] = []
        if config.dilations:
            norms: dict[str, Any] = {"norm": "group", "norm_groups": groups, "fuse_norm": False}
            around.append(ASPP(channels, channels, config.dilations, **norms))
        if config.non_local:
            around.append(NonLocal(channels, norm_groups=groups))
        self.around = nn.Sequential(*around)
        layers: dict[str, Any] = {"norm": config.conv_norm, "norm_groups": groups, "relu": True}
        inputs = [channels] + [config.channels] * (config.convs - 1)
        self.convs = nn.Sequential(*(WinogradConv(c, config.channels, **layers) for c in inputs[: config.convs]))
        hidden = config.channels if config.convs else channels
        self.out = nn.ModuleDict({name: _doubling(hidden, count) for name, count in outputs_of(config).items()})
        for layer in (*self.convs.modules(), *self.out.modules()):
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def hidden(self, regions_RCSS: Tensor) -> Tensor:
        """(R, C, S, S): what all maps are made of."""
        return self.convs(self.around(regions_RCSS))

    def forward(self, regions_RCSS: Tensor) -> SurfaceOutput:
        return self.maps(self.hidden(regions_RCSS))

    def maps(self, hidden_RCSS: Tensor) -> SurfaceOutput:
        """All maps by one deconvolution, doubled once more."""
        layers = list(self.out.values())
        weight = torch.cat([layer.get_parameter("weight") for layer in layers], dim=1)
        bias = torch.cat([layer.get_parameter("bias") for layer in layers])
        small = F.conv_transpose2d(hidden_RCSS, weight, bias, stride=2, padding=1).float()
        large = resize(small, (2 * small.shape[2], 2 * small.shape[3]))
        counts = outputs_of(self.config)
        named = dict(zip(counts, large.split(list(counts.values()), dim=1)))
        for kind in ("coarse", "parts"):
            if (sure := named.pop(f"{kind}_confidence", None)) is not None:
                named[kind] = named[kind] * (F.softplus(sure) + self.config.part_confidence_floor)
        return SurfaceOutput(**named)


def outputs_of(config: SurfaceHeadConfig) -> dict[str, int]:
    """The maps by name, and how many channels each has."""
    counts = {"coarse": config.coarse_parts} | dict.fromkeys(("parts", "u", "v"), config.parts + 1)
    if config.uv_confidence is not None:
        counts["spread"] = config.parts + 1
    if config.uv_confidence == "anisotropic":
        counts |= dict.fromkeys(("skew_u", "skew_v"), config.parts + 1)
    if config.part_confidence:
        counts |= {"parts_confidence": 1, "coarse_confidence": 1}
    return counts


def _doubling(in_channels: int, out_channels: int) -> nn.ConvTranspose2d:
    """A deconvolution that doubles a map."""
    return nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1)
