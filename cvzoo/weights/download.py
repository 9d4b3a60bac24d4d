"""Weights files from the net: verified, cached, whole or absent."""

from __future__ import annotations

import http.client
import os
import shutil
import sys
import urllib.request
from pathlib import Path
from urllib.parse import urlparse

import torch
from rich.progress import wrap_file

from cvzoo.files import file_digest, locked
from cvzoo.weights.errors import WeightsError
from cvzoo.weights.remote import Remote

TIMEOUT = 30
"""Seconds without an answer after which a server counts as out of reach."""


def cache_folder() -> Path:
    """Where downloads are kept: `$CVZOO_CACHE`, else torch hub's folder, which torchvision uses too."""
    return Path(os.environ.get("CVZOO_CACHE") or Path(torch.hub.get_dir()) / "checkpoints")


def download(file: Remote, flag: str = "--weights") -> Path:
    """The local copy of `file`, downloaded if there is no whole one yet.

    `$CVZOO_MIRROR` (http://, https:// or file://) takes the place of the host and is asked first. WeightsError tells
    why each place failed and what to do, naming the option `flag`; a file with a wrong checksum is deleted.
    """
    path = cache_folder() / file.name
    if _is_whole(path, file):  # also in a folder that cannot be written
        return path
    try:
        failures = _fetched(file, path)
    except OSError as error:
        failures = [f"{path.parent} cannot be written ({error}); $CVZOO_CACHE names another folder"]
    if failures:
        raise WeightsError(
            f"cannot download {file.name}: {'; '.join(failures)}. Download {file.url} by hand and pass its path:"
            f" {flag} PATH"
        )
    return path


def _fetched(file: Remote, path: Path) -> list[str]:
    """Why no place has it; nothing once it lies at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    with locked(path.with_name(f".{file.name}.lock")):  # the other processes of a run wait, and then find the file
        if _is_whole(path, file):  # another process was faster
            return []
        for url in _places(file.url):
            try:
                _fetch(url, file, path)
                return []
            except (OSError, http.client.HTTPException, ValueError) as error:
                failures.append(f"{url}: {error}")
    return failures


def _places(url: str) -> list[str]:
    mirror = os.environ.get("CVZOO_MIRROR")
    return [mirror.rstrip("/") + urlparse(url).path, url] if mirror else [url]


def _fetch(url: str, file: Remote, path: Path) -> None:
    """Download to a temporary file beside `path`, check it, move it there. ValueError on a short or altered file."""
    part = path.with_name(f".{path.name}.part")
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response, part.open("wb") as out:
            size = int(response.headers.get("Content-Length") or 0)
            with wrap_file(response, size, description=file.name, disable=not sys.stderr.isatty()) as watched:
                shutil.copyfileobj(watched, out)
        if size and part.stat().st_size != size:
            raise ValueError(f"the connection broke after {part.stat().st_size} of {size} bytes; try again")
        found = file_digest(part, file.algorithm)
        if not found.startswith(file.digest):
            raise ValueError(
                f"its {file.algorithm} is {found} where {file.digest}... is published, so it was deleted;"
                " try again, or look for a proxy that alters downloads"
            )
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _is_whole(path: Path, file: Remote) -> bool:
    return path.exists() and file_digest(path, file.algorithm).startswith(file.digest)
