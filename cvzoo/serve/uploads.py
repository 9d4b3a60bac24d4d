"""An image and what is asked of it, out of the body of a request. It stays in memory: nothing is written to a disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import aclosing, asynccontextmanager
from typing import Any, NamedTuple

from fastapi import Request
from PIL import Image
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from cvzoo.data.images import decode_size
from cvzoo.serve.errors import Refused
from cvzoo.serve.models import FORMATS
from cvzoo.serve.settings import Settings
from cvzoo.serve.wire import Asked, AskedInJson

AROUND = 64 * 1024
"""Bytes of a body beside the image."""
LARGEST = 16
"""So many of the largest images may be in memory, on their way in or waiting."""
SOON = 1.0
"""Seconds after which it is worth to try again when memory is short."""


class Upload(NamedTuple):
    """An image and what is asked of it."""

    image: bytes
    asked: Asked


class Uploads:
    """Reads bodies within bounds: of each its bytes and seconds, and of all their bytes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.held = 0
        """Bytes in memory."""

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[Upload]:
        """What a request asks; while entered, its bytes count. Raises: Refused; ClientDisconnect."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in READERS:
            raise Refused(415, "send a form (multipart/form-data) with a file `image`, or JSON with it in base 64")
        read, swelling = READERS[kind]
        bound = int(self._settings.max_bytes * swelling) + AROUND
        if int(request.headers.get("content-length", "0")) > bound:
            raise self._too_large()
        held: list[int] = []
        try:
            async with aclosing(self._body(request, bound, held)) as body:
                yield await self._in_time(read(request, body))
        finally:
            self.held -= sum(held)

    async def _in_time(self, reading: Coroutine[Any, Any, Upload]) -> Upload:
        seconds = self._settings.upload_seconds
        try:
            upload = await asyncio.wait_for(reading, seconds)
        except TimeoutError:
            raise Refused(408, f"the upload took more than {seconds:g} seconds; send a smaller image") from None
        if len(upload.image) > self._settings.max_bytes:
            raise self._too_large()
        return upload

    async def _body(self, request: Request, bound: int, held: list[int]) -> AsyncGenerator[bytes]:
        """The body, piece by piece; the bytes of each are counted in `held`."""
        async for chunk in request.stream():
            held.append(len(chunk))
            self.held += len(chunk)
            if sum(held) > bound:
                raise self._too_large()
            if self.held > LARGEST * self._settings.max_bytes:
                raise Refused(503, "too many large images are on their way; try again soon", SOON)
            yield chunk

    def _too_large(self) -> Refused:
        return Refused(413, f"the image file has more than {self._settings.max_bytes:,} bytes; scale it down")


async def size_within(image: bytes, most: int) -> int:
    """The pixels of an image, from its header. Refused where that says none of an image, or of more than `most`."""
    try:
        height, width = await run_in_threadpool(decode_size, image, "the image", FORMATS)
    except ValueError as error:
        is_bomb = isinstance(error.__context__, Image.DecompressionBombError)
        raise Refused(413 if is_bomb else 422, str(error)) from None
    if height * width > most:
        raise Refused(413, f"the image has {height * width:,} pixels, more than {most:,}; scale it down")
    return height * width


async def _json(request: Request, body: AsyncGenerator[bytes]) -> Upload:
    data = b"".join([chunk async for chunk in body])
    try:
        asked = await run_in_threadpool(AskedInJson.model_validate_json, data)
    except ValidationError as error:
        raise _wrong(error) from None
    return Upload(asked.image, asked)


class _InMemory(MultiPartParser):
    spool_max_size = 0
    """No part is ever spooled to a file."""


async def _form(request: Request, body: AsyncGenerator[bytes]) -> Upload:
    fields = len(Asked.model_fields)
    try:
        form = await _InMemory(request.headers, body, max_files=1, max_fields=fields, max_part_size=AROUND).parse()
    except MultiPartException as error:
        raise Refused(422, f"the form cannot be read ({error.message})") from None
    image = form.get("image")
    if not isinstance(image, UploadFile):
        raise Refused(422, "the form has no file in a field `image`")
    texts = {name: value for name, value in form.items() if name != "image" and value != ""}
    try:
        return Upload(await image.read(), Asked.model_validate(texts))
    except ValidationError as error:
        raise _wrong(error) from None
    finally:
        await form.close()


READERS = {"multipart/form-data": (_form, 1), "application/json": (_json, 4 / 3)}
"""How a body of a kind is read, and how much longer than the image in it it is."""


def _wrong(error: ValidationError) -> Refused:
    """All that is wrong with what was asked, in a sentence for each."""
    problems = [f"{'.'.join(map(str, one['loc'])) or 'the JSON'}: {one['msg']}" for one in error.errors()]
    return Refused(422, "; ".join(problems))
