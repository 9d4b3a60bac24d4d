"""Evaluation of label maps: every pixel of every picture is predicted, and all are counted in one confusion matrix.

A picture can be looked at whole, through a sliding window, at several scales and mirrored. Shape suffixes: K classes,
H W pixels.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cvzoo.data.config import Data
from cvzoo.data.dataset import LabelMapPictures
from cvzoo.engine import dist
from cvzoo.engine.augmented import View, views_of
from cvzoo.engine.checkpoint import atomic
from cvzoo.engine.place import autocast
from cvzoo.metrics.semantic import SemanticResult, confusion, evaluate_semantic
from cvzoo.ops.resize import resize
from cvzoo.recipes import Recipe
from cvzoo.structures import Batch, Segmentation, Size

STEP = 2 / 3
"""A window moves on by this share of itself (Zhao et al.'s PSPNet; mmsegmentation's 513 of 769)."""


@dataclass
class PixelEvaluation:
    """The figures of one split and the label maps they were computed from; the same in every process."""

    figures: SemanticResult
    pngs: dict[int, bytes]
    """Of every picture, by image id in the order of the split, its predicted label map: a PNG of class numbers."""
    names: list[str]
    """Of the pictures, in the same order."""

    def prediction(self, image_id: int) -> Segmentation:
        """The label map of a picture."""
        with Image.open(io.BytesIO(self.pngs[image_id])) as image:
            return Segmentation(torch.from_numpy(np.array(image)))

    def write(self, folder: Path, split: str) -> None:
        """predictions_<split>/<name of the picture>.png, which holds class numbers."""
        for name, png in zip(self.names, self.pngs.values(), strict=True):
            path = _path(folder, split, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic(path) as temporary:
                temporary.write_bytes(png)

    @staticmethod
    def read(folder: Path, split: str, dataset: LabelMapPictures, figures: dict[str, Any]) -> PixelEvaluation:
        """The inverse of `write`, with the split's part of metrics.json."""
        pngs = {
            image_id: _path(folder, split, name).read_bytes()
            for image_id, name in zip(dataset.image_ids.tolist(), dataset.names, strict=True)
        }
        return PixelEvaluation(SemanticResult(**figures), pngs, dataset.names)


def evaluate_pixels(model: Any, dataset: LabelMapPictures, recipe: Recipe, device: torch.device) -> PixelEvaluation:
    """Predict every picture of `dataset` at batch 1 and count its pixels by true and predicted class."""
    classes = len(dataset.classes)
    counts_KK, pngs = torch.zeros(classes, classes, dtype=torch.int64), {}
    for image_id, truth_HW, found in _look(model, dataset, recipe, device):
        labels_HW = found.labels.cpu()
        counts_KK += confusion(labels_HW, truth_HW, classes)
        pngs[image_id] = _png(labels_HW)
    parts = dist.gather((counts_KK, pngs))
    merged = {image_id: png for _, part in parts for image_id, png in part.items()}
    figures = evaluate_semantic(torch.stack([counts for counts, _ in parts]).sum(dim=0), dataset.classes)
    return PixelEvaluation(figures, {i: merged[i] for i in dataset.image_ids.tolist()}, dataset.names)


def _look(
    model: Any, dataset: LabelMapPictures, recipe: Recipe, device: torch.device
) -> Iterator[tuple[int, Tensor, Segmentation]]:
    """Image id, true label map and prediction of every picture of this process."""
    data, whole = recipe.data, not (recipe.data.test_scales or recipe.data.test_flip or recipe.data.test_window)
    sides = data.test_scales or (data.test_short_side,)
    for views in views_of(dataset, [data] if whole else [at_scale(data, side) for side in sides], recipe, device):
        batch = views[0].batch
        with autocast(recipe.run, device):
            (found,) = model.predict(batch) if whole else [predict_views(model, views, data.test_window)]
        label_map = batch.targets[0].label_map
        assert label_map is not None, "a data set of label maps"
        yield batch.image_ids[0], label_map.cpu(), found


def at_scale(data: Data, side: int) -> Data:
    """The settings of a picture whose short side is `side` instead of `test_short_side`; its bound grows with it."""
    long = round(data.max_long_side * side / data.test_short_side)
    bound = max(long, side)
    return replace(data, short_sides=(side,), test_short_side=side, test_scales=(), max_long_side=bound, canvas=None)


@torch.no_grad()
def predict_views(model: Any, views: list[View], window: Size | None) -> Segmentation:
    """The likeliest class of each pixel of the original image: the mean of all views' probabilities decides."""
    original, align = views[0].batch.original_sizes[0], model.config.align_corners
    total_1KHW: Tensor | None = None
    for view in views:
        logits = window_logits(model, view.batch, window)
        logits = logits.flip(-1) if view.flipped else logits
        probabilities = resize(logits, original, align).softmax(dim=1)
        total_1KHW = probabilities if total_1KHW is None else total_1KHW.add_(probabilities)
    assert total_1KHW is not None
    return Segmentation(total_1KHW[0].argmax(dim=0).to(torch.uint8))


def window_logits(model: Any, batch: Batch, window: Size | None) -> Tensor:
    """(1, K, H, W) float32 logits of one image's own pixels: of the whole image, or the mean over windows."""
    images, align = model.config.pixels(batch.images, batch.sizes), model.config.align_corners
    height, width = batch.sizes[0]
    images = images[:, :, :height, :width]
    if window is None:
        return resize(model.raw(images).logits.float(), (height, width), align)
    window = min(window[0], height), min(window[1], width)
    sums_1KHW = images.new_zeros(1, model.config.num_classes, height, width)
    seen_HW = images.new_zeros(height, width)
    for top in starts(height, window[0]):
        for left in starts(width, window[1]):
            rows, columns = slice(top, top + window[0]), slice(left, left + window[1])
            sums_1KHW[:, :, rows, columns] += resize(
                model.raw(images[:, :, rows, columns]).logits.float(), window, align
            )
            seen_HW[rows, columns] += 1
    return sums_1KHW.div_(seen_HW)


def starts(length: int, window: int) -> list[int]:
    """Where windows begin that cover `length`; the last one ends with it."""
    step = math.ceil(STEP * window)
    count = math.ceil((length - window) / step) + 1
    return [min(number * step, length - window) for number in range(count)]


def _png(labels_HW: Tensor) -> bytes:
    data = io.BytesIO()
    Image.fromarray(labels_HW.numpy()).save(data, "PNG")
    return data.getvalue()


def _path(folder: Path, split: str, name: str) -> Path:
    return folder / f"predictions_{split}" / f"{name}.png"
