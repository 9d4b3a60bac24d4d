"""Batch norm over several processes is that of one process with all images."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from engine.processes import CONTEXT
from nn.batch_norm_work import WORLD, images, layer, step, work


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
