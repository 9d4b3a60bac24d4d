"""What every request passes on its way in and out: its number, the token, the log, the counts."""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import time
import uuid
from collections.abc import Iterator

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cvzoo.serve.metrics import Metrics
from cvzoo.serve.settings import Settings

log = logging.getLogger("cvzoo.serve")
OPEN = {"/", "/page.js", "/page.css", "/healthz", "/readyz", "/docs", "/openapi.json"}
"""What is answered without a token: nothing of it tells of models or images."""
PATHS = OPEN | {"/predict", "/models", "/metrics"}
"""What is counted under its own name."""
CLIENT_GONE = 499
"""What the log says where a client has left, as nginx does."""
PIECE = 1 << 18
"""Bytes of an answer that are handed over at a time."""
REQUEST_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)


class Gate:
    """An ASGI application around another one."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics, token: str | None) -> None:
        self._app = app
        self._seconds = settings.upload_seconds
        self._metrics = metrics
        self._expected = None if token is None else f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        number = headers.get("x-request-id", "")
        number = number if REQUEST_ID.fullmatch(number) else uuid.uuid4().hex
        status, start = CLIENT_GONE, time.perf_counter()

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = number
            for piece in _pieces(message):
                try:
                    async with asyncio.timeout(self._seconds):
                        await send(piece)
                except TimeoutError:
                    raise ClientDisconnect from None  # it does not read on

        app = self._app if self._admits(scope["path"], headers) else _unauthorised()
        try:
            await app(scope, receive, sending)
        except ClientDisconnect:
            status = CLIENT_GONE
        finally:
            self._note(scope, number, status, time.perf_counter() - start)

    def _admits(self, path: str, headers: Headers) -> bool:
        given = headers.get("authorization", "").encode()
        return self._expected is None or path in OPEN or hmac.compare_digest(given, self._expected)

    def _note(self, scope: Scope, number: str, status: int, seconds: float) -> None:
        path = scope["path"] if scope["path"] in PATHS else "other"
        self._metrics.requests.labels(path, status).inc()
        self._metrics.request_seconds.labels(path).observe(seconds)
        host = (scope.get("client") or ("-",))[0]
        log.info("%s %s %s %s %.3f s %s", number, host, scope["method"], path, seconds, status)


def _pieces(message: Message) -> Iterator[Message]:
    """A message as several, whose bodies a client has to take one after the other."""
    body = message.get("body", b"")
    if len(body) <= PIECE:
        yield message
        return
    for start in range(0, len(body), PIECE):
        more = message.get("more_body", False) or start + PIECE < len(body)
        yield {**message, "body": body[start : start + PIECE], "more_body": more}


def _unauthorised() -> ASGIApp:
    detail = "this server asks for a token: send the header Authorization: Bearer TOKEN"
    return JSONResponse({"detail": detail}, 401, {"WWW-Authenticate": "Bearer"})
