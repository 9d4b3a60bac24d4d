"""`cvzoo` in processes of their own, forked from one that has imported everything: a start takes no seconds."""

from __future__ import annotations

import json
import os
import socket
import sys
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, NamedTuple

import torch

from cvzoo.cli import main
from cvzoo.recipes import Recipe
from cvzoo.recipes.codec import to_json

IMPORTED = ("cvzoo.cli", "cvzoo.engine.train", "cvzoo.report.run_report", "torch.utils.tensorboard", "hotcoco")
CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(list(IMPORTED))


class Started(NamedTuple):
    """Processes of one command, in a process group of their own, which the first one leads."""

    processes: list[ForkServerProcess]
    output: list[Path]
    """What each writes to stdout and stderr."""

    @property
    def group(self) -> int:
        assert self.processes[0].pid
        return self.processes[0].pid

    def wait(self, timeout: float = 120) -> list[int | None]:
        """Their exit statuses, None for one that has not ended in time; minus the signal's number for a killed one."""
        for process in self.processes:
            process.join(timeout)
        return [process.exitcode for process in self.processes]

    def said(self) -> list[str]:
        """What each has written so far."""
        return [file.read_text() if file.exists() else "" for file in self.output]


def start(arguments: list[str], folder: Path, world: int = 1) -> Started:
    """Start a command with its arguments in `folder`, as one process or as several that work together on gloo."""
    shared = {"CUDA_VISIBLE_DEVICES": "", "CVZOO_CACHE": str(folder / "cache")}
    started = Started([], [])
    if world > 1:
        shared |= {"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    for rank in range(world):
        own = {"RANK": str(rank), "LOCAL_RANK": str(rank)} if world > 1 else {}
        output = folder / f"said-{rank}.txt"
        output.write_text("")
        group = started.group if rank else 0
        process = CONTEXT.Process(target=_run, args=(arguments, folder, shared | own, group, output))
        process.start()
        started.processes.append(process)
        started.output.append(output)
    return started


def train(recipe: Recipe[Any], folder: Path, world: int = 1) -> Started:
    """Start `cvzoo train` on the recipe."""
    file = folder / "wanted.json"
    file.write_text(json.dumps(to_json(recipe)))
    return start(["train", str(file)], folder, world)


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def _run(arguments: list[str], folder: Path, environment: dict[str, str], group: int, output: Path) -> None:
    with suppress(PermissionError):  # the first one has ended already, and its group with it
        os.setpgid(0, group)
    sys.stdout = sys.stderr = output.open("a", buffering=1)
    for descriptor in (1, 2):
        os.dup2(sys.stdout.fileno(), descriptor)
    be_command(arguments, folder, environment)


def be_command(arguments: list[str], folder: Path | str, environment: dict[str, str]) -> None:
    """Let this process be `cvzoo` with these arguments in `folder`, with these variables added, to its end."""
    os.chdir(folder)
    os.environ.update(environment)
    torch.set_num_threads(1)
    sys.exit(main(arguments))
