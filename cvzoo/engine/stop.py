"""How a run ends before its last iteration."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any


class TrainingError(ValueError):
    """Training cannot go on for a reason the user can do something about."""


class Interrupted(SystemExit):
    """SIGTERM or SIGINT asked the run to stop, and it has saved. Exits with 128 + the signal's number, as shells do."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)


class StopSignal:
    """While entered, remembers the first SIGTERM or SIGINT in `received`; a second one acts as if nobody listened."""

    received: int = 0

    def __enter__(self) -> StopSignal:
        self._before: dict[int, Any] = {n: signal.signal(n, self._note) for n in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        signal.signal(number, self._before[number])
