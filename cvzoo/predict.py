"""Prediction from Python and for the command line: images in, answers in their own pixels out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.progress import track
from torch import Tensor

import cvzoo
from cvzoo.data.class_names import COCO, COCO_IDS
from cvzoo.data.image_files import named_files
from cvzoo.data.images import from_pil, read_image
from cvzoo.data.problems import DataError, Problem
from cvzoo.data.transforms import eval_resize
from cvzoo.engine.dist import device_of
from cvzoo.engine.finish import with_weights
from cvzoo.engine.log import say
from cvzoo.engine.place import autocast, place
from cvzoo.engine.prepare import build_model
from cvzoo.loading import Loaded
from cvzoo.recipes import Recipe
from cvzoo.structures import Answer, Batch, Sample
from cvzoo.tasks import task_of
from cvzoo.tasks.task import Look, Show
from cvzoo.weights.class_count import class_count

ImageLike = str | Path | Image.Image | np.ndarray | Tensor
"""A file, a PIL image, an (H, W, 3) uint8 array or a (3, H, W) uint8 tensor; RGB."""
IMAGES = "an image (a picture) is a path, a PIL image, an array or a tensor"
TOGETHER = 64
"""Of a list of images so many are decoded at a time."""
BATCH = 8
"""Images of one size that are predicted together."""


def load(row: str, weights: str | Path | None = None, device: str = "auto", precision: str = "fp32") -> Predictor:
    """A predictor for a row of the zoo.

    Args:
        row: a name from `cvzoo.rows()`, or the folder of a run.
        weights: a published name (`torchvision`, `detectron2`) or a file; None takes those of the run, or of your run
            in runs/<row>.
        device: `auto`, `cpu` or `cuda`.
        precision: `fp32`, `bf16` or `fp16`.

    Raises: ValueError for an unknown row, and for weights that are missing or do not fit.
    """
    recipe = cvzoo.trained_recipe(row)
    run = replace(recipe.run, device=device, precision=precision)
    return Predictor(replace(recipe, run=run, weights=str(weights) if weights is not None else recipe.weights))


class Predictor:
    """A model with its weights, ready for images of any size."""

    classes: list[str]
    """Names of the classes, by label."""
    category_ids: Sequence[int]
    """The number of each class in the data set that the weights were trained on."""

    def __init__(self, recipe: Recipe[Any]) -> None:
        """Build the recipe's model with its weights. ValueError when it has none."""
        self.device = device_of(recipe.run)
        loaded = build_model(with_weights(recipe))
        self.recipe = loaded.recipe
        self.classes = loaded.classes or _unnamed(loaded)
        self.category_ids = loaded.data.get("category_ids") or _category_ids(self.classes)
        self._model = loaded.model.to(self.device).for_inference()

    @overload
    def __call__(self, images: ImageLike) -> Answer: ...
    @overload
    def __call__(self, images: Sequence[ImageLike]) -> list[Answer]: ...

    def __call__(self, images: ImageLike | Sequence[ImageLike]) -> Answer | list[Answer]:
        """Look at one image or at several, of any mix of kinds and sizes.

        Returns: a Prediction, or of a row of semantic segmentation a Segmentation, on the CPU in the image's own
            pixels; or a list of them in the order of the images.
        Raises: ValueError naming every image that cannot be read.
        """
        if isinstance(images, ImageLike):
            return self._predict(_samples([images]))[0]
        if isinstance(images, bytes | bytearray) or not isinstance(images, Sequence):
            raise ValueError(f"{IMAGES}, or a list of them, not {type(images).__name__}")
        answers: list[Answer] = []
        problems: list[str] = []
        for start in range(0, len(images), TOGETHER):  # decoded images are large, however many there are
            try:
                answers += self._predict(_samples(images[start : start + TOGETHER], start))
            except ValueError as error:
                problems.append(str(error))
        if problems:
            raise ValueError("\n".join(problems))
        return answers

    def _predict(self, samples: list[Sample]) -> list[Answer]:
        found = {number: answer.to("cpu") for number, answer in self._each(self._model.predict, samples)}
        return [found[sample.image_id] for sample in samples]

    def _each(self, see: Callable[[Batch], list[Any]], samples: list[Sample]) -> Iterator[tuple[int, Any]]:
        """What `see` finds in each image, with the image's number, in any order."""
        resized = [eval_resize(sample, self.recipe.data) for sample in samples]
        # images of one size share a canvas that is theirs alone, so the result does not depend on the company.
        for _, group in groupby(sorted(resized, key=lambda sample: sample.size), key=lambda sample: sample.size):
            together = list(group)
            for start in range(0, len(together), BATCH):
                batch = Batch.collate(together[start : start + BATCH], self.recipe.data.canvas)
                with autocast(self.recipe.run, self.device):
                    seen = see(place(batch, self.recipe.run, self.device))
                yield from zip(batch.image_ids, seen)

    def _look(self, show: Show, texture: Path | None) -> Look:
        return task_of(self.recipe).look(show, self._model, self.recipe, texture)

    def _looked_at(self, look: Look, image: Tensor, answer: Answer, min_score: float) -> Image.Image:
        (sample,) = _samples([image])
        ((_, seen),) = self._each(look.see, [sample])
        return look.draw(sample.image, seen, answer, min_score)


def predict_files(
    recipe: Recipe[Any],
    images: Sequence[Path],
    output: Path,
    min_score: float,
    show: Literal["answers"] | Show = "answers",
    texture: Path | None = None,
) -> Iterator[Path]:
    """Predict image files and folders with all that is below them: write each drawn, and what was found in it.

    Of a detector that is predictions.json in COCO's format; of a row of semantic segmentation a label map per image.
    To `show` heat maps or a texture draws each image once more, as <name>_heatmaps.png or <name>_texture.png.

    Args:
        texture: an atlas to paint people with; None takes a checkerboard.

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
    for file, name in track(files.items(), "images", console=Console(stderr=True), disable=not sys.stderr.isatty()):
        try:
            image = read_image(file)
        except DataError as error:
            problems += error.problems
            continue
        answer = predictor(image)
        yield from writer.add(file, name, image, answer)
        if look is not None:
            path = output / f"{name}_{show}.png"
            predictor._looked_at(look, image, answer, min_score).save(path)
            yield path
    yield from writer.finish()
    if problems:
        raise DataError(problems)


def _samples(images: Iterable[ImageLike], first: int = 0) -> list[Sample]:
    """Decoded images, numbered from `first`; ValueError that names all those that cannot be read."""
    samples, problems = [], []
    for number, image in enumerate(images, start=first):
        try:
            pixels = _pixels(image)
            size = (pixels.shape[1], pixels.shape[2])
            samples.append(Sample(image=pixels, image_id=number, original_size=size))
        except (ValueError, TypeError) as error:
            problems.append(str(error) if isinstance(image, str | Path) else f"picture {number}: {error}")
    if problems:
        raise ValueError("\n".join(problems))
    return samples


def _pixels(image: ImageLike) -> Tensor:
    """(3, H, W) uint8 RGB."""
    match image:
        case str() | Path():
            return read_image(Path(image))
        case Image.Image():
            return from_pil(image)
        case np.ndarray():
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
                raise ValueError(f"an array must be (H, W, 3) uint8 RGB, not {image.shape} {image.dtype}")
            return torch.from_numpy(image.copy()).permute(2, 0, 1)
        case Tensor():
            if image.ndim != 3 or image.shape[0] != 3 or image.dtype != torch.uint8 or not image.numel():
                raise ValueError(f"a tensor must be (3, H, W) uint8 RGB, not {tuple(image.shape)} {image.dtype}")
            return image.cpu()
    raise TypeError(f"{IMAGES}, not {type(image).__name__}")


def _unnamed(loaded: Loaded) -> list[str]:
    """Names of classes of which the weights say nothing."""
    say(f"{loaded.recipe.weights} names no classes; they are called class 0, class 1 ...")
    return [f"class {label}" for label in range(class_count(loaded.recipe.model))]


def _category_ids(classes: list[str]) -> Sequence[int]:
    """COCO's of COCO's classes; otherwise the classes are counted from 1."""
    return COCO_IDS if classes == list(COCO) else range(1, len(classes) + 1)
