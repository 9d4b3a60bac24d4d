"""The queue of images, and the threads that take them from it, several at a time, whoever sent them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from cvzoo.serve.settings import Settings

SMOOTH = 0.9
"""How much of the estimate of the seconds per image is kept at each batch."""


class FullError(Exception):
    """The queue takes nothing more for now."""


@dataclass(eq=False)
class Job:
    """An image that waits for its answer."""

    model: Any
    """Images of one model are looked at together."""
    pixels: int
    task: Any
    """The image and what is asked of it."""
    answer: Future[Any] = field(default_factory=Future)
    born: float = field(default_factory=time.monotonic)


class Batcher:
    """First come, first served: a free worker takes the oldest image, and with it others of the same model.

    A batch has no more pixels than one image may have, so that the decoded images in memory stay few.
    """

    def __init__(self, settings: Settings, work: Callable[[list[Job]], None]) -> None:
        """`work` sets the answer of each job of a batch."""
        self._settings = settings
        self._work = work
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._turn = threading.Lock()
        self._closing = False
        self._pace = 0.1
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(settings.workers)]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def __len__(self) -> int:
        """Images that wait."""
        return len(self._jobs)

    @property
    def alive(self) -> bool:
        """Whether images are still taken and looked at."""
        return not self._closing and all(thread.is_alive() for thread in self._threads)

    @property
    def is_full(self) -> bool:
        """Whether the queue takes nothing more for now."""
        return self._closing or len(self._jobs) >= self._settings.max_queue

    @property
    def seconds_to_wait(self) -> float:
        """About how long it takes to look at all that waits."""
        return len(self._jobs) * self._pace / self._settings.workers

    def submit(self, job: Job) -> None:
        """Put a job at the end of the queue. FullError when there is no room, or the server is about to stop."""
        with self._changed:
            if self.is_full:
                raise FullError
            self._jobs.append(job)
            self._changed.notify_all()

    def withdraw(self, job: Job) -> bool:
        """Take a job back that nobody wants any more. Returns: whether it was still waiting."""
        with self._changed:
            if job not in self._jobs:
                return False
            self._jobs.remove(job)
            return True

    def close(self) -> None:
        """Look at all that waits, take nothing new, and end the threads."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while batch := self._next():
            start = time.monotonic()
            self._work(batch)
            seconds = (time.monotonic() - start) / len(batch)
            self._pace = SMOOTH * self._pace + (1 - SMOOTH) * seconds

    def _next(self) -> list[Job]:
        """The next batch; nothing once the server stops and nobody waits."""
        batch: list[Job] = []
        with self._turn, self._changed:  # one worker gathers at a time, or two would share what is one batch
            while not self._jobs and not self._closing:
                self._changed.wait()
            while self._jobs or batch:
                complete = self._gather(batch)
                wait = batch[0].born + self._settings.batch_seconds - time.monotonic()
                if complete or self._closing or wait <= 0:
                    break
                self._changed.wait(wait)
        return batch

    def _gather(self, batch: list[Job]) -> bool:
        """Move jobs of one model from the queue to the batch. Returns: whether it can take no more."""
        for job in list(self._jobs):
            if batch and job.model is not batch[0].model:
                continue
            pixels = sum(other.pixels for other in batch) + job.pixels
            if len(batch) == self._settings.max_batch or (batch and pixels > self._settings.max_pixels):
                return True
            self._jobs.remove(job)
            batch.append(job)
        return len(batch) == self._settings.max_batch
