"""Prediction for the command line: image files in, drawn images and files of answers out."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.progress import track

from cvzoo.data.image_files import named_files
from cvzoo.data.problems import DataError, Problem
from cvzoo.data.sources import ahead, try_file
from cvzoo.predictor import Predictor
from cvzoo.recipes import Recipe
from cvzoo.structures import Size
from cvzoo.tasks import task_of
from cvzoo.tasks.task import Show

READ_AHEAD = 2
"""Images that are decoded before their turn."""


def predict_files(
    recipe: Recipe[Any],
    images: Sequence[Path],
    output: Path,
    min_score: float,
    show: Literal["answers"] | Show = "answers",
    texture: Path | None = None,
    tile: Size | None = None,
) -> Iterator[Path]:
    """Predict image files and folders with all that is below them: write each drawn, and what was found in it.

    Of a detector that is predictions.json in COCO's format; of a row of semantic segmentation a label map per image.
    To `show` heat maps or a texture draws each image once more, as <name>_heatmaps.png or <name>_texture.png.

    Args:
        texture: an atlas to paint people with; None takes a checkerboard.
        tile: look at windows of this height and width; see `cvzoo.predictor.How`.

    Yields: what has been written, as it is.
    Raises: ValueError for images that are missing, an output folder that would change images given, and a row that does
        not have what is to be shown, before anything is written; and at the end DataError with every image that cannot
        be read.
    """
    files = named_files(images, output)
    predictor = Predictor(recipe)
    look = None if show == "answers" else predictor._look(show, texture)  # before it has predicted in vain
    output.mkdir(parents=True, exist_ok=True)
    writer = task_of(recipe).writer(output, predictor.classes, predictor.category_ids, min_score)
    problems: list[Problem] = []
    shown = track(files.items(), "images", console=Console(stderr=True), disable=not sys.stderr.isatty())
    with closing(ahead(map(try_file, files), READ_AHEAD)) as frames:
        for (file, name), frame in zip(shown, frames):
            if isinstance(frame, DataError):
                problems += frame.problems
                continue
            yield from writer.add(file, name, frame.pixels, answer := predictor(frame.pixels, tile=tile))
            if look is not None:
                path = output / f"{name}_{show}.png"
                predictor._looked_at(look, frame.pixels, answer, min_score).save(path)
                yield path
    yield from writer.finish()
    if problems:
        raise DataError(problems)
