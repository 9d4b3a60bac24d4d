"""Processes: started by torchrun or SLURM, or just one. Every function also works in a single process."""

from __future__ import annotations

import os
import subprocess
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from cvzoo.recipes import Run


def start(run: Run) -> torch.device:
    """Join the other processes, if there are any, and return this one's device.

    Reads torchrun's variables (RANK, WORLD_SIZE, LOCAL_RANK ...) or those of an `srun` step. ValueError where the
    recipe asks for CUDA and there is none.
    """
    if "RANK" not in os.environ and int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
        os.environ.update(_torchrun_variables(os.environ))
    device = device_of(run)
    if "RANK" in os.environ and not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return device


def device_of(run: Run) -> torch.device:
    """This process's device. ValueError where the recipe asks for CUDA and there is none."""
    if run.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("run.device is cuda, but torch finds no CUDA device here; use --run.device cpu or auto")
    if run.device == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    # with one GPU visible to each process (srun --gpus-per-task=1), all are number 0
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())
    torch.cuda.set_device(device)
    return device


def _torchrun_variables(slurm: os._Environ[str]) -> dict[str, str]:
    """Translate the variables of an `srun` step; the first node of the step is the meeting point."""
    nodes = subprocess.run(
        ["scontrol", "show", "hostnames", slurm["SLURM_STEP_NODELIST"]], capture_output=True, text=True, check=True
    )
    return {
        "RANK": slurm["SLURM_PROCID"],
        "WORLD_SIZE": slurm["SLURM_STEP_NUM_TASKS"],
        "LOCAL_RANK": slurm["SLURM_LOCALID"],
        "MASTER_ADDR": slurm.get("MASTER_ADDR", nodes.stdout.split()[0]),
        "MASTER_PORT": slurm.get("MASTER_PORT", str(20_000 + int(slurm["SLURM_JOB_ID"]) % 20_000)),
    }


def stop() -> None:
    """Leave the process group."""
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    return rank() == 0


def barrier() -> None:
    """Wait until every process is here."""
    if dist.is_initialized():
        dist.barrier()


def gather(value: Any) -> list[Any]:
    """The picklable `value` of every process, in order of rank, on every process."""
    if not dist.is_initialized():
        return [value]
    values: list[Any] = [None] * world()
    dist.all_gather_object(values, value)
    return values


def mean(values: Tensor) -> Tensor:
    """Mean of `values` over the processes, in place."""
    if dist.is_initialized():
        dist.all_reduce(values)
        values /= world()
    return values


def same_buffers(model: nn.Module) -> None:
    """Give every process the buffers (batch-norm statistics) of the first; DDP does so before a forward pass only."""
    if dist.is_initialized():
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)
