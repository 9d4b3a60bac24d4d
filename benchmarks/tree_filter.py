"""The learnable tree filter: its cost, and what twice the pixels cost (forward and backward, tree included).

    OMP_NUM_THREADS=1 python benchmarks/tree_filter.py [--groups 16] [--batch 4] [--height 128 --width 256] [--rounds 9]
        [--device cuda]

Guidance, feature and embedding are smooth random maps with noise, as a network's are. The cost is to be linear in the
pixels: on a CPU a ratio of at most 2.3. One JSON line.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
import tyro
from common import alternate, built, report
from torch import Tensor

from cvzoo.structures import Size
from cvzoo.zoo.treefilter.tree import minimum_spanning_tree, tree_filter


def smooth(batch: int, channels: int, size: Size, seed: int) -> Tensor:
    """(batch, channels, *size): blobs about 16 pixels large, and noise."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(batch, channels, size[0] // 16 + 2, size[1] // 16 + 2, generator=generator)
    return F.interpolate(coarse, size, mode="bilinear") + 0.1 * torch.randn(batch, channels, *size, generator=generator)


def filtering(
    batch: int, channels: int, size: Size, groups: int, device: torch.device
) -> dict[str, Callable[[], object]]:
    """The tree alone, and tree, filter and gradients, on maps of `size`."""
    guidance, feature, embedding, grad = (smooth(batch, channels, size, seed).to(device) for seed in range(4))
    inputs = feature.requires_grad_(), embedding.requires_grad_()

    def everything() -> None:
        out = tree_filter(*inputs, minimum_spanning_tree(guidance), groups)
        torch.autograd.grad(out, inputs, grad)

    return {"tree": lambda: minimum_spanning_tree(guidance), "all": everything}


def main(
    groups: int = 16,
    batch: int = 4,
    channels: int = 64,
    height: int = 128,
    width: int = 256,
    rounds: int = 9,
    device: Literal["cpu", "cuda"] = "cpu",
) -> None:
    on = torch.device(device)
    sides = {
        f"{name}_{pixels}": side
        for pixels, size in (("once", (height, width)), ("twice", (2 * height, width)))
        for name, side in filtering(batch, channels, size, groups, on).items()
    }
    _, memory = built({name: partial(sides.__getitem__, name) for name in ("all_twice", "all_once")}, on)
    times = alternate(sides, rounds, warmup=2, device=on)
    report(
        "tree_filter",
        on,
        **{f"{name}_{clock}_s": taken for name, of_side in times.items() for clock, taken in of_side.items()},
        ratio_cpu=times["all_twice"]["cpu"] / times["all_once"]["cpu"],
        ratio_wall=times["all_twice"]["wall"] / times["all_once"]["wall"],
        **memory,
        size=[batch, channels, height, width],
        groups=groups,
    )


if __name__ == "__main__":
    tyro.cli(main)
