"""How a run ends before its last iteration."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class TrainingError(ValueError):
    """Training cannot go on for a reason the user can do something about."""


class ElsewhereError(ValueError):
    """Another process has failed, and tells the user why."""


class Interrupted(SystemExit):
    """SIGTERM or SIGINT asked the run to stop, and it has saved. Exits with 128 + the signal's number, as shells do."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)


class StopSignal:
    """While entered, remembers a SIGTERM or SIGINT in `received`; of the main thread alone, as no other one hears any.

    A second SIGINT acts as if nobody listened, for who is in a hurry at a terminal; not under torchrun, which passes on
    to its processes what they have all got already.
    """

    received: int = 0

    def __enter__(self) -> StopSignal:
        numbers = (signal.SIGTERM, signal.SIGINT) if _hears() else ()
        self._before: dict[int, Any] = {number: signal.signal(number, self._note) for number in numbers}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        if number == signal.SIGINT and "RANK" not in os.environ:
            signal.signal(number, self._before[number])


@contextmanager
def undisturbed() -> Iterator[None]:
    """A dead worker, of which torch tells by SIGCHLD, is heard of after what is done here, not amid it."""
    if not _hears() or not hasattr(signal, "SIGCHLD"):  # Windows has none
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    before = signal.signal(signal.SIGCHLD, lambda *call: came.append(call))
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)
    if came and callable(before):
        before(*came[-1])


def _hears() -> bool:
    """Whether Python lets this thread listen to signals."""
    return threading.current_thread() is threading.main_thread()


@contextmanager
def whole_workers(save: Callable[[], str] = lambda: "what was saved is kept") -> Iterator[None]:
    """TrainingError where a loader worker dies: torch raises then whatever the loop is at, between two steps or not.

    `save` keeps what it can of the work so far, and says what.
    """
    try:
        yield
    except (RuntimeError, ConnectionError, EOFError) as error:
        if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
            raise
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # or torch says it again while the loader is taken down
        raise TrainingError(
            f"a loader worker was killed, most likely for want of memory; {save()}, and the same command continues."
            " Lower --data.workers or --schedule.batch, or close what else needs memory"
        ) from error
