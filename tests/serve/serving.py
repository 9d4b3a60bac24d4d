"""A real server at a loopback port, in a thread, and clients of the standard library."""

from __future__ import annotations

import http.client
import io
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from engine.tiny import ROOT, tiny
from PIL import Image

import cvzoo
from cvzoo.engine.train import train
from cvzoo.serve.app import create_app
from cvzoo.serve.models import Served
from cvzoo.serve.settings import Settings

PATIENCE = 60
BOUNDARY = "a-boundary"
DEFAULTS = Settings()


@dataclass
class Reply:
    """What a server has answered."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def image(self) -> Image.Image:
        return Image.open(io.BytesIO(self.content))


def a_run(folder: Path, row: str = "retinanet_r18_fpn_shapes", **changed: Any) -> Path:
    """The folder of a barely trained run, which finds something in everything."""
    if "retinanet" in row:
        changed["model__detect__score_threshold"] = 0.001
    return train(tiny(folder / "runs", row, schedule__iterations=1, **changed)).folder


def pixels(seed: int, height: int = 60, width: int = 80) -> np.ndarray:
    """(H, W, 3) uint8 of noise."""
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)


def encoded(image: np.ndarray, kind: str = "PNG") -> bytes:
    data = io.BytesIO()
    Image.fromarray(image).save(data, kind)
    return data.getvalue()


def form(image: bytes | None, **fields: object) -> tuple[bytes, dict[str, str]]:
    """The body of a form and its headers."""
    parts = [f'Content-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode() for k, v in fields.items()]
    if image is not None:
        head = b'Content-Disposition: form-data; name="image"; filename="../../a.png"\r\n\r\n'
        parts.append(head + image + b"\r\n")
    separator = f"--{BOUNDARY}\r\n".encode()
    body = b"".join(separator + part for part in parts) + f"--{BOUNDARY}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


class Client:
    """Asks a server at a port of this machine; each request has a connection of its own."""

    def __init__(self, port: int, **headers: str) -> None:
        self.port = port
        self.headers = headers
        self.stop: Callable[[], None]
        """Do to the server what SIGTERM does."""

    def get(self, path: str, **headers: str) -> Reply:
        return self.ask("GET", path, b"", headers)

    def predict(self, image: bytes | None, **fields: object) -> Reply:
        body, headers = form(image, **fields)
        return self.ask("POST", "/predict", body, headers)

    def ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, self.headers | headers)
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, names, response.read())
        finally:
            connection.close()

    def metric(self, name: str, **labels: str) -> float:
        """The value of a metric; 0 before there is one."""
        wanted = name + ("{" + ",".join(f'{k}="{v}"' for k, v in labels.items()) + "}" if labels else "")
        for line in self.get("/metrics").content.decode().splitlines():
            found, _, value = line.rpartition(" ")
            if found == wanted:
                return float(value)
        return 0.0

    def until(self, name: str, value: float) -> None:
        """Wait until a metric has this value."""
        end = time.monotonic() + PATIENCE
        while (found := self.metric(name)) != value:
            assert time.monotonic() < end, f"{name} stays {found}"

    def opened(self, body: bytes, headers: dict[str, str]) -> socket.socket:
        """A connection on which the head of a request to /predict has been sent, and as much of its body."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        connection.sendall(f"POST /predict HTTP/1.1\r\nHost: here\r\n{lines}\r\n".encode() + body)
        return connection


class Hold:
    """While entered, a model looks at no image before `go` is set."""

    def __init__(self, model: Served) -> None:
        self.go = threading.Event()
        self.looks = 0
        """Times that it has been asked."""
        self._predictor = model.predictor

    def __enter__(self) -> Hold:
        self._predictor.answers = self._answers  # type: ignore[method-assign]
        return self

    def __exit__(self, *error: object) -> None:
        self.go.set()
        del self._predictor.answers

    def _answers(self, frames: Any, wanted: Any) -> Any:
        self.looks += 1
        assert self.go.wait(PATIENCE)
        return type(self._predictor).answers(self._predictor, frames, wanted)


@contextmanager
def running(models: Sequence[Served], settings: Settings = DEFAULTS, token: str | None = None) -> Iterator[Client]:
    """A server of these models, and a client of it."""
    app = create_app(models, settings, token)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            client = Client(listener.getsockname()[1])
            client.stop = lambda: setattr(server, "should_exit", True)
            yield client
        finally:
            server.should_exit = True
            thread.join(PATIENCE)
    assert not thread.is_alive()


@contextmanager
def command(words: Sequence[str], folder: Path, threads: int = 1) -> Iterator[tuple[subprocess.Popen[str], Client]]:
    """`cvzoo serve` in a process of its own, at a free port, once it serves."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    started = [sys.executable, "-m", "cvzoo", "serve", *words, "--port", "0"]
    with subprocess.Popen(started, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.match(r"http://127\.0\.0\.1:(\d+) serves ", process.stdout.readline())
            assert found is not None
            yield process, Client(int(found[1]))
        finally:
            process.kill()


def served(run: Path, name: str = "") -> Served:
    return Served(name or run.name, cvzoo.load(str(run), device="cpu"))
