"""Label maps, a class for every pixel: all pixels are counted in one confusion matrix, maps are kept as PNG.

An image can be looked at whole, through a sliding window, at several scales and mirrored. Shape suffixes: K classes,
H W pixels.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cvzoo.data.config import Data
from cvzoo.data.dataset import LabelMapImages
from cvzoo.files import atomic, write_json
from cvzoo.metrics.semantic import NAMES, SemanticResult, confusion, evaluate_semantic, mean_iou
from cvzoo.nn.model import Model
from cvzoo.ops.resize import resize
from cvzoo.ops.tiles import Tile, joined_labels, starts
from cvzoo.recipes import Recipe
from cvzoo.structures import Batch, Segmentation, Size, Target, View
from cvzoo.tasks.about import About
from cvzoo.tasks.charts import class_chart, confusion_chart
from cvzoo.tasks.draw_label_maps import draw_labels, label_image
from cvzoo.tasks.label_map_study import label_map_study
from cvzoo.tasks.labelled_pixels import LabelledPixels
from cvzoo.tasks.limits import Limits
from cvzoo.tasks.study import READABLE, Study
from cvzoo.tasks.task import Look, Metrics, Show, check_classes, no_look

STEP = 2 / 3
"""A window moves on by this share of itself (1612.01105; mmsegmentation's 513 of 769)."""


def check(recipe: Recipe[Any]) -> None:
    """Label maps are learnt from label maps."""
    if not recipe.data.semantic:
        raise ValueError(
            f"{recipe.row} gives every pixel a class, but the data are objects; choose a row of a detector"
            " (`cvzoo list --task detection`), or a folder of label maps with --data.root"
        )


def check_model(model: Model, recipe: Recipe[Any]) -> None:
    """Every network can merge views and windows; objects have no label maps, nor masks."""
    if recipe.data.masks:
        raise ValueError(f"{recipe.row} gives every pixel a class; leave --data.masks out, which is for objects")


def class_names(recipe: Recipe[Any], count: int) -> list[str] | None:
    """The row's data set's where there are as many."""
    names = recipe.data.label_maps.classes
    return list(names) if count == len(names) else None


# Evaluation


def metrics(recipe: Recipe[Any]) -> list[str]:
    """Of all pixels."""
    return list(NAMES)


@dataclass
class LabelMapEvaluation:
    """The figures of one split and the label maps they were computed from."""

    figures: SemanticResult
    pngs: dict[int, bytes]
    """Of every image, by image id in the order of the split, its predicted label map: a PNG of class numbers."""
    names: list[str]
    """Of the images, in the same order."""
    ious: dict[int, float]
    """By image id the mean IoU of the classes in the image; of runs before this was kept, none."""

    def prediction(self, image_id: int) -> Segmentation:
        """The label map of an image."""
        with Image.open(io.BytesIO(self.pngs[image_id])) as image:
            return Segmentation(torch.from_numpy(np.array(image)))

    def write(self, folder: Path, split: str) -> None:
        """predictions_<split>/<name of the image>.png, which holds class numbers, and in mIoU.json the images' mIoU."""
        write_json(_ious_path(folder, split), {name: self.ious[image] for name, image in zip(self.names, self.pngs)})
        for name, png in zip(self.names, self.pngs.values(), strict=True):
            path = _path(folder, split, name)
            with atomic(path) as temporary:
                temporary.write_bytes(png)


def read(folder: Path, split: str, dataset: LabelMapImages, figures: dict[str, Any]) -> LabelMapEvaluation:
    """The inverse of `LabelMapEvaluation.write`. ValueError where the data have other classes."""
    check_classes(list(figures["per_class"]), dataset)
    pngs = {
        image_id: _path(folder, split, name).read_bytes()
        for image_id, name in zip(dataset.image_ids.tolist(), dataset.names, strict=True)
    }
    path = _ious_path(folder, split)
    kept = json.loads(path.read_text()) if path.exists() else {}
    ious = {image_id: kept[name] for image_id, name in zip(pngs, dataset.names) if name in kept}
    return LabelMapEvaluation(SemanticResult(**figures), pngs, dataset.names, ious)


class Kept(NamedTuple):
    """Of one image."""

    image_id: int
    places: np.ndarray
    """Of a confusion matrix that is 0 elsewhere, row by row ..."""
    counts: np.ndarray
    """... and the pixels counted there."""
    png: bytes
    """The predicted label map."""


def kept(image_id: int, target: Target, answer: Segmentation, dataset: LabelMapImages) -> Kept:
    """The pixels counted, and the map."""
    assert target.label_map is not None, "a data set of label maps"
    labels_HW = answer.labels.cpu()
    counts = confusion(labels_HW, target.label_map, len(dataset.classes)).flatten().numpy()
    places = np.flatnonzero(counts)
    return Kept(image_id, places, counts[places], _png(labels_HW))


def score(kept: Iterable[Kept], dataset: LabelMapImages, recipe: Recipe[Any]) -> LabelMapEvaluation:
    """The figures of all pixels together."""
    classes, pngs, ious = len(dataset.classes), {}, {}
    counts = np.zeros(classes**2, np.int64)
    for image in kept:
        counts[image.places] += image.counts
        pngs[image.image_id] = image.png
        ious[image.image_id] = mean_iou(image.places, image.counts, classes)
    figures = evaluate_semantic(torch.from_numpy(counts).reshape(classes, classes), dataset.classes)
    return LabelMapEvaluation(figures, {i: pngs[i] for i in dataset.image_ids.tolist()}, dataset.names, ious)


def views(data: Data) -> list[Data]:
    """One for each test scale; the window slides over each."""
    if not (data.test_scales or data.test_flip or data.test_window):
        return []
    return [at_scale(data, side) for side in data.test_scales or (data.test_short_side,)]


def at_scale(data: Data, side: int) -> Data:
    """The settings of an image whose short side is `side` instead of `test_short_side`; its bound grows with it."""
    long = round(data.max_long_side * side / data.test_short_side)
    bound = max(long, side)
    return replace(data, short_sides=(side,), test_short_side=side, test_scales=(), max_long_side=bound, canvas=None)


@torch.no_grad()
def predict_views(model: Any, views: list[View], recipe: Recipe[Any]) -> Segmentation:
    """The likeliest class of each pixel of the original image: the mean of all views' probabilities decides."""
    original = views[0].batch.original_sizes[0]
    align = model.config.align_corners
    total_1KHW: Tensor | None = None
    for view in views:
        logits = window_logits(model, view.batch, recipe.data.test_window)
        logits = logits.flip(-1) if view.flipped else logits
        probabilities = resize(logits, original, align).softmax(dim=1)
        total_1KHW = probabilities if total_1KHW is None else total_1KHW.add_(probabilities)
    assert total_1KHW is not None
    return Segmentation(total_1KHW[0].argmax(dim=0).to(torch.uint8))


def window_logits(model: Any, batch: Batch, window: Size | None) -> Tensor:
    """(1, K, H, W) float32 logits of one image's own pixels: of the whole image, or the mean over windows."""
    images = model.config.pixels(batch.images, batch.sizes)
    align = model.config.align_corners
    height, width = batch.sizes[0]
    images = images[:, :, :height, :width]
    if window is None:
        return resize(model.raw(images).logits.float(), (height, width), align)
    window = min(window[0], height), min(window[1], width)
    sums_1KHW = images.new_zeros(1, model.config.num_classes, height, width)
    seen_HW = images.new_zeros(height, width)
    for top in window_starts(height, window[0]):
        for left in window_starts(width, window[1]):
            rows, columns = slice(top, top + window[0]), slice(left, left + window[1])
            sums_1KHW[:, :, rows, columns] += resize(
                model.raw(images[:, :, rows, columns]).logits.float(), window, align
            )
            seen_HW[rows, columns] += 1
    return sums_1KHW.div_(seen_HW)


def window_starts(length: int, window: int) -> list[int]:
    """Where windows begin that cover `length`; the last one ends with it."""
    return starts(length, window, math.ceil(STEP * window))


def _png(labels_HW: Tensor) -> bytes:
    data = io.BytesIO()
    Image.fromarray(labels_HW.numpy()).save(data, "PNG")
    return data.getvalue()


def _ious_path(folder: Path, split: str) -> Path:
    return folder / f"predictions_{split}" / "mIoU.json"


def _path(folder: Path, split: str, name: str) -> Path:
    """Below the folder, however lists name their images."""
    parts = [part for part in PurePosixPath(name).parts if part not in ("/", "..")]
    return folder.joinpath(f"predictions_{split}", *parts[:-1], f"{parts[-1]}.png")


# Reports


def headline(metrics: Metrics) -> list[tuple[str, str]]:
    stats = metrics["val"]["stats"] if "val" in metrics else {}
    return [(name, f"{value:.3f}") for name, value in stats.items()]


def results(metrics: Metrics) -> list[tuple[str, str, dict[str, float]]]:
    return [(split, "pixels", found["stats"]) for split, found in metrics.items()]


def charts(metrics: Metrics) -> Iterator[tuple[str, str]]:
    for split, found in metrics.items():
        yield f"IoU by class, {split}", class_chart(found["per_class"], "IoU")
        if len(found["per_class"]) <= READABLE:
            yield f"Classes taken for others, {split}", confusion_chart(found["confusion"], list(found["per_class"]))


def study(evaluation: LabelMapEvaluation, dataset: LabelMapImages) -> Study:
    """Classes, what is taken for what, and the images of the least mIoU."""
    return label_map_study(evaluation.figures, evaluation.ious, evaluation.prediction, dataset)


def draw_truth(image: Tensor, target: Target, classes: Sequence[str], long_side: int) -> Image.Image:
    assert target.label_map is not None, "a data set of label maps"
    return draw_labels(image, target.label_map, classes, long_side)


# Predictions


def limited(model: Model, limits: Limits, recipe: Recipe[Any]) -> Model:
    """A label map has all its pixels."""
    if limits.given:
        raise ValueError(
            f"{recipe.row} gives every pixel a class; {', '.join(limits.given)} would choose among detections, leave"
            " that out (`filter` of an answer blanks the pixels of other classes)"
        )
    return model


def answered(answer: Segmentation, about: About, limits: Limits) -> LabelledPixels:
    return LabelledPixels(answer.labels, about=about)


def joined(found: Sequence[Segmentation], tiles: Sequence[Tile], size: Size, model: Model) -> Segmentation:
    """Each pixel as the tile sees it in whose middle it lies most."""
    return joined_labels(found, tiles, size)


@dataclass
class LabelMapWriter:
    """Each image drawn, its label map as a PNG of class numbers, and classes.txt."""

    output: Path
    classes: list[str]

    def add(self, file: Path, name: str, image: Tensor, answer: Segmentation) -> list[Path]:
        """Draw one image, and write its label map."""
        drawn, labels = self.output / f"{name}.png", self.output / "label_maps" / f"{name}.png"
        for path in (drawn, labels):
            path.parent.mkdir(parents=True, exist_ok=True)
        self.drawn(image, answer).save(drawn)
        label_image(answer.labels).save(labels)
        return [drawn, labels]

    def drawn(self, image: Tensor, answer: Segmentation) -> Image.Image:
        """Under the colours of its classes."""
        return draw_labels(image, answer.labels, self.classes)

    def finish(self) -> list[Path]:
        """Write classes.txt."""
        path = self.output / "classes.txt"
        path.write_text("".join(f"{name}\n" for name in self.classes), encoding="utf-8")
        return [path]


def writer(output: Path, classes: list[str], category_ids: Sequence[int], min_score: float) -> LabelMapWriter:
    """Label maps have no scores, and their numbers are positions in the list of classes."""
    return LabelMapWriter(output, classes)


def look(show: Show, model: Any, recipe: Recipe[Any], texture: Path | None) -> Look:
    """There is nothing but the label maps."""
    raise no_look(show, recipe)
