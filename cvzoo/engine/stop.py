"""How a run ends before its last iteration."""

from __future__ import annotations

import os
import signal
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
    """While entered, remembers a SIGTERM or SIGINT in `received`.

    A second SIGINT acts as if nobody listened, for who is in a hurry at a terminal; not under torchrun, which passes on
    to its processes what they have all got already.
    """

    received: int = 0

    def __enter__(self) -> StopSignal:
        self._before: dict[int, Any] = {n: signal.signal(n, self._note) for n in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        if number == signal.SIGINT and "RANK" not in os.environ:
            signal.signal(number, self._before[number])
