"""What was read from a data set, kept in files that later runs, ranks and loader workers map into memory.

A file of arrays is named after the content of what it was made from, and after the code that made it: what other data
or another version of cvzoo have left is never found. The content of a source is hashed once and remembered beside its
path, its size and the times of its last change. That is sound because the system itself sets the time of the last
change of a file's state (ctime) whenever content or name change, and no program can set it back; a file that changed
within the last seconds, when another change might yet fall on the same tick of that clock, is hashed again.
Where nothing can be written, nothing is kept, and every process reads for itself. Whenever something is kept, what has
not been opened for two months goes.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from cvzoo.files import atomic, file_digest, locked

SETTLED = 2.0
"""Seconds after a file's last change from which its times tell of every further one."""
DAY = 86_400.0
"""Seconds; how finely the last use of a file is noted."""
UNUSED = 60 * DAY
"""Seconds after its last use from which a file is removed."""
SUFFIXES = {".safetensors", ".json", ".lock", ".tmp"}
"""Of what is written into the folder."""


class Stored(NamedTuple):
    """Arrays of one file, mapped, and notes about them."""

    arrays: dict[str, np.ndarray]
    notes: dict[str, Any]
    file: Path


class Place(NamedTuple):
    """Where something is kept."""

    found: Stored | None
    """What lies there."""
    file: Path | None
    """None where nothing can be written, or nothing is missing."""
    sources: dict[Path, list[int]] = {}  # noqa: RUF012  (never changed)
    """What it is made from, each with its state when it was hashed."""

    def keep(self, arrays: dict[str, np.ndarray], notes: dict[str, Any]) -> Stored | None:
        """Put arrays there; mapped from there, or None where that fails or a source has changed meanwhile."""
        if self.file is None:
            return None
        try:
            if any(state_of(source) != state for source, state in self.sources.items()):
                return None
            with atomic(self.file) as temporary:
                save_file(arrays, temporary, {"notes": json.dumps(notes)})
        except (OSError, SafetensorError):  # the latter on a full disk
            return None
        _remove_unused(self.file.parent)
        return stored(self.file)


def cache_folder() -> Path:
    """`$CVZOO_CACHE/data`, else `cvzoo/data` in the user's folder of caches."""
    own = os.environ.get("CVZOO_CACHE")
    base = Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cvzoo"
    return base / "data"


@contextmanager
def place_for(kind: str, *sources: Path) -> Iterator[Place]:
    """The place of what is made from these files; one process at a time is shown that it is empty."""
    try:
        states = {source: state_of(source) for source in sources}
        digests = [_content_digest(source, state) for source, state in states.items()]
    except OSError:  # whoever reads the file will say what is wrong with it
        yield Place(None, None)
        return
    with place_named(kind, *digests) as place:
        yield place._replace(sources=states)


@contextmanager
def place_named(kind: str, *names: str, complete: Callable[[Stored], bool] = lambda _: True) -> Iterator[Place]:
    """The place of what bears these names; one process at a time is shown that it is empty, or not complete."""
    name = hashlib.sha256(json.dumps([kind, makers(), *names]).encode()).hexdigest()[:32]
    file = cache_folder() / f"{kind}-{name}.safetensors"
    if (found := stored(file)) is not None and complete(found):
        yield Place(found, None)
        return
    with turn(file) as may_write:
        yield Place(stored(file), file if may_write else None)


def stored(file: Path) -> Stored | None:
    """What a file holds; None where there is none, or none that is whole."""
    try:
        with safe_open(file, framework="pt") as opened:
            arrays = {name: opened.get_tensor(name).numpy() for name in opened.keys()}  # noqa: SIM118  (cannot be iterated itself)
            found = Stored(arrays, json.loads(opened.metadata()["notes"]), file)
    except (OSError, SafetensorError):
        return None
    note_use(file)
    return found


def note_use(file: Path) -> None:
    """Let a file of the cache count as used today, also on a disk that notes no reading."""
    with suppress(OSError):
        status = file.stat()
        if time.time() - _last_use(status) > DAY:
            os.utime(file, ns=(time.time_ns(), status.st_mtime_ns))


def _last_use(status: os.stat_result) -> float:
    return max(status.st_atime, status.st_mtime)


def _remove_unused(folder: Path) -> None:
    """Other data and other versions have left files that nobody will ask for; a process that maps one keeps it."""
    with suppress(OSError), os.scandir(folder) as files:
        for file in files:
            if Path(file).suffix in SUFFIXES and time.time() - _last_use(file.stat()) > UNUSED:
                os.unlink(file)


def state_of(file: Path) -> list[int]:
    """Size and times of the last change: equal ones mean equal content, once `is_settled`."""
    status = file.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def is_settled(state: list[int]) -> bool:
    """Whether a file's last change is so long ago that any other would show in its state."""
    return time.time() - state[2] / 1e9 > SETTLED


@contextmanager
def turn(file: Path) -> Iterator[bool]:
    """Wait until no other process is about to write a file; False where none can."""
    with ExitStack() as stack:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(file.with_suffix(".lock")))
            may_write = True
        except OSError:
            may_write = False
        yield may_write


def _content_digest(source: Path, state: list[int]) -> str:
    """The hash of a file's content, remembered as long as its state is the same. Raises: OSError."""
    path = str(source.resolve())
    memory = cache_folder() / f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:32]}.json"
    if digest := _remembered(memory, state):
        return digest
    with turn(memory) as may_write:
        if digest := _remembered(memory, state):
            return digest
        digest = file_digest(source)
        if may_write and is_settled(state) and state == state_of(source):
            with suppress(OSError), atomic(memory) as temporary:  # else it is hashed again next time
                temporary.write_text(json.dumps({"path": path, "state": state, "digest": digest}))
    return digest


def _remembered(memory: Path, state: list[int]) -> str | None:
    try:
        known = json.loads(memory.read_bytes())
    except (OSError, ValueError):
        return None
    return known["digest"] if known["state"] == state else None


@cache
def makers() -> str:
    """A hash of the code that reads data: what another version has read is not trusted."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()
