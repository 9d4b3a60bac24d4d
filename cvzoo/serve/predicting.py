"""The way of an image through the server: read, checked, queued, looked at, answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from fastapi import Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from cvzoo.serve.batcher import Batcher, FullError, Job
from cvzoo.serve.errors import Refused
from cvzoo.serve.metrics import Metrics
from cvzoo.serve.models import Reply, Served, Task, answer_batch, find
from cvzoo.serve.settings import Settings
from cvzoo.serve.uploads import Upload, Uploads, size_within


class Predicting:
    """Models, their queue, and what clients get."""

    def __init__(self, models: Sequence[Served], settings: Settings) -> None:
        self.models = list(models)
        self.batcher = Batcher(settings, self._work)
        self._settings = settings
        self._uploads = Uploads(settings)
        self.metrics = Metrics(waiting=lambda: len(self.batcher), held=lambda: self._uploads.held)

    async def predict(self, request: Request) -> Response:
        """The answer to an image: a form with the file `image`, or JSON with it in base 64, and what is asked of it."""
        if self.batcher.is_full:  # before anything of the image is read
            raise self._overloaded()
        async with self._uploads.read(request) as upload:
            job = await self._job(upload)
            try:
                self.batcher.submit(job)
            except FullError:
                raise self._overloaded() from None
            reply = await self._reply(request, job)
        return Response(reply.content, media_type=reply.media_type)

    async def _job(self, upload: Upload) -> Job:
        model = find(self.models, upload.asked.model)
        wanted = await run_in_threadpool(model.wanted, upload.asked)
        pixels = await size_within(upload.image, model.max_pixels(self._settings.max_pixels))
        return Job(model, pixels, Task(upload.image, upload.asked, wanted))

    async def _reply(self, request: Request, job: Job) -> Reply:
        """Wait for the answer, in the queue for so long only, and for no client that has left."""
        answer = asyncio.wrap_future(job.answer)
        left = asyncio.ensure_future(_left(request))
        either = {answer, left}
        try:
            done, _ = await asyncio.wait(either, timeout=self._settings.queue_seconds, return_when="FIRST_COMPLETED")
            if not done and self.batcher.withdraw(job):
                raise self._overloaded()
            if not done:  # it is being looked at
                done, _ = await asyncio.wait(either, return_when="FIRST_COMPLETED")
            if answer not in done:
                raise ClientDisconnect
            return answer.result()
        finally:
            self.batcher.withdraw(job)
            answer.cancel()
            left.cancel()

    def _overloaded(self) -> Refused:
        wait = self.batcher.seconds_to_wait
        return Refused(503, f"{len(self.batcher)} images are waiting; try again in {wait:.0f} seconds", wait)

    def _work(self, batch: list[Job]) -> None:
        start, model = time.monotonic(), batch[0].model.name
        self.metrics.images.labels(model).inc(len(batch))
        self.metrics.batch_images.observe(len(batch))
        for job in batch:
            self.metrics.queue_seconds.observe(start - job.born)
        answer_batch(batch)
        self.metrics.batch_seconds.labels(model).observe(time.monotonic() - start)


async def _left(request: Request) -> None:
    """Returns when the client has closed its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
