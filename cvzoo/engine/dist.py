"""Processes: started by torchrun or SLURM, or just one. Every function also works in a single process."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import Store, _get_default_store
from torch.distributed.elastic.multiprocessing.errors import get_error_handler

from cvzoo.engine.stop import ElsewhereError
from cvzoo.recipes import Run

Found = TypeVar("Found")
LOST = (
    "another process has ended: it says why, or it was killed, perhaps for want of memory, or its machine is out of"
    " reach. Repeat the command; a training continues from its last checkpoint"
)
FIRST_ERROR, HEARD = "cvzoo/first_error", "cvzoo/heard"
"""Keys of the processes' store: the first error, with the number of its process, and how many know of one."""
PATIENCE = 3
"""Seconds that a process which has failed keeps the store for the others. Those that notice later cannot know why."""


@contextmanager
def joined(run: Run) -> Iterator[torch.device]:
    """Join the other processes, if there are any, until the block ends; yields this process's device.

    Reads torchrun's variables (RANK, WORLD_SIZE, LOCAL_RANK ...) or those of an `srun` step. An error in one process
    ends them all: it is raised there, with a note that names the process, and ElsewhereError in the others.

    Raises: ValueError where the recipe asks for CUDA and there is none.
    """
    if "RANK" not in os.environ and int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
        os.environ.update(_torchrun_variables(os.environ))
    device = device_of(run)
    if "RANK" in os.environ:
        # what is pickled goes through the CPUs, whose connections tell at once that a process has ended
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
    except Exception as error:
        ended = error if world() == 1 else _ended_by(error)
        if ended is not error:
            raise ended from error
        raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _ended_by(error: Exception) -> Exception:
    """What to raise for what ends one process of several: ElsewhereError where another has said the same or caused it.

    Else this process tells the user, which a note on the error says.
    """
    here, count, store = rank(), world(), _get_default_store()
    lost = isinstance(error, RuntimeError) and ("gloo" in str(error) or isinstance(error, dist.DistError))
    error = ValueError(LOST) if lost else error
    with suppress(RuntimeError):  # of a store that has gone with the process that kept it
        if not isinstance(error, ElsewhereError):
            first = store.compare_set(FIRST_ERROR, "", f"{here} {error}").decode()
            number, _, said = first.partition(" ")
            if int(number) != here and (lost or said == str(error)):
                error = ElsewhereError(said)
        store.add(HEARD, 1)
    if isinstance(error, ElsewhereError):
        return error
    dist.destroy_process_group()  # by which the others notice
    _wait_until_heard(store, count)
    error.add_note(f"process {here} of {count}")
    get_error_handler().record_exception(error)  # for torchrun's own report
    return error


def _wait_until_heard(store: Store, count: int) -> None:
    """Keep the store, which may be this process's, until all know how they have ended; those that hang never will."""
    deadline = time.monotonic() + PATIENCE
    with suppress(RuntimeError):
        while store.add(HEARD, 0) < count and time.monotonic() < deadline:
            time.sleep(0.02)


def device_of(run: Run) -> torch.device:
    """This process's device. ValueError where the recipe asks for CUDA, or what needs it, and there is none."""
    if run.cuda_graphs and (run.device == "cpu" or not torch.cuda.is_available()):
        raise ValueError("run.cuda-graphs needs a CUDA device, and this is to run on the CPU: --run.no-cuda-graphs")
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


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    return rank() == 0


def in_main(work: Callable[[], Found]) -> Found | None:
    """What `work` gives in the main process, which does it while the others wait; they get None.

    Raises: what `work` raises; in the others ElsewhereError.
    """
    if not dist.is_initialized():
        return work()
    found, failure = None, None
    if is_main():
        try:
            found = work()
        except Exception as error:
            failure = error
    told = [None if failure is None else str(failure)]
    dist.broadcast_object_list(told)
    if failure is not None:
        raise failure
    if told[0] is not None:
        raise ElsewhereError(told[0])
    return found


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
