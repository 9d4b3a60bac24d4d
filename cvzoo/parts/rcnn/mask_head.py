"""The mask branch of a two-stage detector (1703.06870): which pixels of a box belong to its object.

Shape suffixes: F foreground regions, D detections, K classes, C channels, S side of a mask in its box.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cvzoo.fields import Count, Natural, Needs, NotNegative
from cvzoo.nn.layers import Norm
from cvzoo.nn.roi_pool import RoIPoolConfig
from cvzoo.nn.towers import tower
from cvzoo.ops.distributed import mean_over_processes
from cvzoo.ops.masks import MaskTarget, mask_targets
from cvzoo.parts.rcnn.box_head import Sampled
from cvzoo.structures import Batch, Size


@dataclass(frozen=True, kw_only=True)
class MaskHeadConfig:
    """Hyper-parameters of the mask branch; the defaults are detectron2's."""

    pool: RoIPoolConfig = field(default_factory=lambda: RoIPoolConfig(size=14))
    """How the features of a box are sampled for the mask head, whose masks are twice as fine."""
    convs: Natural = 4
    """3x3 convolutions on the pooled features of the mask head."""
    conv_norm: Norm | None = None
    """Norm of the mask head's convolutions (torchvision's v2: batch)."""
    conv_norm_groups: Annotated[Count, Needs("conv_norm=group")] = 32
    """Groups of the group norms of the mask head's convolutions; must divide their channels."""
    channels: Count = 256
    """Channels of the mask head's convolutions, and of its upsampled features."""
    class_agnostic: bool = False
    """One mask per detection instead of one per class."""
    target: MaskTarget = "binary"
    """How true masks are resampled under a box: as in detectron2 (binary), mmdetection (bitmap), torchvision (soft)."""
    loss_weight: NotNegative = 1.0
    """Weight of the mask loss."""


class MaskHead(nn.Module):
    """Region features to one mask per class."""

    def __init__(self, config: MaskHeadConfig, channels: int, num_classes: int) -> None:
        super().__init__()
        self.config = config
        norm: dict[str, Any] = {"norm": config.conv_norm, "norm_groups": config.conv_norm_groups}
        self.convs = tower(channels, config.convs, out_channels=config.channels, **norm)
        self.upsample = nn.ConvTranspose2d(config.channels if config.convs else channels, config.channels, 2, stride=2)
        self.out = nn.Conv2d(config.channels, 1 if config.class_agnostic else num_classes, 1)
        for layer in self.modules():
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        nn.init.normal_(self.out.weight, std=0.001)

    def hidden(self, regions_FCSS: Tensor) -> Tensor:
        """(F, C, S, S): what the masks of all classes, `out(hidden)`, are made of."""
        return F.relu(self.upsample(self.convs(regions_FCSS)), inplace=True)

    def forward(self, regions_FCSS: Tensor, labels_F: Tensor) -> Tensor:
        """(F, S, S) logits: of each region the mask of its label only."""
        if self.config.class_agnostic:
            labels_F = torch.zeros_like(labels_F)
        hidden_FCSS = self.hidden(regions_FCSS)
        weight_F1C = self.out.weight.flatten(1).index_select(0, labels_F).unsqueeze(1)
        logits_F1P = torch.bmm(weight_F1C, hidden_FCSS.flatten(2))
        assert self.out.bias is not None
        bias_F11 = self.out.bias.index_select(0, labels_F)[:, None, None]
        return (logits_F1P + bias_F11).view(-1, *hidden_FCSS.shape[2:])

    def losses(self, regions_FCSS: Tensor, sampled: list[Sampled], batch: Batch, canvas: Size) -> dict[str, Tensor]:
        """`loss_mask`: cross-entropy of the pixels of the foreground, of the mask of its class only.

        ValueError when the targets have no masks.
        """
        targets = self._targets(sampled, batch, canvas, side=2 * regions_FCSS.shape[-1])
        logits_FSS = self(regions_FCSS, torch.cat([s.labels_R[s.foreground_F] for s in sampled])).float()
        pixels = max(logits_FSS.numel(), logits_FSS.shape[-1] ** 2)
        normaliser = mean_over_processes(logits_FSS.new_full((), pixels))
        loss = F.binary_cross_entropy_with_logits(logits_FSS, targets(), reduction="sum")
        return {"loss_mask": self.config.loss_weight * loss / normaliser}

    def _targets(self, sampled: list[Sampled], batch: Batch, canvas: Size, side: int) -> Callable[[], Tensor]:
        """See `mask_targets`. The program waits for where the regions are."""
        masks, sizes, places = [], [], []
        for s, target, size in zip(sampled, batch.targets, batch.sizes):
            if target.masks is None:
                raise ValueError("the objects have no masks, which a mask head learns from; set --data.masks")
            boxes_F4, index_F1 = s.boxes_R4[s.foreground_F], (len(masks) + s.index_F).unsqueeze(1)
            places.append(torch.cat([boxes_F4, index_F1], dim=1))
            masks += target.masks
            sizes += [size] * len(target.masks)
        device = places[0].device
        boxes_F4, index_F1 = np.split(torch.cat(places).cpu().numpy(), [4], axis=1)
        where = index_F1[:, 0].astype(np.int64), boxes_F4
        return mask_targets(masks, sizes, *where, side, device, self.config.target, canvas)

    @torch.no_grad()
    def probabilities(self, regions_DCSS: Tensor, labels_D: Tensor) -> Tensor:
        """(D, S, S): of each detection the mask of its class."""
        return self(regions_DCSS, labels_D).float().sigmoid()
