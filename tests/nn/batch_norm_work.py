"""What processes that share a batch norm do, in a module that they can import."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.distributed as dist

from cvzoo.nn.layers import BatchNorm2d

WORLD = 2


def layer() -> BatchNorm2d:
    torch.manual_seed(0)
    norm = BatchNorm2d(5).double()
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.uniform_(-1, 1)
    return norm


def images() -> torch.Tensor:
    """Of very different statistics, far from zero."""
    torch.manual_seed(1)
    return torch.randn(4, 5, 3, 7, dtype=torch.float64) * torch.tensor([1, 2, 5, 0.1]).view(4, 1, 1, 1) + 30


def step(norm: BatchNorm2d, x: torch.Tensor) -> dict[str, torch.Tensor]:
    x = x.requires_grad_()
    y = norm(x)
    (y.square() * torch.arange(y[0].numel()).view(y.shape[1:])).sum().backward()
    assert x.grad is not None
    return {"y": y.detach(), "x": x.grad} | {n: p.grad for n, p in norm.named_parameters()} | dict(norm.named_buffers())


def work(rank: int, folder: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=WORLD)
    torch.set_num_threads(1)
    found = step(layer(), images()[rank * 3 : 3 + rank])  # three images here, one there
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()
