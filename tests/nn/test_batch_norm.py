"""Batch norm over several processes is that of one process with all images."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from engine.processes import CONTEXT

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


def test_two_processes_are_one(tmp_path: Path) -> None:
    started = [CONTEXT.Process(target=work, args=(rank, tmp_path)) for rank in range(WORLD)]
    for process in started:
        process.start()
    for process in started:
        process.join()
        assert process.exitcode == 0
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in range(WORLD)]
    whole = step(layer(), images())
    for name in ("y", "x"):
        torch.testing.assert_close(torch.cat([part[name] for part in parts]), whole[name])
    for name in ("weight", "bias"):  # DDP averages what is summed here
        torch.testing.assert_close(sum(part[name] for part in parts), whole[name])
    for part in parts:
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            torch.testing.assert_close(part[name], whole[name])


def test_one_value_has_no_statistics() -> None:
    with pytest.raises(ValueError, match=r"needs two images at a time; raise --schedule\.batch"):
        layer()(torch.zeros(1, 5, 1, 1, dtype=torch.float64))


def test_one_process_is_torchs() -> None:
    ours, theirs = layer(), torch.nn.BatchNorm2d(5).double()
    theirs.load_state_dict(ours.state_dict())
    assert torch.equal(ours(images()), theirs(images()))
    assert all(torch.equal(a, b) for a, b in zip(ours.buffers(), theirs.buffers()))
