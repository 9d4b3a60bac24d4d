"""An exported file as a model: it predicts, and that is all."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from cvzoo.nn.model import Model
from cvzoo.ops.boxes import scale_boxes
from cvzoo.ops.masks import paste_masks
from cvzoo.ops.surfaces import surfaces_of
from cvzoo.runtime.facts import Facts
from cvzoo.runtime.formats import open_exported
from cvzoo.structures import (
    Answer,
    Batch,
    BoxesWithMasks,
    BoxesWithSurfaces,
    BoxesWithWindows,
    Inferred,
    LabelMaps,
    Prediction,
    Segmentation,
    Size,
    size_of,
)


class Exported(Model):
    """Predicts as the model did that was exported; its thresholds are part of the graph."""

    fixed = True

    def __init__(self, path: Path) -> None:
        """ValueError where the file cannot be opened, or is none of ours. `config` is set by who knows the row."""
        super().__init__()
        self.path = path
        self.facts, self._run = open_exported(path)
        self.predicts_masks = "masks" in self.facts.outputs

    def raw(self, images_N3HW: Tensor) -> Any:
        raise ValueError(self._cannot("has no inner outputs"))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        raise ValueError(self._cannot("cannot be trained"))

    def _cannot(self, what: str) -> str:
        return f"{self.path} is an exported file, which {what}; take the weights that it was exported from"

    def for_inference(self) -> Self:
        return self

    def infer(self, images_N3HW: Tensor, sizes_N2: Tensor) -> Inferred:
        found = self._run(images_N3HW, sizes_N2)
        kind = next(kind for kind in get_args(Inferred) if set(kind._fields) == set(found))
        return kind(**found)

    @torch.no_grad()
    def predict(self, batch: Batch) -> list[Answer]:
        sizes_N2 = torch.tensor(batch.sizes, dtype=torch.int64)
        found = self.infer(on_canvas(batch.images, self.facts, str(self.path)), sizes_N2)
        places = list(zip(batch.sizes, batch.original_sizes))
        if isinstance(found, LabelMaps):
            return [_label_map(own, *place) for own, place in zip(found.labels, places)]
        masks = found.masks if isinstance(found, BoxesWithMasks | BoxesWithWindows) else [None] * len(batch)
        windows = found.windows if isinstance(found, BoxesWithWindows) else found.boxes
        parts = zip(zip(found.boxes, found.scores, found.labels, masks, windows), places)
        answers = [_detections(*one, *place) for one, place in parts]
        if isinstance(found, BoxesWithSurfaces):
            rows = torch.arange(len(found.coarse)).split([len(answer) for answer in answers])
            for answer, row_D in zip(answers, rows):
                answer.surfaces = surfaces_of(found, row_D, answer.boxes)
        return list[Answer](answers)


def on_canvas(images_N3HW: Tensor, facts: Facts, graph: str) -> Tensor:
    """Images filled up with 0 to a size that a graph takes. ValueError, naming the `graph`, where they are larger."""
    height, width = size_of(images_N3HW)
    free = [max(side + -side % facts.divisor, facts.smallest) for side in (height, width)]
    canvas = facts.canvas or free
    if height > canvas[0] or width > canvas[1]:
        raise ValueError(f"{graph} takes images of up to {canvas[0]} x {canvas[1]}, not {height} x {width}")
    return F.pad(images_N3HW, (0, canvas[1] - width, 0, canvas[0] - height)).contiguous()


def _detections(
    boxes: Tensor,
    scores: Tensor,
    labels: Tensor,
    masks: Tensor | None,
    windows: Tensor,
    size: Size,
    original_size: Size,
) -> Prediction:
    """Those of one image, in its original pixels. Masks lie in the windows."""
    count = int((scores > 0).sum())
    found = Prediction(scale_boxes(boxes[:count], size, original_size), scores[:count].float(), labels[:count])
    if masks is not None:
        found.masks = paste_masks(masks[:count], scale_boxes(windows[:count], size, original_size), original_size)
    return found


def _label_map(labels_HW: Tensor, size: Size, original_size: Size) -> Segmentation:
    """Of one image: each original pixel has the class of the nearest one that the network saw."""
    own = labels_HW[None, None, : size[0], : size[1]]
    return Segmentation(F.interpolate(own, size=original_size, mode="nearest-exact")[0, 0])
