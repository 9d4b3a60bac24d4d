"""Convolutions at a few cells, or in a few tiles, against the same convolutions everywhere."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cvzoo.nn.towers import tower
from cvzoo.nn.windows import tower_at, tower_in_tiles


def results(module: nn.Module, x: Tensor, upstream: Tensor, run: Callable[[Tensor], Tensor]) -> list[Tensor]:
    """What comes out, and the gradients of input and parameters."""
    module.zero_grad()
    leaf = x.clone().requires_grad_()
    out = run(leaf)
    (out * upstream).sum().backward()
    return [out.detach(), leaf.grad, *(p.grad.clone() for p in module.parameters())]  # type: ignore[union-attr,list-item]


@pytest.mark.parametrize("convs", [1, 2, 3])
@pytest.mark.parametrize("last", [(1, 4), (5, 2)])
def test_values_and_gradients_equal_the_dense_tower(convs: int, last: tuple[int, int]) -> None:
    """Of three maps; of one of them no cell is asked for."""
    module, sizes = tower(6, convs, norm=None), [(5, 7), (2, 2), last]
    cells = [height * width for height, width in sizes]
    x = torch.randn(2, 6, sum(cells))
    wanted = torch.tensor([*range(cells[0]), *range(sum(cells[:2]), sum(cells))])
    image, chosen = torch.randint(2, (20,)).repeat(2), wanted[torch.randint(len(wanted), (20,))].repeat(2)  # some twice
    upstream = torch.randn(len(chosen), 6)

    def maps(leaf: Tensor) -> list[Tensor]:
        return [part.unflatten(2, size) for part, size in zip(leaf.split(cells, dim=2), sizes)]

    def everywhere(leaf: Tensor) -> Tensor:
        return torch.cat([module(x).flatten(2) for x in maps(leaf)], dim=2)[image, :, chosen]

    dense = results(module, x, upstream, everywhere)
    sparse = results(module, x, upstream, lambda leaf: tower_at(module, maps(leaf), image, chosen))
    for ours, theirs in zip(sparse, dense):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("wanted", [1, 3, 1000])
@pytest.mark.parametrize("size", [(41, 37), (33, 64)])
def test_tiles_equal_the_dense_layers_where_they_are_wanted(size: tuple[int, int], wanted: int) -> None:
    """At borders and beside them, too; if most is wanted, all is computed."""
    layers = [*tower(4, 2, norm=None), nn.Conv2d(4, 3, 3, padding=1), nn.Conv2d(3, 5, 1)]
    module = nn.Sequential(*layers)
    held = np.zeros((2, *size), bool)
    held.reshape(-1)[np.random.default_rng(0).permutation(held.size)[:wanted]] = True
    held[:, [0, -1], [0, -1]] |= wanted > 1
    x = torch.randn(2, 4, *size)
    upstream = torch.randn(2, 5, *size) * torch.from_numpy(held).unsqueeze(1)
    dense = results(module, x, upstream, module)
    sparse = results(module, x, upstream, lambda leaf: tower_in_tiles(layers, leaf, held, 8))
    dense[0], sparse[0] = dense[0] * (upstream != 0), sparse[0] * (upstream != 0)
    for ours, theirs in zip(sparse, dense):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
    computed = (tower_in_tiles(layers, x, held, 8) != 0).any(dim=1)
    assert computed.all() == (wanted == 1000)


def test_nothing_is_computed_where_nothing_is_wanted() -> None:
    layers = [*tower(4, 2, norm=None), nn.Conv2d(4, 3, 1)]
    out = tower_in_tiles(layers, torch.randn(2, 4, 9, 7), np.zeros((2, 9, 7), bool), 8)
    assert out.shape == (2, 3, 9, 7)
    assert not out.any()


def test_layers_that_look_further_than_they_say_are_refused() -> None:
    held = np.zeros((1, 32, 32), bool)
    held[0, 3, 3] = True
    for layer in (nn.Conv2d(1, 1, 3, stride=2, padding=1), nn.Conv2d(1, 1, 3, dilation=2, padding=2)):
        with pytest.raises(AssertionError):
            tower_in_tiles([layer], torch.zeros(1, 1, 32, 32), held, 4)
