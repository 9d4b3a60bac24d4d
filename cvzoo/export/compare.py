"""Whether an exported file answers as its model does, and how fast: at sizes that were not traced, and on real images.

Answers are compared in the pixels that the network sees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cvzoo.data.build import build_dataset
from cvzoo.data.config import Data
from cvzoo.data.shapes import draw_for
from cvzoo.data.transforms import eval_resize
from cvzoo.engine.bench import image_size
from cvzoo.engine.measure import median_seconds
from cvzoo.nn.model import Model
from cvzoo.ops.boxes import paired_iou
from cvzoo.recipes import Recipe
from cvzoo.runtime.model import Exported
from cvzoo.structures import Batch, Prediction, Sample, Segmentation, Size

IMAGES = 4
"""Real images that are compared."""
NEAR_PIXELS, NEAR_SCORE = 0.5, 0.01
"""Detections of one class agree whose sides are so near, or whose IoU is over 0.95, and whose scores are, too."""
AGREEMENT = 0.98
"""What an fp32 file must reach."""


class Case(NamedTuple):
    """Answers to one batch of images, and seconds per image."""

    what: str
    agreement: float
    """Share of the detections, or of the pixels, that both have."""
    detections: int
    """Of the model; pixels for label maps."""
    difference: float
    """The largest of the scores of detections that agree."""
    pixels: float
    """The largest of their boxes' sides."""
    eager: float
    exported: float


@dataclass(frozen=True)
class Comparison:
    """All cases."""

    cases: list[Case]

    def check(self, path: Path, precision: str) -> None:
        """ValueError where a file is not what it should be."""
        worst = min(self.cases, key=lambda case: case.agreement)
        if precision == "fp32" and worst.agreement < AGREEMENT:
            raise ValueError(
                f"{path} does not answer as its model does: of {worst.what} they agree in {worst.agreement:.1%} of"
                f" {worst.detections}. Do not use it"
            )

    def lines(self) -> Iterator[str]:
        """As a table."""
        yield f"{'':<24}{'agree':>9}{'of':>10}{'score +-':>10}{'pixels +-':>10}{'eager s':>9}{'file s':>9}{'ratio':>7}"
        for c in self.cases:
            yield (
                f"{c.what:<24}{c.agreement:>9.2%}{c.detections:>10}{c.difference:>10.2g}{c.pixels:>10.2g}"
                f"{c.eager:>9.3f}{c.exported:>9.3f}{c.exported / c.eager:>7.2f}"
            )


def compared(model: Model, exported: Exported, recipe: Recipe[Any], iterations: int = 3) -> Comparison:
    """Both models on drawn images of two sizes and on some of the recipe's validation images, if they are there."""
    device = next(model.parameters()).device
    cases = []
    for what, batch in _batches(recipe):
        batch.images = exported.on_canvas(batch.images)  # the same for both: cells beyond an image see its canvas
        batch = batch.to(device)
        found = [one.to("cpu") for one in model.predict(batch)]
        agreed = _agreement(found, exported.predict(batch))
        seconds = [_seconds(one.predict, batch, device, iterations) / len(batch) for one in (model, exported)]
        cases.append(Case(what, *agreed, *seconds))
    return Comparison(cases)


def _seconds(predict: Callable[[Batch], object], batch: Batch, device: torch.device, iterations: int) -> float:
    return median_seconds(lambda: predict(batch), device, warmup=1, iterations=iterations)


def _batches(recipe: Recipe[Any]) -> Iterator[tuple[str, Batch]]:
    for size in _sizes(recipe.data):
        drawn = [draw_for(recipe.data, size, objects=6, seed=seed) for seed in range(2)]
        yield f"drawn, {size[0]} x {size[1]}", _batch(drawn, recipe.data)
    try:
        dataset: Any = build_dataset(recipe.data, "val")
    except (ValueError, OSError):  # the data are elsewhere; the drawn images must do
        return
    for number, sample in enumerate(islice(iter(dataset), IMAGES)):
        yield f"validation image {number + 1}", _batch([eval_resize(sample, recipe.data)], recipe.data)


def _sizes(data: Data) -> tuple[Size, Size]:
    """Two that the recipe may see, neither of them the canvas a graph is traced on."""
    height, width = image_size(data)
    return (height, width), (width * 3 // 4, height * 3 // 4) if data.canvas is None else (height * 3 // 4, width)


def _batch(samples: list[Sample], data: Data) -> Batch:
    for number, sample in enumerate(samples):
        sample.image_id, sample.original_size = number, sample.size
    return Batch.collate(samples, data.canvas)


def _agreement(ours: list[Any], theirs: list[Any]) -> tuple[float, int, float, float]:
    """Share and number of what both have, and the largest differences of scores and of sides of boxes."""
    pairs = [_same(*pair) for pair in zip(ours, theirs, strict=True)]
    same, count, scores, pixels = (list(values) for values in zip(*pairs))
    return sum(same) / max(sum(count), 1) if sum(count) else 1.0, sum(count), max(scores), max(pixels)


def _same(ours: Prediction | Segmentation, theirs: Prediction | Segmentation) -> tuple[int, int, float, float]:
    """How many agree of how many, and how far those that agree are apart."""
    if isinstance(ours, Segmentation):
        assert isinstance(theirs, Segmentation)
        return int((ours.labels == theirs.labels).sum()), ours.labels.numel(), 0.0, 0.0
    assert isinstance(theirs, Prediction)
    if not len(ours) or not len(theirs):
        return 0, max(len(ours), len(theirs)), 0.0, 0.0
    sides_OT = (ours.boxes[:, None] - theirs.boxes).abs().amax(dim=2)
    scores_OT = (ours.scores[:, None] - theirs.scores).abs()
    far_OT = sides_OT + 1000 * scores_OT + 1e6 * (ours.labels[:, None] != theirs.labels)
    nearest_O = far_OT.argmin(dim=1)
    row_O = torch.arange(len(ours))
    near_O = _near(ours.boxes, theirs.boxes[nearest_O]) & (scores_OT[row_O, nearest_O] <= NEAR_SCORE)
    near_O &= ours.labels == theirs.labels[nearest_O]
    if not near_O.any():
        return 0, max(len(ours), len(theirs)), 0.0, 0.0
    scores, sides = (x[row_O, nearest_O][near_O].max().item() for x in (scores_OT, sides_OT))
    return int(near_O.sum()), max(len(ours), len(theirs)), scores, sides


def _near(boxes_O4: Tensor, others_O4: Tensor) -> Tensor:
    sides_O = (boxes_O4 - others_O4).abs().amax(dim=1)
    return (sides_O <= NEAR_PIXELS) | (paired_iou(boxes_O4, others_O4) > 0.95)
