"""Residual bodies with deformable, grouped and dilated convolutions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cvzoo.nn.deform import DeformConv
from cvzoo.nn.layers import separable
from cvzoo.nn.resnet import Bottleneck, ResNet, ResNetConfig

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "grouped": {"groups": 4},
    "deform groups": {"deform_groups": 4},
    "dilated": {"output_stride": 8},
    "multi grid": {"output_stride": 16, "multi_grid": (1, 2, 4)},
    "all": {"groups": 8, "deform_groups": 2, "output_stride": 8, "stride_in_1x1": True},
}


def twins(options: dict[str, Any], kind: str) -> tuple[ResNet, ResNet]:
    """The body with deformable convolutions that do not deform anything yet, and the one without, of equal weights."""
    config: dict[str, Any] = {"width": 16, "frozen_stages": 0, **options}
    deformed = ResNet(ResNetConfig(**config, deform=kind)).eval()
    config.pop("deform_groups", None)
    plain = ResNet(ResNetConfig(**config)).eval()
    state = {key: value for key, value in deformed.state_dict().items() if ".offset." not in key}
    plain.load_state_dict(state)
    return deformed, plain


def deformable(body: ResNet) -> list[DeformConv]:
    return [module for module in body.modules() if isinstance(module, DeformConv)]


@pytest.mark.parametrize("kind", ["v1", "v2"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_without_offsets_a_deformable_body_is_the_plain_one(options: dict[str, Any], kind: str) -> None:
    """Strides, dilations and groups are honoured, wherever convolutions deform."""
    deformed, plain = twins(options, kind)
    with torch.no_grad():
        for conv in deformable(deformed):
            shares = conv.offset.bias[conv.moves :]  # type: ignore[index]
            shares.fill_(20.0)  # whose sigmoid is 1
    images = torch.randn(1, 3, 64, 96)
    for found, expected in zip(deformed(images), plain(images), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_every_deformable_weight_trains(options: dict[str, Any]) -> None:
    body, _ = twins(options, "v2")
    with torch.no_grad():
        for conv in deformable(body):
            conv.offset.weight.normal_(std=0.05)
    sum(x.square().mean() for x in body(torch.randn(1, 3, 64, 64))).backward()  # type: ignore[union-attr]
    assert len(deformable(body)) == 4 + 6 + 3
    for conv in deformable(body):
        for parameter in conv.parameters():
            assert parameter.grad is not None
            assert parameter.grad.abs().sum() > 0


def test_a_deformable_body_has_one_field_of_offsets_per_deformable_group() -> None:
    body, _ = twins({"groups": 4, "deform_groups": 2}, "v2")
    for conv in deformable(body):
        assert (conv.groups, conv.offset.groups, conv.offset.out_channels) == (4, 1, 2 * 27)


def block(deform: str | None, dilation: int) -> Bottleneck:
    config = ResNetConfig(width=16, groups=4, deform=deform, deform_groups=2)  # type: ignore[arg-type]
    return Bottleneck(config, 128, 32, 128, 1, dilation).eval()


def with_dilation(made: Bottleneck, dilation: int) -> Tensor:
    """What a block made with that dilation gives with the same weights."""
    other = block("v2" if isinstance(made.conv2, DeformConv) else None, dilation)
    other.load_state_dict(made.state_dict())
    return other(image())


def image() -> Tensor:
    return torch.randn(1, 128, 9, 7, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("deform", [None, "v2"])
@pytest.mark.parametrize("own", [1, 2])
def test_a_dilation_overrides_the_blocks_own(deform: str | None, own: int) -> None:
    made = block(deform, own)
    if isinstance(made.conv2, DeformConv):
        nn.init.normal_(made.conv2.offset.weight, std=0.1)
    assert torch.equal(made(image()), with_dilation(made, own))
    for dilation in (1, 2, 3):
        assert torch.equal(made(image(), dilation), with_dilation(made, dilation))


def test_a_separable_convolution_of_any_kernel() -> None:
    depthwise, point = separable(6, 4, 5, dilation=2, norm="batch").eval()
    x = torch.randn(1, 6, 8, 9)
    assert depthwise.conv.weight.shape == (6, 1, 5, 5)
    expected = F.conv2d(x, depthwise.conv.weight, padding=4, dilation=2, groups=6)
    torch.testing.assert_close(depthwise.conv(x), expected)
    assert point(depthwise(x)).shape == (1, 4, 8, 9)
