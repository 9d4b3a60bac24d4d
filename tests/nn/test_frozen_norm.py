"""Batch norm that does not move, in full and in half precision."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from cvzoo.nn.layers import FixedBatchNorm2d
from cvzoo.nn.resnet import ResNetConfig


class Maps(TorchDispatchMode):
    """Collects the element-wise operations on maps, in which float32 takes part."""

    def __init__(self) -> None:
        super().__init__()
        self.wide: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out, name = func(*args, **(kwargs or {})), func.overloadpacket.__name__
        tensors = [x for x in (*args, out) if isinstance(x, Tensor)]
        on_maps = name in ("mul", "mul_", "add", "add_") and any(x.dim() == 4 for x in tensors)
        if on_maps and any(x.dtype is torch.float32 for x in tensors):
            self.wide.append(name)
        return out


@pytest.mark.parametrize("norm", ["frozen", "affine"])
@pytest.mark.parametrize("depth", [18, 50])
def test_under_autocast_maps_and_their_gradients_stay_half(norm: Any, depth: Any) -> None:
    body = ResNetConfig(depth=depth, width=4, norm=norm).build().train()
    with Maps() as maps:
        with torch.autocast("cpu", torch.bfloat16):
            levels = body(torch.rand(1, 3, 32, 32))
        torch.stack([level.float().sum() for level in levels]).sum().backward()
    assert {level.dtype for level in levels} == {torch.bfloat16}
    assert not maps.wide


def test_in_full_precision_it_is_a_scale_and_a_shift() -> None:
    torch.manual_seed(0)
    norm = FixedBatchNorm2d(3)
    for buffer in norm.buffers():
        buffer.uniform_(0.5, 2)
    x = torch.randn(2, 3, 4, 4, requires_grad=True)
    scale = norm.weight * (norm.running_var + 1e-5).rsqrt()
    shift = norm.bias - norm.running_mean * scale
    assert torch.equal(norm(x.clone()), x * scale[:, None, None] + shift[:, None, None])
    expected = torch.nn.functional.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)
    torch.testing.assert_close(norm(x.clone()), expected)
