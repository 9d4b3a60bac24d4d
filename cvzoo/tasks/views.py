"""Test-time augmentation: one image seen several times, resized and mirrored, and what was found in it merged.

Boxes of all views compete in one NMS; the masks of those that are left are predicted in every view and averaged
(detectron2's GeneralizedRCNNWithTTA).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from cvzoo.data.config import Data
from cvzoo.data.dataset import Dataset
from cvzoo.data.loader import evaluation_batches
from cvzoo.engine import dist
from cvzoo.engine.place import place
from cvzoo.ops.boxes import flip_boxes, scale_boxes
from cvzoo.ops.detect import suppress, to_original
from cvzoo.recipes import Recipe
from cvzoo.structures import Batch, Prediction, Size


@runtime_checkable
class TwoStage(Protocol):
    """What a model must offer: the R-CNN family does. Those with a mask branch have `masks(maps, found)`, too."""

    config: Any

    def detections(self, batch: Batch) -> tuple[list[Prediction], list[Tensor]]:
        """In network pixels, labelled by network output; and the maps, for `masks`."""
        ...


class View(NamedTuple):
    """One way of looking at an image."""

    batch: Batch
    """Of this image alone, its canvas as large as itself."""
    flipped: bool
    """It has been mirrored left and right."""

    @property
    def size(self) -> Size:
        return self.batch.sizes[0]


def flipped(view: View) -> View:
    """The mirrored view."""
    batch = view.batch
    images = Batch(batch.images.flip(-1), batch.sizes, batch.original_sizes, batch.targets, batch.image_ids)
    return View(images, not view.flipped)


def views_of(dataset: Dataset, settings: Sequence[Data], recipe: Recipe, device: torch.device) -> Iterator[list[View]]:
    """Of one picture of this process after the other a view for each of the `settings`; with `data.test_flip` mirrored
    ones after them.
    """
    loaders = [evaluation_batches(dataset, data, batch=1, rank=dist.rank(), world=dist.world()) for data in settings]
    for batches in zip(*loaders, strict=True):
        views = [View(place(batch, recipe.run, device), flipped=False) for batch in batches]
        yield views + [flipped(view) for view in views] if recipe.data.test_flip else views


@torch.no_grad()
def predict_views(model: TwoStage, views: list[View]) -> Prediction:
    """The detections of the image in original pixels."""
    detect, original = model.config.box_head.detect, views[0].batch.original_sizes[0]
    seen = [model.detections(view.batch) for view in views]
    boxes = torch.cat([_to_original(found[0].boxes, view) for (found, _), view in zip(seen, views)])
    scores = torch.cat([found[0].scores for found, _ in seen])
    labels = torch.cat([found[0].labels for found, _ in seen])
    merged = suppress(Prediction(boxes, scores, labels), detect, original)
    masks = [mask for (_, maps), view in zip(seen, views) for mask in _masks(model, maps, merged, view)]
    mean = torch.stack(masks).mean(dim=0) if masks else None
    return to_original(merged, detect, original, original, model.config.class_ids, mean)


def _masks(model: Any, maps: list[Tensor], merged: Prediction, view: View) -> list[Tensor]:
    """One (D, S, S): what a view makes of the masks of the merged boxes; none from a model without masks."""
    if not hasattr(model, "masks"):
        return []
    boxes = scale_boxes(merged.boxes, view.batch.original_sizes[0], view.size)
    boxes = flip_boxes(boxes, view.size[1]) if view.flipped else boxes
    masks = model.masks(maps, [Prediction(boxes, merged.scores, merged.labels)])
    return [mask_DSS.flip(-1) if view.flipped else mask_DSS for mask_DSS in masks]


def _to_original(boxes_D4: Tensor, view: View) -> Tensor:
    boxes_D4 = flip_boxes(boxes_D4, view.size[1]) if view.flipped else boxes_D4
    return scale_boxes(boxes_D4, view.size, view.batch.original_sizes[0])
