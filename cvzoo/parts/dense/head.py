"""The head of one-stage detectors (1708.02002 and its successors): two small towers shared by the levels of a pyramid.

Shape suffixes: N images, L levels, A candidates per cell, K classes, H W cells.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from cvzoo.nn.layers import Norm
from cvzoo.nn.towers import init_normal, logit, tower


class DenseOutput(NamedTuple):
    """Raw outputs, level by level."""

    logits: list[Tensor]
    """L of (N, A * K, H, W), the class running fastest."""
    deltas: list[Tensor]
    """L of (N, A * 4, H, W): the box code."""
    centreness: list[Tensor]
    """L of (N, A, H, W): logits of how central a candidate lies in its object; empty from a head without."""


class DenseHead(nn.Module):
    """The towers and their last convolutions."""

    CLASSES_FASTEST = ("cls_out",)
    """Layers whose outputs are anchors x classes; see weights/class_count.py."""

    def __init__(
        self,
        channels: int,
        classes: int,
        *,
        anchors: int = 1,
        convs: int = 4,
        norm: Norm | None = None,
        norm_groups: int = 32,
        bias: bool | None = None,
        deform_last: bool = False,
        prior: float = 0.01,
        centreness: Literal["cls", "box"] | None = None,
        scaled_levels: int = 0,
    ) -> None:
        """`centreness` is read off that tower; `scaled_levels` levels multiply their box code by a number they learn.

        `bias`, `norm` and `norm_groups` (of a group norm) are those of the towers' convolutions, of which the last one
        may be deformable; `prior` is the score every class starts from.
        """
        super().__init__()
        self.cls_tower = tower(channels, convs, norm, bias, deform_last, norm_groups=norm_groups)
        self.box_tower = tower(channels, convs, norm, bias, deform_last, norm_groups=norm_groups)
        self.cls_out = nn.Conv2d(channels, anchors * classes, 3, padding=1)
        self.box_out = nn.Conv2d(channels, anchors * 4, 3, padding=1)
        self.centreness_out = nn.Conv2d(channels, anchors, 3, padding=1) if centreness else None
        self.centreness_on = centreness
        self.scales = nn.ParameterList(nn.Parameter(torch.tensor(1.0)) for _ in range(scaled_levels))
        init_normal(self)
        nn.init.constant_(self.cls_out.get_parameter("bias"), logit(prior))

    def forward(self, features: list[Tensor]) -> DenseOutput:
        logits, deltas, centreness = [], [], []
        for level, x in enumerate(features):
            cls, box = self.cls_tower(x), self.box_tower(x)
            logits.append(self.cls_out(cls))
            deltas.append(self.box_out(box) * self.scales[level] if len(self.scales) else self.box_out(box))
            if self.centreness_out is not None:
                centreness.append(self.centreness_out(cls if self.centreness_on == "cls" else box))
        return DenseOutput(logits, deltas, centreness)
