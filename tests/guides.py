"""The blocks of the README and of the guides that a test executes, as they stand there.

`cvzoo` in them is the real command, in a process of its own, but one forked from a process that has imported everything
already (engine/processes.py): most of a short command's time would go into imports.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from multiprocessing.reduction import DupFd
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

from engine.processes import CONTEXT, be_command

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"<!-- tested(?:: ([\w ]+))? -->\n```(bash|python)\n(.*?)```", re.DOTALL)
LONGEST = 1 << 20
"""Bytes of a command with its environment."""
SHIM = """#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as asked:
    asked.connect("{socket}")
    words = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(asked, [words], [0, 1, 2])
    sys.exit(int(asked.recv(8) or b"1"))
"""
"""Hands a command with its streams to `_serve` and waits for its status."""


def execute(language: str, text: str, folder: Path, fresh: bool = False) -> str:
    """What a block prints when it runs in `folder`; `fresh` starts each `cvzoo` as a user's shell does."""
    with TemporaryDirectory() as commands:
        found = [str(Path(sys.executable).parent), os.environ["PATH"]]
        with forked(Path(commands)):
            path = os.pathsep.join(found if fresh else [commands, *found])
            environment = os.environ | {"PATH": path, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
            command = ["bash", "-euo", "pipefail", "-c", text] if language == "bash" else [sys.executable, "-c", text]
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@contextmanager
def forked(folder: Path) -> Iterator[None]:
    """Puts a `cvzoo` into `folder` that is answered as long as this lasts."""
    with socket.create_server(str(folder / "socket"), family=socket.AF_UNIX) as server:
        shim = folder / "cvzoo"
        shim.write_text(SHIM.format(python=sys.executable, socket=folder / "socket"))
        shim.chmod(0o755)
        thread = Thread(target=_serve, args=(server,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(server: socket.socket) -> None:
    """Answers until the socket is shut down; commands of a pipe wait for each other's output, so none waits here."""
    while True:
        try:
            asked, _ = server.accept()
        except OSError:
            return
        words, descriptors, _, _ = socket.recv_fds(asked, LONGEST, 3)
        process = CONTEXT.Process(target=_run, args=(*json.loads(words), Streams(descriptors)))
        process.start()
        for descriptor in descriptors:
            os.close(descriptor)
        Thread(target=_tell, args=(process, asked), daemon=True).start()


class Streams:
    """stdin, stdout and stderr, as they travel to another process."""

    def __init__(self, descriptors: list[int]) -> None:
        self.descriptors = descriptors

    def __reduce__(self) -> tuple[Any, ...]:
        return _detached, tuple(DupFd(descriptor) for descriptor in self.descriptors)


def _detached(*descriptors: Any) -> list[int]:
    return [descriptor.detach() for descriptor in descriptors]


def _tell(process: ForkServerProcess, asked: socket.socket) -> None:
    process.join()
    with asked:
        asked.sendall(str(process.exitcode).encode())


def _run(arguments: list[str], folder: str, environment: dict[str, str], descriptors: list[int]) -> None:
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = os.fdopen(0)  # multiprocessing has put another one there
    os.environ.clear()
    be_command(arguments, folder, environment)
