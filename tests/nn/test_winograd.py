"""Winograd's convolution is a convolution."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from cvzoo.nn import winograd
from cvzoo.nn.winograd import Winograd, WinogradConv


@pytest.mark.parametrize("size", [(8, 8), (14, 14), (5, 7), (1, 3)])
def test_values_and_gradients_are_those_of_a_convolution(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(winograd, "AT_ONCE", 8)  # several rounds
    x = torch.randn(3, 5, *size, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 5, 3, 3, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(3, 4, *size, dtype=torch.float64)
    found, expected = Winograd.apply(x, weight), F.conv2d(x, weight, padding=1)
    torch.testing.assert_close(found, expected)
    grads = (torch.autograd.grad(y, (x, weight), upstream) for y in (found, expected))
    for mine, theirs in zip(*grads):
        torch.testing.assert_close(mine, theirs)


def test_single_precision_is_good_for_a_deep_head() -> None:
    """Without ReLUs, one of which near 0 would change a gradient by more."""
    fast = torch.nn.Sequential(*(WinogradConv(256, 256) for _ in range(8)))
    plain = torch.nn.Sequential(*(conv.conv for conv in fast))
    x = torch.randn(16, 256, 14, 14, requires_grad=True)
    assert all(winograd._pays(x, conv) for conv in plain)  # type: ignore[arg-type]
    found, expected = fast(x), plain(x)
    assert (found - expected).abs().max() < 2e-5 * expected.abs().max()
    one, other = (torch.autograd.grad(y.square().sum(), x)[0] for y in (found, expected))
    assert (one - other).abs().max() < 2e-5 * other.abs().max()


def test_its_flops_are_a_convolutions() -> None:
    fast, x = WinogradConv(256, 256), torch.randn(16, 256, 14, 14)
    counts = []
    for conv in (fast, fast.conv):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            conv(x)
        counts.append(counter.get_total_flops())
    assert counts == [2 * 9 * 256 * 256 * 16 * 14 * 14] * 2


def test_where_it_would_not_pay_it_is_the_usual_convolution() -> None:
    conv = WinogradConv(256, 256)
    few, other = torch.randn(1, 256, 14, 14), torch.randn(16, 256, 14, 14)
    assert not winograd._pays(few, conv.conv)
    assert not winograd._pays(other.bfloat16(), conv.conv)
    assert not winograd._pays(other, WinogradConv(256, 256, stride=2).conv)
    torch.testing.assert_close(conv(few), conv.conv(few))
    with torch.autocast("cpu", torch.bfloat16):
        assert conv(other).dtype is torch.bfloat16
