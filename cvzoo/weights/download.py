"""Weights files from the net: from the first place that has them, resumed, verified, cached, whole or absent."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlparse

import torch
from rich.progress import wrap_file

from cvzoo.files import file_digest, locked
from cvzoo.weights.errors import WeightsError
from cvzoo.weights.remote import Remote
from cvzoo.weights.stores import opened

CHUNK = 1 << 16
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""Errors of our own disk, whichever place a file comes from."""


def cache_folder() -> Path:
    """Where downloads are kept: `$CVZOO_CACHE`, else torch hub's folder, which torchvision uses too."""
    return Path(os.environ.get("CVZOO_CACHE") or Path(torch.hub.get_dir()) / "checkpoints")


def download(file: Remote, flag: str = "--weights") -> Path:
    """The local copy of `file`, downloaded if there is no whole one yet.

    The mirrors in `$CVZOO_MIRROR` are asked first, see `places_of`. WeightsError tells why each place failed and what
    to do, naming the option `flag`. A file with a wrong checksum is deleted.
    """
    path = cache_folder() / file.name
    if is_whole(path, file):  # also in a folder that cannot be written
        return path
    try:
        failures = fetch(file, path, places_of(file))
    except OSError as error:
        failures = [f"{path.parent} cannot be written ({error}); $CVZOO_CACHE names another folder"]
    if failures:
        reasons = "".join(f"\n  {failure}" for failure in failures)
        raise WeightsError(
            f"cannot download {file.name}:{reasons}\nDownload {file.url} by hand and put it into {path.parent}, or pass"
            f" its path: {flag} PATH. Folders and stores that have it can be named in CVZOO_MIRROR"
        )
    return path


def places_of(file: Remote) -> list[str]:
    """Where a file may lie: in each of the mirrors, in their order, then with its publisher.

    `$CVZOO_MIRROR` names the mirrors, separated by commas: folders, or addresses that begin with https://, s3:// or
    what else fsspec knows. In a mirror a file has the path that it has on its publisher's server.
    """
    mirrors = (mirror.strip() for mirror in os.environ.get("CVZOO_MIRROR", "").split(","))
    return [*(mirror.rstrip("/") + path_of(file) for mirror in mirrors if mirror), file.url]


def path_of(file: Remote) -> str:
    """That of a file on its publisher's server, from the slash on."""
    return urlparse(file.url).path


def is_whole(path: Path, file: Remote) -> bool:
    """Whether the file is there, with the checksum that its publisher states."""
    return path.exists() and file_digest(path, file.algorithm).startswith(file.digest)


def fetch(file: Remote, path: Path, places: Sequence[str]) -> list[str]:
    """Bring a file to `path` from the first place that has it: why each of them failed, or nothing once it is there.

    What came before a connection broke, or a process was killed, is kept beside `path`, and any place may go on from
    there. OSError where `path` cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part, failures = path.with_name(f".{path.name}.part"), []
    with locked(path.with_name(f".{path.name}.lock")):  # the other processes of a run wait, and then find the file
        if is_whole(path, file):  # another process was faster
            return []
        for place in places:
            try:
                _complete_and_verify(place, file, part)
                part.replace(path)
                return []
            except Exception as error:  # every store has errors of its own
                if isinstance(error, OSError) and error.errno in FULL:
                    raise
                failures.append(f"{place}: {_reason(error)}")
    return failures


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):  # of which some stores tell no more than the path
        return "there is no such file"
    return str(error) or type(error).__name__


def _complete_and_verify(place: str, file: Remote, part: Path) -> None:
    """ValueError when the whole file is not what its publisher states; it is deleted then."""
    had = _size(part)
    if had and is_whole(part, file):
        return
    _complete(place, part)
    found = file_digest(part, file.algorithm)
    if had and not found.startswith(file.digest):  # what was there may have been of another file
        part.unlink()
        _complete(place, part)
        found = file_digest(part, file.algorithm)
    if not found.startswith(file.digest):
        part.unlink()
        raise ValueError(
            f"its {file.algorithm} is {found} where {file.digest}... is published, so it was deleted;"
            " try again, or look for a proxy that alters downloads"
        )


def _complete(place: str, part: Path) -> None:
    """Read what is missing; while a broken connection brings something, it is taken up again."""
    while True:
        had = _size(part)
        try:
            size = _append(place, part)
        except (ConnectionError, TimeoutError):
            if _size(part) <= had:
                raise
            continue
        if not size or _size(part) == size:
            return
        if _size(part) <= had:
            raise ValueError(
                f"the connection broke after {_size(part)} of {size} bytes; the same command goes on there"
            )


def _append(place: str, part: Path) -> int:
    """Read from a place until it ends, or breaks off: the size of the whole file, 0 where that is not known."""
    with opened(place, _size(part)) as (stream, start, size), part.open("ab") as out:
        out.truncate(start)
        name = part.name.strip(".").removesuffix(".part")
        with wrap_file(stream, size - start, description=name, disable=not sys.stderr.isatty()) as watched:
            while chunk := watched.read(CHUNK):
                out.write(chunk)
    return size


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
