"""Group norms have the groups that are asked for, wherever a module takes them; nothing is derived from a width."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from cvzoo.nn.context import ASPP, AtrousDepthwise, PyramidPooling
from cvzoo.nn.fpn import FPN, FPNConfig
from cvzoo.nn.layers import ConvNorm, make_norm, separable
from cvzoo.nn.resnet import ResNet, ResNetConfig
from cvzoo.nn.towers import tower
from cvzoo.parts.dense.head import DenseHead
from cvzoo.parts.rcnn.box_head import BoxHead, BoxHeadConfig
from cvzoo.parts.rcnn.mask_head import MaskHead, MaskHeadConfig
from cvzoo.parts.semantic.head import ConvHead


def pyramid(groups: int) -> FPN:
    return FPN(FPNConfig(channels=24, norm="group", extra_norm="group", norm_groups=groups), (8, 8, 8, 8))


def body(groups: int) -> ResNet:
    return ResNet(ResNetConfig(width=24, stem_channels=48, deep_stem=True, norm="group", norm_groups=groups))


BUILD: dict[str, Callable[[int], nn.Module]] = {
    "convolution": lambda groups: ConvNorm(24, 48, norm="group", norm_groups=groups),
    "deformable": lambda groups: ConvNorm(24, 48, norm="group", norm_groups=groups, deform=True),
    "separable": lambda groups: separable(24, 48, 5, norm="group", norm_groups=groups),
    "tower": lambda groups: tower(24, 2, "group", norm_groups=groups),
    "pyramid pooling": lambda groups: PyramidPooling(24, 48, (1, 2), norm="group", norm_groups=groups),
    "depthwise": lambda groups: AtrousDepthwise(24, 2, "group", norm_groups=groups),
    "aspp": lambda groups: ASPP(24, 48, (2, 4), norm="group", norm_groups=groups),
    "separable aspp": lambda groups: ASPP(24, 48, (2,), norm="group", norm_groups=groups, separable_convs=True),
    "pyramid": pyramid,
    "body": body,
    "dense head": lambda groups: DenseHead(24, 3, convs=1, norm="group", norm_groups=groups),
    "box head": lambda groups: BoxHead(BoxHeadConfig(convs=1, conv_norm="group", conv_norm_groups=groups), 24, 3),
    "mask head": lambda groups: MaskHead(
        MaskHeadConfig(convs=1, channels=24, conv_norm="group", conv_norm_groups=groups), 24, 3
    ),
    "semantic head": lambda groups: ConvHead(24, 24, 3, norm="group", norm_groups=groups, concat=True),
}


@pytest.mark.parametrize("groups", [1, 4, 24])
def test_values_are_those_of_so_many_groups(groups: int) -> None:
    norm, theirs = make_norm("group", 24, 1e-3, groups), nn.GroupNorm(groups, 24, eps=1e-3)
    assert norm is not None
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.uniform_(-1, 1)
    theirs.load_state_dict(norm.state_dict())
    x = torch.randn(2, 24, 5, 3) * torch.arange(1, 25).view(-1, 1, 1)
    torch.testing.assert_close(norm(x), theirs(x))


@pytest.mark.parametrize("name", BUILD)
@pytest.mark.parametrize("groups", [3, 12])
def test_every_module_hands_the_groups_on(name: str, groups: int) -> None:
    norms = [module for module in BUILD[name](groups).modules() if isinstance(module, nn.GroupNorm)]
    assert norms
    assert {norm.num_groups for norm in norms} == {groups}


@pytest.mark.parametrize("name", BUILD)
def test_every_module_has_32_groups_unless_told(name: str) -> None:
    with pytest.raises(ValueError, match=r"(24|48) channels cannot be divided into 32 groups"):
        BUILD[name](32)


def test_the_error_names_both_numbers_and_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"24 channels .* 32 groups; .*norm-groups.* to a divisor of 24"):
        make_norm("group", 24)
    with pytest.raises(ValueError, match=r"24 channels .* 0 groups"):
        make_norm("group", 24, groups=0)


def test_other_norms_have_no_groups() -> None:
    for kind in ("frozen", "affine", "batch"):
        assert make_norm(kind, 7) is not None
