"""Convolutions at a few cells against the same convolutions everywhere."""

from __future__ import annotations

import pytest
import torch

from cvzoo.nn.towers import tower
from cvzoo.nn.windows import tower_at


@pytest.mark.parametrize("convs", [1, 2, 3])
@pytest.mark.parametrize("size", [(5, 7), (1, 4)])
def test_values_and_gradients_equal_the_dense_tower(convs: int, size: tuple[int, int]) -> None:
    module = tower(6, convs, norm=None)
    x = torch.randn(2, 6, *size)
    image, row, column = torch.meshgrid(torch.arange(2), torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    chosen = torch.randperm(image.numel())[:6].repeat(2)  # cells may come twice
    cells = [index.flatten()[chosen] for index in (image, row, column)]
    upstream = torch.randn(len(chosen), 6)
    gradients = []
    for dense in (True, False):
        module.zero_grad()
        leaf = x.clone().requires_grad_()
        out = module(leaf)[cells[0], :, cells[1], cells[2]] if dense else tower_at(module, leaf, *cells)
        (out * upstream).sum().backward()
        gradients.append([out.detach(), leaf.grad, *(p.grad.clone() for p in module.parameters())])  # type: ignore[union-attr]
    for ours, theirs in zip(gradients[1], gradients[0]):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
