"""Files that are whole or absent, whatever happens while they are written. Imports no torch."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

NO_PLACE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG}
"""Why nothing can be written at a path, however much room there is."""


class SaveError(OSError, ValueError):
    """A file could not be written; what stood in its place is untouched."""


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder, which takes the place of `path` when the block ends without error.

    The data are on the disk before the name changes, and the name before the block returns, so a crash or a power cut
    leaves the old file or the new one. A missing folder is made. Of several writers at once each has a temporary file
    of its own, and the last one's stays. SaveError on a full disk, or where nobody may write; the old file is then
    intact.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _temporary(path) as temporary:
            mode = stat.S_IMODE(temporary.stat().st_mode)
            yield temporary
            with temporary.open("rb") as file:
                if stat.S_IMODE(os.fstat(file.fileno()).st_mode) != mode:  # safetensors writes for the owner alone
                    os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            temporary.replace(path)
    except (OSError, RuntimeError) as error:
        # torch wraps the system's reason in an error of its own zip writer; other errors meet us here by chance
        reason = error.__context__ if isinstance(error.__context__, OSError) else error
        if isinstance(reason, RuntimeError) and "inline_container" not in str(reason):
            raise
        kept = "the one saved before is intact" if path.exists() else "nothing was written"
        elsewhere = isinstance(reason, OSError) and reason.errno in NO_PLACE
        remedy = "Choose another place" if elsewhere else "Free disk space"
        raise SaveError(f"cannot save {path}: {reason}; {kept}. {remedy}, then repeat the command") from error
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """An empty file beside `path` that nobody else writes to meanwhile; an error, or an interrupt, removes it.

    What a killed process has left behind is taken again: its lock is free.
    """
    for number in count():
        temporary = path.with_name(f"{path.name}{number or ''}.tmp")
        with temporary.open("ab") as file:
            if not _is_ours(file, temporary):
                continue
            file.truncate(0)
            try:
                yield temporary
            except BaseException:  # not later: the name may be another's as soon as the file has its final one
                temporary.unlink(missing_ok=True)
                raise
            return


def _is_ours(file: BinaryIO, path: Path) -> bool:
    """Lock an open file: whether nobody else has, and `path` is still its name."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:  # it has just taken the place of the file it was written for
        return False


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """The hash of a file's content in hexadecimal digits, by an algorithm of hashlib's. OSError if it can't be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


SUMS = "SHA256SUMS"
"""Of a folder: the sha256 of its files, as `sha256sum --check` reads it."""


def write_sums(folder: Path, names: Sequence[str], known: Mapping[str, str]) -> None:
    """State the sha256 of the named files of a folder in its SHA256SUMS; what is known of some is not found again."""
    sums = {name: known.get(name) or file_digest(folder / name) for name in names}
    with atomic(folder / SUMS) as temporary:
        temporary.write_text("".join(f"{digest}  {name}\n" for name, digest in sums.items()))


def stated_digest(path: Path) -> str | None:
    """The sha256 that SHA256SUMS beside a file states of it; None where it states none."""
    sums = path.with_name(SUMS)
    text = sums.read_text(errors="replace") if sums.is_file() else ""
    stated = re.search(rf"^([0-9a-f]{{64}}) [ *]{re.escape(path.name)}$", text, re.MULTILINE)
    return stated and stated[1]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time; the others wait. OSError where `path` cannot be written."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes that ask for the same out of a folder; however this one ends, it is free again then.

    ValueError when another process is in there.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"another command is at work in {folder}; wait for its end, stop it, or choose another folder"
                " with --run.out or --run.name"
            ) from None
        yield
    finally:
        os.close(handle)


def write_json(path: Path, values: Any) -> None:
    """Write JSON so that readers and crashes see the old file or the new one, never a part. NaN is a ValueError."""
    text = _text(values) + "\n"
    with atomic(path) as temporary:
        temporary.write_text(text)


def _text(values: Any, newline: str = "\n") -> str:
    """JSON with the outer two levels of dictionaries and the records of a list on lines of their own, for diffs."""
    if isinstance(values, dict) and values and len(newline) < 3:
        items = (f"{newline} {json.dumps(key)}: {_text(value, newline + ' ')}" for key, value in values.items())
        return "{" + ",".join(items) + newline + "}"
    if isinstance(values, list) and values and isinstance(values[0], dict):
        return "[" + ",".join(f"{newline} {json.dumps(value, allow_nan=False)}" for value in values) + newline + "]"
    return json.dumps(values, allow_nan=False)
