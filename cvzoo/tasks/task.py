"""What the engine, reports and predictions ask of a kind of answer; `boxes`, `label_maps` ... are such modules."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from PIL import Image
from torch import Tensor

from cvzoo.data.config import Data
from cvzoo.data.dataset import Dataset
from cvzoo.nn.model import Model
from cvzoo.ops.tiles import Tile
from cvzoo.recipes import Recipe
from cvzoo.structures import Answer, Batch, Size, Target, View
from cvzoo.tasks.about import About
from cvzoo.tasks.detections import Detections
from cvzoo.tasks.labelled_pixels import LabelledPixels
from cvzoo.tasks.limits import Limits
from cvzoo.tasks.study import Study

Answered = Detections | LabelledPixels
"""An answer that knows its image, as users get it."""
Metrics = Mapping[str, Any]
"""metrics.json: by split, what an evaluation found."""
Show = Literal["heatmaps", "texture"]
"""What `cvzoo predict --show` draws beside the answers."""


class Figures(Protocol):
    """What an evaluation measured."""

    @property
    def stats(self) -> dict[str, float]:
        """Metric name to value."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Plain values, as metrics.json holds them."""
        ...


class Evaluation(Protocol):
    """The figures of one split and the answers they were computed from."""

    @property
    def figures(self) -> Figures: ...

    def prediction(self, image_id: int) -> Answer:
        """The answer to an image."""
        ...

    def write(self, folder: Path, split: str) -> None:
        """Keep the answers in a run folder."""
        ...


class Writer(Protocol):
    """Writes images with the answers drawn on them, and the answers in a format of the field."""

    def add(self, file: Path, name: str, image: Tensor, answer: Any) -> list[Path]:
        """Take in the answer to one (3, H, W) image.

        `name` is a path without suffix, under which its files are written. Returns: what was written.
        """
        ...

    def drawn(self, image: Tensor, answer: Any) -> Image.Image:
        """A (3, H, W) image with its answer drawn on it."""
        ...

    def finish(self) -> list[Path]:
        """Write what all images have in common."""
        ...


class Look(NamedTuple):
    """Another look at images than their drawn answers: at what a network makes of them before it answers, say."""

    see: Callable[[Batch], list[Any]]
    """What a network sees in each image, in the pixels of the ORIGINAL image."""
    draw: Callable[[Tensor, Any, Any, float], Image.Image]
    """A (3, H, W) uint8 RGB image with what is seen in it, and the answers of at least a score, drawn on it."""


class Task(Protocol):
    """A kind of answer: a module with these functions."""

    def check(self, recipe: Recipe[Any]) -> None:
        """ValueError where the recipe asks for what answers of this kind cannot give, or its data cannot teach."""
        ...

    def check_model(self, model: Any, recipe: Recipe[Any]) -> None:
        """ValueError where the evaluation will ask of the model what it cannot do: before it is trained, not after."""
        ...

    def class_names(self, recipe: Recipe[Any], count: int) -> list[str] | None:
        """Names of the classes of the row's data set, if it has so many."""
        ...

    # Evaluation

    def metrics(self, recipe: Recipe[Any]) -> list[str]:
        """Names of the figures that an evaluation of the recipe finds and of which more is better."""
        ...

    def views(self, data: Data) -> list[Data]:
        """Settings under which each image is looked at; none where it is looked at once, as it is."""
        ...

    def predict_views(self, model: Any, views: list[View], recipe: Recipe[Any]) -> Any:
        """One answer from several views of an image."""
        ...

    def kept(self, image_id: int, target: Target, answer: Any, dataset: Any) -> Any:
        """What is kept of the answer to an image until all are scored; it is pickled."""
        ...

    def score(self, kept: Iterable[Any], dataset: Any, recipe: Recipe[Any]) -> Evaluation:
        """The evaluation, from what was kept of each image. ValueError when an answer lacks what is to be scored."""
        ...

    def read(self, folder: Path, split: str, dataset: Any, figures: dict[str, Any]) -> Evaluation:
        """The inverse of `Evaluation.write`, with the split's part of metrics.json. OSError where a file is gone,
        ValueError where the data are no longer those that were evaluated.
        """
        ...

    # Reports

    def headline(self, metrics: Metrics) -> list[tuple[str, str]]:
        """The figures to see first, with their titles."""
        ...

    def results(self, metrics: Metrics) -> list[tuple[str, str, dict[str, float]]]:
        """Split, what was compared, and the figures by name."""
        ...

    def charts(self, metrics: Metrics) -> Iterable[tuple[str, str]]:
        """Titles and charts (SVG)."""
        ...

    def study(self, evaluation: Any, dataset: Any) -> Study:
        """What the answers to a split show beyond its figures, image by image."""
        ...

    def draw_truth(self, image: Tensor, target: Target, classes: Sequence[str], long_side: int) -> Image.Image:
        """A (3, H, W) uint8 RGB image, scaled to this size in pixels, with what is known of it drawn on it."""
        ...

    # Predictions

    def limited(self, model: Model, limits: Limits, recipe: Recipe[Any]) -> Model:
        """The model that finds what is asked for: itself, or a copy that shares its weights.

        ValueError for a limit that has no meaning for it.
        """
        ...

    def answered(self, answer: Any, about: About, limits: Limits) -> Answered:
        """What is asked for of an answer, with what is known of its image."""
        ...

    def joined(self, found: Sequence[Any], tiles: Sequence[Tile], size: Size, model: Model) -> Answer:
        """The answer to an image of `size`, from those of its tiles."""
        ...

    def writer(self, output: Path, classes: list[str], category_ids: Sequence[int], min_score: float) -> Writer:
        """Of answers, to a folder that exists; what scores less than `min_score` is not drawn."""
        ...

    def look(self, show: Show, model: Any, recipe: Recipe[Any], texture: Path | None) -> Look:
        """What is drawn beside the answers: the model's heat maps, or people painted with a texture, an atlas in a file
        or a drawn one. ValueError where there is no such thing.
        """
        ...


def check_classes(evaluated: Sequence[str], dataset: Dataset) -> None:
    """ValueError where a data set has other classes than were evaluated."""
    if other := set(evaluated) ^ set(dataset.classes):
        raise ValueError(
            f"the data are not those that were evaluated: only one of them has the classes {sorted(other)}"
        )


def no_look(show: Show, recipe: Recipe[Any]) -> ValueError:
    """What to say to whoever asks for what a model does not have."""
    absent, having = {
        "heatmaps": ("heat maps", "a detector by key points (docs/models.md lists them)"),
        "texture": ("surfaces", "dense pose (docs/dense_pose.md)"),
    }[show]
    return ValueError(
        f"{recipe.row} has no {absent}, which --show {show} asks for; leave that out, or choose a row of {having}"
    )


def data_uri(image: Image.Image) -> str:
    """The image as a JPEG inside an address."""
    data = io.BytesIO()
    image.save(data, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode("ascii")
