"""What stands behind each address."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp

from cvzoo.serve.errors import Refused
from cvzoo.serve.gate import Gate
from cvzoo.serve.models import Served
from cvzoo.serve.predicting import Predicting
from cvzoo.serve.settings import Settings
from cvzoo.serve.wire import MIN_SCORE, Answer, AskedInJson, Form, Models, Problem

PAGE = {"/": "page.html", "/page.js": "page.js", "/page.css": "page.css"}
"""The web page: fixed files of this package."""
SAFE = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}
"""The page asks this server alone, and no other site can put it into a frame of its own."""
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": description}
    for status, description in {
        401: "the token is missing or wrong",
        404: "no such model",
        408: "the upload took too long",
        413: "too many bytes or pixels",
        415: "neither a form nor JSON",
        422: "no image, or nothing that can be asked",
        503: "too much to do: try again after Retry-After seconds",
    }.items()
}


def create_app(models: Sequence[Served], settings: Settings, token: str | None = None) -> ASGIApp:
    """The server's application; its threads run while it does.

    Args:
        token: what clients must send as a bearer token, if any.
    """
    predicting = Predicting(models, settings)

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        predicting.batcher.start()
        yield
        await run_in_threadpool(predicting.batcher.close)

    app = FastAPI(title="cvzoo", version=metadata.version("cvzoo"), lifespan=running, redoc_url=None)
    app.add_exception_handler(Refused, _refusal)
    body = {"multipart/form-data": Form, "application/json": AskedInJson}
    app.add_api_route(
        "/predict",
        predicting.predict,
        methods=["POST"],
        summary="Look at an image",
        response_class=Response,
        responses={200: {"model": Answer, "content": {"image/png": {}}}, **REFUSALS},
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {kind: {"schema": model.model_json_schema()} for kind, model in body.items()},
            }
        },
    )
    _add_state(app, predicting, settings)
    _add_page(app)
    return Gate(app, settings, predicting.metrics, token)


def _add_state(app: FastAPI, predicting: Predicting, settings: Settings) -> None:
    """What is to be known of the server."""
    known = Models(
        models=[model.about(settings.max_pixels) for model in predicting.models],
        max_bytes=settings.max_bytes,
        min_score=MIN_SCORE,
    )

    @app.get("/models", summary="The models and their classes")
    async def models() -> Models:
        return known

    @app.get("/healthz", summary="Whether the process runs", response_class=Response)
    async def healthz() -> Response:
        return JSONResponse({"status": "ok"})

    @app.get("/readyz", summary="Whether images are looked at", response_class=Response)
    async def readyz() -> Response:
        alive = predicting.batcher.alive
        return JSONResponse({"status": "ok" if alive else "stopping"}, 200 if alive else 503)

    @app.get("/metrics", summary="For Prometheus", response_class=Response)
    async def metrics() -> Response:
        return Response(generate_latest(predicting.metrics.registry), media_type=CONTENT_TYPE_LATEST)


def _add_page(app: FastAPI) -> None:
    for path, name in PAGE.items():
        file = Path(__file__).with_name(name)
        if file.exists():
            app.add_api_route(path, _sends(file), include_in_schema=False, response_class=Response)


def _sends(file: Path) -> Any:
    async def send() -> Response:
        return FileResponse(file, headers=SAFE)

    return send


async def _refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if error.status == 408:
        headers["Connection"] = "close"  # the rest of the upload is not waited for
    return JSONResponse({"detail": error.detail}, error.status, headers)
