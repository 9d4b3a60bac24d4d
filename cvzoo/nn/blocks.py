"""The blocks that a body is made of, and training them with less memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def blocks_of(body: nn.Module) -> list[nn.Module]:
    """The modules of several layers that stand in the lists of a body, in its order: residual blocks, of a ResNet.

    Lists in lists are opened; what lies in a block is part of it.
    """
    found: list[nn.Module] = []
    for child in body.children():
        listed = isinstance(body, nn.Sequential | nn.ModuleList)
        is_list = isinstance(child, nn.Sequential | nn.ModuleList)
        is_block = listed and not is_list and any(True for _ in child.children())
        found += [child] if is_block else blocks_of(child)
    return found


def depths_of(body: nn.Module) -> tuple[dict[int, int], int]:
    """How deep each parameter of a body lies, by its id, and how many blocks there are.

    The stem, all before the first block, is at 0, the first block at 1. What lies between two blocks is of the next
    one, what comes after the last one of that.
    """
    blocks = blocks_of(body)
    of_block = {id(p): number for number, block in enumerate(blocks, start=1) for p in block.parameters()}
    depths, depth, before = {}, 0, True
    for parameter in reversed(list(body.parameters())):
        depth = of_block.get(id(parameter), depth or len(blocks))
        depths[id(parameter)] = depth
    for parameter in body.parameters():
        before = before and id(parameter) not in of_block
        depths[id(parameter)] = 0 if before else depths[id(parameter)]
    return depths, len(blocks)


def save_memory(body: nn.Module) -> int:
    """Have the blocks of a body compute their activations again in the backward pass instead of keeping them.

    Gradients and statistics are the same, bit for bit. Returns: how many blocks there are.
    """
    blocks = blocks_of(body)
    for block in blocks:
        block.forward = partial(_again_in_backward, block)
    return len(blocks)


def _again_in_backward(block: nn.Module, *inputs: Any) -> Any:
    forward = partial(type(block).forward, block)
    if not (block.training and torch.is_grad_enabled()):
        return forward(*inputs)
    return checkpoint(forward, *inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), _counted(block)))


@contextmanager
def _counted(block: nn.Module) -> Iterator[None]:
    """The batch norms of a block have taken the statistics of this batch in already."""
    norms = [module for module in block.modules() if isinstance(module, nn.BatchNorm2d) and module.training]
    before = [(norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]  # pyright: ignore[reportOptionalMemberAccess]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before):
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(count)  # pyright: ignore[reportOptionalMemberAccess]
