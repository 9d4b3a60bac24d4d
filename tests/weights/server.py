"""A server of one file, which behaves as servers and connections do."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CONTENT = bytes(range(256)) * 1000


@dataclass
class Server:
    """A running server. The first folder of an address says how it behaves."""

    url: str = ""
    asked: list[str] = field(default_factory=list)
    """Paths, with the first byte where one is asked for: `/store/w.pth@1000`."""
    cuts: int = 10**9
    """So many answers of `/cut` break off after CUT bytes; `/store` is always whole."""


CUT = 100_000


@contextmanager
def serving() -> Iterator[Server]:
    """Serve CONTENT at /store/..., /cut/... (breaks off), /short/... (the same, knows no ranges), /altered/...
    and /wrong/... (another range than was asked for)."""
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            stated = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            start = int(stated[1]) if stated else 0
            server.asked.append(f"{self.path}@{start}" if start else self.path)
            folder = self.path.split("/")[1]
            if folder not in ("store", "cut", "short", "altered", "wrong"):
                self.send_error(404)
            elif start >= len(CONTENT):
                self.send_error(416)
            else:
                self.answer(folder, start if folder != "short" else 0)

        def answer(self, folder: str, start: int) -> None:
            self.send_response(206 if start else 200)
            if start:
                first = start + (folder == "wrong")
                self.send_header("Content-Range", f"bytes {first}-{len(CONTENT) - 1}/{len(CONTENT)}")
            self.send_header("Content-Length", str(len(CONTENT) - start))
            self.end_headers()
            body = (CONTENT[::-1] if folder == "altered" else CONTENT)[start:]
            broken = folder == "short" or (folder == "cut" and server.cuts > 0)
            server.cuts -= folder == "cut"
            self.wfile.write(body[:CUT] if broken else body)

        def log_message(self, format: str, *args: Any) -> None:
            """Be quiet."""

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{running.server_port}"
    try:
        yield server
    finally:
        running.shutdown()
        running.server_close()
