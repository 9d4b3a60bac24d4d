"""Deconvolutions after a body."""

from __future__ import annotations

from typing import Literal

import pytest
import torch

from cvzoo.nn.deconv import DeconvConfig
from cvzoo.nn.inference import optimise_for_inference
from cvzoo.nn.layers import Norm


@pytest.mark.parametrize("conv", ["none", "plain", "deform"])
@pytest.mark.parametrize("kernels", [(4, 3), (2, 4)])
@pytest.mark.parametrize("norm", ["batch", "group"])
def test_each_doubles_the_map(conv: Literal["none", "plain", "deform"], kernels: tuple[int, int], norm: Norm) -> None:
    config = DeconvConfig(
        channels=(12, 8), kernels=kernels, conv=conv, conv_bias=True, deform_groups=2, norm=norm, norm_groups=4
    )
    neck = config.build((6,))
    features = [torch.zeros(0), torch.randn(2, 6, 5, 7)]
    assert neck(features).shape == (2, neck.channels, 20, 28)
    assert neck.channels == 8
    for module in neck.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
    fast = optimise_for_inference(neck.eval())
    torch.testing.assert_close(fast(features), neck(features), rtol=1e-4, atol=1e-5)


def test_the_first_channel_begins_as_a_bilinear_enlargement() -> None:
    """Inside the map it is that of torch, which knows the border."""
    up = DeconvConfig(channels=(4,), kernels=(4,), conv="none").build((1,)).ups[0]
    x = torch.rand(1, 1, 6, 6)
    expected = torch.nn.functional.interpolate(x, scale_factor=2, mode="bilinear")
    found = up.conv(x)[:, :1]  # pyright: ignore[reportCallIssue]
    torch.testing.assert_close(found[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1])


@pytest.mark.parametrize("options", [{"channels": (8, 8)}, {"kernels": (4, 4, 5)}])
def test_refused(options: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match=r"model\.neck\.kernels"):
        DeconvConfig(**options)  # pyright: ignore[reportArgumentType]
