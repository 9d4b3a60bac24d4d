"""Files in stores, from any byte on: folders, http(s), and what fsspec knows (s3, gs, az, memory ...). No torch."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlparse

TIMEOUT = 30
"""Seconds without an answer after which a server counts as out of reach."""
RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


class Opened(NamedTuple):
    """A file that is being read."""

    stream: Any
    """With `read(size)`."""
    start: int
    """The byte that comes first: the one asked for, or 0."""
    size: int
    """Bytes of the whole file; 0 where the store does not tell."""


@contextmanager
def opened(address: str, start: int) -> Iterator[Opened]:
    """Open the file at an address, from the byte `start` on where its store can do that, and the file is so long.

    A folder needs no scheme. Raises what the store does; ValueError for a kind of store that cannot be read here.
    """
    scheme = urlparse(address).scheme
    if scheme in ("http", "https"):
        with _answer(address, start) as response:
            yield _served(response, start)
        return
    files, path = _store(unquote(address) if scheme == "file" else address)
    size = int(files.size(path) or 0)
    with files.open(path, "rb") as stream:
        start = start if start < size else 0
        stream.seek(start)
        yield Opened(stream, start, size)


def _answer(address: str, start: int) -> Any:
    """Of a server; whole where it refuses a part."""
    if start:
        request = urllib.request.Request(address, headers={"Range": f"bytes={start}-"})
        try:
            return urllib.request.urlopen(request, timeout=TIMEOUT)
        except urllib.error.HTTPError as error:
            if error.code != 416:
                raise
    return urllib.request.urlopen(address, timeout=TIMEOUT)


def _served(response: Any, start: int) -> Opened:
    """Servers that know no ranges answer with the whole file. ValueError for another part than was asked for."""
    if response.status != 206:
        return Opened(response, 0, int(response.headers.get("Content-Length") or 0))
    stated = response.headers.get("Content-Range", "")
    found = RANGE.fullmatch(stated)
    if found is None or int(found[1]) != start:
        raise ValueError(f"asked for the bytes from {start} on, it sent {stated or 'some that it does not name'}")
    return Opened(response, start, int(found[2]))


def _store(address: str) -> tuple[Any, str]:
    import fsspec

    try:
        return fsspec.url_to_fs(address if "://" in address else str(Path(address).expanduser().absolute()))
    except ImportError as error:
        scheme = urlparse(address).scheme
        raise ValueError(f"{scheme}:// needs a package that is not installed ({error}); pip install it") from error
