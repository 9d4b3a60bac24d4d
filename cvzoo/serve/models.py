"""The models of a server, and the answers to a batch of images."""

from __future__ import annotations

import difflib
import json
import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import cvzoo
from cvzoo.data.body_parts import PARTS
from cvzoo.data.images import decode_image
from cvzoo.data.inputs import Frame
from cvzoo.predictor import How, Predictor, Wanted
from cvzoo.recipes import Recipe
from cvzoo.serve.batcher import Job
from cvzoo.serve.errors import Refused
from cvzoo.serve.wire import MIN_SCORE, About, Asked, answer_json, png
from cvzoo.tasks.draw_boxes import colour_of
from cvzoo.tasks.task import Answered

log = logging.getLogger(__name__)
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
"""What images may be; PIL's readers of other formats run other programs, or are seldom looked after."""
FIRST_IMAGE = (480, 640, 3)
IN_FULL_SIZE = 4_000_000
"""Pixels of an image at most, where the network sees all of them."""


class Chosen(NamedTuple):
    """A model that is to be served, as somebody names it."""

    row: str
    """A row, or a run folder."""
    weights: str | None = None
    """None: those of the run."""


@dataclass(eq=False)
class Served:
    """A model with its name."""

    name: str
    predictor: Predictor

    @property
    def recipe(self) -> Recipe[Any]:
        return self.predictor.recipe

    def about(self, max_pixels: int) -> About:
        """What clients are told of it."""
        classes, dense = self.predictor.classes, self.recipe.model.answer == "dense_pose"
        return About(
            name=self.name,
            row=self.recipe.row,
            task=self.recipe.model.answer,
            classes=classes,
            colours=[_hex(label) for label in range(len(classes))],
            parts=list(PARTS) if dense else [],
            part_colours=[_hex(part) for part in range(len(PARTS))] if dense else [],
            masks=self.predictor.gives_masks,
            max_pixels=self.max_pixels(max_pixels),
        )

    def max_pixels(self, of_all: int) -> int:
        """Pixels that an image may have."""
        return min(of_all, IN_FULL_SIZE) if self.recipe.data.test_full_size else of_all

    def wanted(self, asked: Asked) -> Wanted:
        """The thresholds that are asked for. Refused where this model has none of the kind."""
        how: How = {"conf": asked.min_score, "iou": asked.iou, "max_detections": asked.max_detections}
        if self.recipe.model.answer != "label_maps" and asked.min_score is None:
            how["conf"] = MIN_SCORE
        try:
            return self.predictor.wanted(how)
        except ValueError as error:
            raise Refused(422, str(error)) from None


class Task(NamedTuple):
    """An image file and what is asked of it."""

    image: bytes
    asked: Asked
    wanted: Wanted


class Reply(NamedTuple):
    """An answer as it is sent."""

    content: bytes
    media_type: str


def load(chosen: Sequence[Chosen], device: str, precision: str) -> list[Served]:
    """The models. ValueError for unknown rows, weights that are missing or do not fit, and two of one name."""
    names = _names(chosen)
    models = [Served(name, cvzoo.load(*one, device, precision)) for name, one in zip(names, chosen)]
    for model in models:
        model.predictor(np.zeros(FIRST_IMAGE, np.uint8))  # the first one takes a while, which no client should wait
    return models


def find(models: Iterable[Served], name: str | None) -> Served:
    """The model of that name, or the first. Refused where there is none."""
    by_name = {model.name: model for model in models}
    if name is None:
        return next(iter(by_name.values()))
    if name not in by_name:
        near = difflib.get_close_matches(name, by_name, n=1) or list(by_name)
        raise Refused(404, f"there is no model {name!r}; did you mean {' or '.join(near)}? /models lists them")
    return by_name[name]


def answer_batch(batch: Sequence[Job]) -> None:
    """Set the answer of each job. One that fails fails alone."""
    started = time.monotonic()
    jobs = [job for job in batch if job.answer.set_running_or_notify_cancel()]
    frames = {job: frame for job in jobs if (frame := _decoded(job)) is not None}
    for job, answer in _looked_at(frames):
        if isinstance(answer, Exception):
            job.answer.set_exception(answer)
            continue
        try:
            job.answer.set_result(_reply(job, answer, started - job.born))
        except Exception as error:
            job.answer.set_exception(error)


def _looked_at(frames: dict[Job, Frame]) -> list[tuple[Job, Answered | Exception]]:
    """The answer to each image; where those to all of them fail, each is tried by itself."""
    if not frames:
        return []
    predictor = next(iter(frames)).model.predictor
    try:
        return list(zip(frames, predictor.answers(list(frames.values()), [job.task.wanted for job in frames])))
    except Exception as error:
        if len(frames) == 1:
            return [(job, error) for job in frames]
        log.exception("a batch of %s images failed; they are tried one by one", len(frames))
        return [one for job, frame in frames.items() for one in _looked_at({job: frame})]


def _decoded(job: Job) -> Frame | None:
    """The image; of one that cannot be read the job is answered with the reason."""
    start = time.perf_counter()
    try:
        pixels = decode_image(job.task.image, "the image", FORMATS)
    except ValueError as error:
        job.answer.set_exception(Refused(422, str(error)))
        return None
    return Frame(pixels, seconds=time.perf_counter() - start)


def _reply(job: Job, answer: Answered, waited: float) -> Reply:
    asked: Asked = job.task.asked
    if asked.format == "png":
        return Reply(png(answer.draw()), "image/png")
    if asked.format == "coco":
        return Reply(_json(answer.to_coco(asked.image_id)), "application/json")
    seconds = {name: round(value, 4) for name, value in {"queue": waited, **answer.seconds}.items()}
    about = {"model": job.model.name, "task": job.model.recipe.model.answer, "seconds": seconds}
    return Reply(_json(about | answer_json(answer, asked)), "application/json")


def _json(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def _names(chosen: Sequence[Chosen]) -> list[str]:
    """A name for each model: its row or run folder, with its weights where several are of one row."""
    rows = Counter(one.row for one in chosen)
    names = [
        _base(one.row) if rows[one.row] == 1 or one.weights is None else f"{_base(one.row)}@{Path(one.weights).stem}"
        for one in chosen
    ]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"two models would be called {', '.join(twice)}; rename a run folder or a file of weights")
    return names


def _base(row: str) -> str:
    return row if row in cvzoo.rows() else Path(row).resolve().name


def _hex(label: int) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour_of(label))
