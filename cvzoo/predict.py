"""Prediction for the command line: images and videos in, drawn ones and files of answers out."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.progress import track

from cvzoo.data.image_files import drawn_suffix, is_camera, is_moving, named_files
from cvzoo.data.inputs import Frame
from cvzoo.data.problems import DataError, Problem
from cvzoo.data.sources import ahead, moving, newest, try_file
from cvzoo.data.videos import VideoFile, frame_count
from cvzoo.predictor import Predictor, Wanted
from cvzoo.recipes import Recipe
from cvzoo.structures import Size
from cvzoo.tasks import task_of
from cvzoo.tasks.task import Answered, Look, Show, Writer

READ_AHEAD = 2
"""Images that are decoded before their turn."""
Read = tuple[Path, Frame | DataError]
"""A file, and an image of it."""


def predict_files(
    recipe: Recipe[Any],
    images: Sequence[Path],
    output: Path,
    min_score: float,
    show: Literal["answers"] | Show = "answers",
    texture: Path | None = None,
    tile: Size | None = None,
) -> Iterator[Path]:
    """Predict images, videos and folders with all that is below them: write each drawn, and what was found in it.

    Of a detector that is predictions.json in COCO's format; of a row of semantic segmentation a label map per image. Of
    a video, or the camera `camera:0`, it is <name>.jsonl: a line for each frame. To `show` heat maps or a texture draws
    each once more, as <name>_heatmaps.png or <name>_texture.mp4.

    Args:
        texture: an atlas to paint people with; None takes a checkerboard.
        tile: look at windows of this height and width; see `cvzoo.predictor.How`.

    Yields: what has been written, as it is. A camera ends with Ctrl-C.
    Raises: ValueError for images that are missing, an output folder that would change images given, and a row that does
        not have what is to be shown, before anything is written; and at the end DataError with every image that cannot
        be read.
    """
    files = named_files(images, output)
    predictor = Predictor(recipe)
    look = None if show == "answers" else predictor._look(show, texture)  # before it has predicted in vain
    output.mkdir(parents=True, exist_ok=True)
    writer = task_of(recipe).writer(output, predictor.classes, predictor.category_ids, min_score)
    work = _Work(predictor, predictor.wanted({"tile": tile}), writer, output, min_score, show, look, [])
    read = _read(files)
    with closing(newest(read) if any(map(is_camera, files)) else ahead(read, READ_AHEAD)) as pairs:
        shown = track(pairs, "images", _count(files), console=Console(stderr=True), disable=not sys.stderr.isatty())
        for file, own in groupby(shown, key=lambda pair: pair[0]):
            predict = work.video if is_moving(file) else work.image
            yield from predict(file, files[file], (frame for _, frame in own))
            if is_camera(file):
                break  # or the frames that are left would be asked for
    if not all(map(is_moving, files)):
        yield from writer.finish()
    if work.problems:
        raise DataError(work.problems)


def _read(files: Mapping[Path, str]) -> Generator[Read]:
    for file in files:
        for frame in moving(file) if is_moving(file) else [try_file(file)]:
            yield file, frame


def _count(files: Mapping[Path, str]) -> int | None:
    """How many images there are in all files, None where one of them does not say."""
    counts = [None if is_camera(file) else frame_count(file) if is_moving(file) else 1 for file in files]
    return None if None in counts else sum(count for count in counts if count is not None)


@dataclass
class _Work:
    """What is done with each file."""

    predictor: Predictor
    wanted: Wanted
    writer: Writer
    output: Path
    min_score: float
    show: str
    look: Look | None
    problems: list[Problem]
    """What could not be read."""

    def image(self, file: Path, name: str, frames: Iterator[Frame | DataError]) -> Iterator[Path]:
        """The only frame of an image file."""
        for frame, answer in self._answers(frames):
            yield from self.writer.add(file, name, frame.pixels, answer)
            if self.look is not None:
                path = self._second(file, name)
                self.predictor._looked_at(self.look, frame.pixels, answer, self.min_score).save(path)
                yield path

    def video(self, file: Path, name: str, frames: Iterator[Frame | DataError]) -> Iterator[Path]:
        """Frame by frame, none of which is kept. What there is when Ctrl-C breaks it off is whole."""
        drawn, seen = VideoFile(self.output / f"{name}.mp4"), VideoFile(self._second(file, name))
        lines = self.output / f"{name}.jsonl"
        lines.parent.mkdir(parents=True, exist_ok=True)
        with closing(drawn), closing(seen), lines.open("w") as text:
            try:
                for frame, answer in self._answers(frames):
                    text.write(json.dumps(self._line(answer)) + "\n")
                    drawn.add(self.writer.drawn(frame.pixels, answer), frame.time or 0.0)
                    if self.look is not None:
                        image = self.predictor._looked_at(self.look, frame.pixels, answer, self.min_score)
                        seen.add(image, frame.time or 0.0)
            except KeyboardInterrupt:
                if not is_camera(file):
                    raise
        yield from [video.path for video in (drawn, seen) if video.begun] + [lines]

    def _answers(self, frames: Iterator[Frame | DataError]) -> Iterator[tuple[Frame, Answered]]:
        for frame in frames:
            if isinstance(frame, DataError):
                self.problems += frame.problems
            else:
                yield frame, self.predictor.answers([frame], [self.wanted])[0]

    def _second(self, file: Path, name: str) -> Path:
        return self.output / f"{name}_{self.show}{drawn_suffix(file)}"

    def _line(self, answer: Answered) -> dict[str, Any]:
        """What was found in a frame, as COCO's results have it, with the names of classes."""
        names = dict(zip(self.predictor.category_ids, self.predictor.classes))
        found = [{"name": names[one["category_id"]], **one} for one in answer.to_coco(0)]
        for one in found:
            del one["image_id"]
        return {"frame": answer.about.frame, "time": answer.about.time, "found": found}
