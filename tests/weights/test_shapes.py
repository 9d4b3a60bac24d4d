"""What the keys and shapes of a state tell of its network."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cvzoo.nn.fpn import FPNConfig
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.nn.timm_backbone import TimmConfig
from cvzoo.weights.shapes import body_in, heads_in
from cvzoo.zoo import ROWS

BODIES: list[dict[str, Any]] = [
    {"depth": 18},
    {"depth": 34, "width": 32, "norm": "group"},
    {"depth": 50, "width": 8},
    {"depth": 101, "deep_stem": True, "stem_channels": 128},
    {"depth": 101, "groups": 32, "width": 256, "stem_channels": 64, "out_channels": 256},
    {"depth": 152, "groups": 4, "width": 16, "stem_channels": 64, "deform": "v1", "norm": "group", "norm_groups": 8},
    {"depth": 50, "width": 16, "deform": "v1", "deform_groups": 4},
    {"depth": 50, "width": 16, "deform": "v2", "deform_groups": 4},
    {"depth": 50, "width": 16, "deform": "v2", "deform_groups": 2},
    {"depth": 50, "context_ratio": 1 / 16},
]


def state_of(network: nn.Module) -> dict[str, Tensor]:
    return {f"backbone.{key}": tensor for key, tensor in network.state_dict().items()}


@pytest.mark.parametrize("changed", BODIES)
def test_a_body_is_as_large_as_its_state(changed: dict[str, Any]) -> None:
    config = ResNetConfig(**changed)
    with torch.device("meta"):
        state = state_of(config.build())
    row = ResNetConfig(depth=50, width=64, deform="v2", norm_groups=config.norm_groups)
    assert body_in(state, row) == config


def test_what_no_shape_tells_stays_as_it_is() -> None:
    with torch.device("meta"):
        state = state_of(ResNetConfig(depth=101).build())
    row = ResNetConfig(depth=50, stride_in_1x1=True, output_stride=8, norm="affine", norm_eps=0.0, frozen_stages=1)
    assert body_in(state, row) == replace(row, depth=101)
    lite0 = TimmConfig(name="tf_efficientnet_lite0")
    assert body_in(state, lite0) == lite0
    assert body_in({}, row) == row


@pytest.mark.parametrize("norm", [None, "frozen", "batch", "group"])
@pytest.mark.parametrize(("convs", "fcs"), [(0, 2), (4, 1)])
@pytest.mark.parametrize("agnostic", [False, True])
def test_heads_are_as_their_state(norm: Any, convs: int, fcs: int, agnostic: bool) -> None:
    own: Any = ROWS["mask_rcnn_r50_fpn_1x"].recipe().model
    small = replace(own, num_classes=3, backbone=ResNetConfig(depth=50, width=8))
    config = replace(
        small,
        fpn=replace(own.fpn, channels=32, norm=norm),
        rpn=replace(own.rpn, convs=2),
        box_head=replace(
            own.box_head,
            convs=convs,
            conv_norm=norm if convs else None,
            fcs=fcs,
            class_agnostic=agnostic,
            fc_channels=16,
        ),
        mask_head=replace(own.mask_head, convs=3, conv_norm=norm, channels=32, class_agnostic=agnostic),
    )
    with torch.device("meta"):
        state = config.build().state_dict()
    found = heads_in(state, replace(small, fpn=FPNConfig(first_level=2, extra="pool", norm=norm)))
    if norm == "frozen":  # their tensors are those of every batch norm
        config, found = (replace(c, box_head=own.box_head, mask_head=own.mask_head) for c in (config, found))
    assert found == config
