"""The command that serves models."""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import tyro

from cvzoo.recipes.recipe import Device, Precision
from cvzoo.serve.settings import Settings

USAGE = "cvzoo serve ROW [--weights W ...] [ROW [--weights W ...] ...]"
TOKEN = "CVZOO_TOKEN"
STOPPING = 30
"""Seconds, beside those that images may wait and answers take, after which a stop does without the last ones."""


class Named(NamedTuple):
    """A row or run folder, and the weights that stand behind it."""

    row: str
    weights: list[str]


@dataclass(frozen=True, kw_only=True)
class Options(Settings):
    """Rows, or run folders, come first, each followed by its weights; each of several --weights is a model of its own.
    A run folder brings its weights along. Where the environment variable CVZOO_TOKEN is set clients must send its value
    as a bearer token."""

    host: str = "127.0.0.1"
    """The address to listen at; 0.0.0.0 is the whole network."""
    port: int = 8000
    """The port to listen at; 0 takes a free one."""
    device: Device = "auto"
    """Where the models run; `auto` takes a GPU if there is one."""
    precision: Precision = "fp32"
    """The numbers that the models compute with."""


def serve(arguments: list[str]) -> int:
    """Serve models over HTTP, with a web page; --help shows the options."""
    named, rest = _split(arguments)
    options = tyro.cli(Options, args=rest, prog=USAGE)
    if not named:
        raise ValueError(f"which row? usage: {USAGE}; `cvzoo list` shows the rows")
    try:
        import uvicorn

        from cvzoo.serve.app import create_app
        from cvzoo.serve.models import Chosen, load
    except ModuleNotFoundError as error:
        raise ValueError(f"serving needs a package ({error}): pip install 'cvzoo[serve]'") from error
    import torch

    from cvzoo.engine.stop import StopSignal

    token = os.environ.get(TOKEN) or None
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it tells of every damaged form
    with _bound(options.host, options.port) as listener:
        torch.set_num_threads(max(1, torch.get_num_threads() // options.workers))
        chosen = [Chosen(one.row, weights) for one in named for weights in one.weights or [None]]
        models = load(chosen, options.device, options.precision)
        app = create_app(models, options, token)
        patience = options.queue_seconds + options.upload_seconds + STOPPING
        config = uvicorn.Config(
            app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=int(patience)
        )
        listener.listen(config.backlog)
        _announce(listener, [model.name for model in models], token)
        with StopSignal():  # uvicorn stops at a signal by itself, and sends it once more when it has
            uvicorn.Server(config).run([listener])
    return 0


def _split(arguments: Sequence[str]) -> tuple[list[Named], list[str]]:
    """The models that are named, and the options behind them. ValueError for weights without a row."""
    named: list[Named] = []
    words = deque(arguments)
    while words and (not words[0].startswith("-") or words[0].partition("=")[0] == "--weights"):
        option, equals, weights = words.popleft().partition("=")
        if option != "--weights":
            named.append(Named(option + equals + weights, []))
        elif named and (equals or words):
            named[-1].weights.append(weights if equals else words.popleft())
        else:
            raise ValueError(f"--weights stands behind a row and before a name or file; usage: {USAGE}")
    return named, list(words)


def _bound(host: str, port: int) -> socket.socket:
    """A socket at the address, which does not listen yet: models are loaded first."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ValueError(f"cannot listen at {host} port {port} ({error.strerror}); choose another --port") from None
    return listener


def _announce(listener: socket.socket, names: Sequence[str], token: str | None) -> None:
    host, port = listener.getsockname()[:2]
    print(f"http://{f'[{host}]' if ':' in host else host}:{port} serves {', '.join(names)}", flush=True)
    if token is None and not ipaddress.ip_address(host).is_loopback:
        print(f"everybody in the network may use it; set {TOKEN} to ask for a token", file=sys.stderr)
