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
from cvzoo.ops import rle
from cvzoo.ops.boxes import paired_iou
from cvzoo.recipes import Recipe
from cvzoo.runtime.model import Exported, on_canvas
from cvzoo.structures import RLE, Batch, Prediction, Sample, Segmentation, Size, size_of

IMAGES = 4
"""Real images that are compared."""
NEAR_PIXELS, NEAR_SCORE = 0.5, 0.01
"""Detections of one class agree whose sides are so near, or whose IoU is over 0.95, and whose scores are, too."""
AGREEMENT = 0.98
"""What an fp32 file must reach."""
ROUNDED_SHAPES = 0.75
"""What shapes must reach in any other precision. Rounding moves their edges; which of many faint detections there are
it may change at will."""


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
    shapes: float | None
    """Of detections that agree, the mean IoU of their masks, or the mean share of a body's pixels that both say to be
    of one part; None where there are no such."""
    eager: float
    exported: float


@dataclass(frozen=True)
class Comparison:
    """All cases."""

    cases: list[Case]

    def check(self, path: Path, precision: str) -> None:
        """ValueError where a file is not what it should be."""
        is_exact = precision == "fp32"
        start, end = f"{path} does not answer as its model does: of", "Do not use it"
        worst = min(self.cases, key=lambda case: case.agreement)
        if is_exact and worst.agreement < AGREEMENT:
            raise ValueError(f"{start} {worst.what} they agree in {worst.agreement:.1%} of {worst.detections}. {end}")
        for case in self.cases:
            if case.shapes is not None and case.shapes < (AGREEMENT if is_exact else ROUNDED_SHAPES):
                raise ValueError(f"{start} {case.what} the shapes in equal boxes agree in {case.shapes:.1%}. {end}")

    def lines(self) -> Iterator[str]:
        """As a table."""
        heads = f"{'agree':>9}{'of':>10}{'score +-':>10}{'pixels +-':>10}{'shapes':>9}"
        yield f"{'':<24}{heads}{'eager s':>9}{'file s':>9}{'ratio':>7}"
        for c in self.cases:
            shapes = "-" if c.shapes is None else f"{c.shapes:.2%}"
            yield (
                f"{c.what:<24}{c.agreement:>9.2%}{c.detections:>10}{c.difference:>10.2g}{c.pixels:>10.2g}{shapes:>9}"
                f"{c.eager:>9.3f}{c.exported:>9.3f}{c.exported / c.eager:>7.2f}"
            )


def compared(model: Model, exported: Exported, recipe: Recipe[Any], iterations: int = 3) -> Comparison:
    """Both models on drawn images of two sizes and on some of the recipe's validation images, if they are there."""
    device = next(model.parameters()).device
    cases = []
    for what, batch in _batches(recipe):
        # the same for both: cells beyond an image see its canvas
        batch.images = on_canvas(batch.images, exported.facts, str(exported.path))
        batch = batch.to(device)
        found = [one.to("cpu") for one in model.predict(batch)]
        agreed = agreement(found, exported.predict(batch))
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


class _Same(NamedTuple):
    """What two answers to an image have in common."""

    same: int
    of: int
    scores: float = 0.0
    pixels: float = 0.0
    shapes: list[float] | None = None
    """Of each detection that agrees."""


def agreement(ours: list[Any], theirs: list[Any]) -> tuple[float, int, float, float, float | None]:
    """The figures of a `Case`, from `agreement` to `shapes`."""
    found = [_same(*pair) for pair in zip(ours, theirs, strict=True)]
    count = sum(one.of for one in found)
    share = sum(one.same for one in found) / count if count else 1.0
    shapes = [shape for one in found for shape in one.shapes or ()]
    differences = max(one.scores for one in found), max(one.pixels for one in found)
    return share, count, *differences, sum(shapes) / len(shapes) if shapes else None


def _same(ours: Prediction | Segmentation, theirs: Prediction | Segmentation) -> _Same:
    if isinstance(ours, Segmentation):
        assert isinstance(theirs, Segmentation)
        return _Same(int((ours.labels == theirs.labels).sum()), ours.labels.numel())
    assert isinstance(theirs, Prediction)
    count = max(len(ours), len(theirs))
    if not len(ours) or not len(theirs):
        return _Same(0, count)
    sides_OT = (ours.boxes[:, None] - theirs.boxes).abs().amax(dim=2)
    scores_OT = (ours.scores[:, None] - theirs.scores).abs()
    far_OT = sides_OT + 1000 * scores_OT + 1e6 * (ours.labels[:, None] != theirs.labels)
    nearest_O = far_OT.argmin(dim=1)
    row_O = torch.arange(len(ours))
    near_O = _near(ours.boxes, theirs.boxes[nearest_O]) & (scores_OT[row_O, nearest_O] <= NEAR_SCORE)
    near_O &= ours.labels == theirs.labels[nearest_O]
    if not near_O.any():
        return _Same(0, count)
    scores, sides = (x[row_O, nearest_O][near_O].max().item() for x in (scores_OT, sides_OT))
    shapes = _shapes(ours[near_O], theirs[nearest_O[near_O]])
    return _Same(int(near_O.sum()), count, scores, sides, shapes)


def _shapes(ours: Prediction, theirs: Prediction) -> list[float] | None:
    """How far the masks or surfaces of the same detections agree; None where there are none."""
    if ours.surfaces is not None and theirs.surfaces is not None:
        return [_same_parts(*pair) for pair in zip(ours.surfaces, theirs.surfaces)]
    if ours.masks is not None and theirs.masks is not None:
        return [_mask_iou(*pair) for pair in zip(ours.masks, theirs.masks)]
    return None


def _mask_iou(ours: RLE, theirs: RLE) -> float:
    either = rle.area(rle.union([ours, theirs]))
    return rle.area(rle.intersection([ours, theirs])) / either if either else 1.0


def _same_parts(ours_3HW: Tensor, theirs_3HW: Tensor) -> float:
    """Boxes that differ by less than nothing may have a row or a column of whole pixels more."""
    height, width = (min(sides) for sides in zip(size_of(ours_3HW), size_of(theirs_3HW)))
    ours_HW, theirs_HW = (x[0, :height, :width] for x in (ours_3HW, theirs_3HW))
    either = int(((ours_HW > 0) | (theirs_HW > 0)).sum())
    return int(((ours_HW == theirs_HW) & (ours_HW > 0)).sum()) / either if either else 1.0


def _near(boxes_O4: Tensor, others_O4: Tensor) -> Tensor:
    sides_O = (boxes_O4 - others_O4).abs().amax(dim=1)
    return (sides_O <= NEAR_PIXELS) | (paired_iou(boxes_O4, others_O4) > 0.95)
