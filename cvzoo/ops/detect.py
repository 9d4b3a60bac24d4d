"""From scored candidates to the detections of one image. Shared by all detectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from cvzoo.fields import Count, NotNegative, Share
from cvzoo.ops.boxes import clip_boxes, longer_than, scale_boxes
from cvzoo.ops.class_ids import classes_of
from cvzoo.ops.masks import paste_masks
from cvzoo.structures import Prediction, Size


@dataclass(frozen=True, kw_only=True)
class DetectConfig:
    """Which candidates become detections; the references differ in the details."""

    score_threshold: Share = 0.05
    """Candidates must score more than this."""
    nms_threshold: Share = 0.5
    """Of two boxes of a class with a higher IoU the lower-scored goes."""
    detections: Count = 100
    """At most this many detections per image."""
    clip_first: bool = True
    """Clip boxes to the image before NMS (torchvision, mmdetection, R-CNNs) or after it (detectron2's dense models)."""
    min_side: NotNegative | None = 0.0
    """Drop boxes with a side of at most this many pixels once clipped; None keeps all (torchvision's dense models)."""
    drop_first: bool = False
    """Drop too small boxes before NMS (torchvision, mmdetection), or at the end, having taken places (detectron2)."""


def best_pairs(values_MK: Tensor, above: float, count: int) -> tuple[Tensor, Tensor]:
    """Candidate and class (P,) of at most `count` pairs whose value exceeds `above`; the best ones, in any order.

    Any value that rises with the score will do: logits save a sigmoid for the millions of pairs that go.
    """
    values = values_MK.reshape(-1)
    index_P = torch.where(values > above)[0]
    if len(index_P) > count:
        index_P = index_P[values[index_P].topk(count).indices]
    return index_P // values_MK.shape[1], index_P % values_MK.shape[1]


def detect(
    candidates: Prediction, config: DetectConfig, size: Size, original_size: Size, class_ids: tuple[int, ...] = ()
) -> Prediction:
    """The detections of one image in original pixels, from its candidates in network pixels."""
    return to_original(suppress(candidates, config, size), config, size, original_size, class_ids)


def suppress(candidates: Prediction, config: DetectConfig, size: Size) -> Prediction:
    """Class-wise NMS of one image's candidates (network pixels, any order); the best ones by falling score."""
    return suppressed(candidates, config, size)[0]


def suppressed(candidates: Prediction, config: DetectConfig, size: Size) -> tuple[Prediction, Tensor]:
    """`suppress`, and which candidates (D,) the detections were."""
    if config.clip_first:
        candidates = replace(candidates, boxes=clip_boxes(candidates.boxes, size))
    rows = None
    if config.drop_first:
        rows = torch.where(_large(candidates, config))[0]
        candidates = candidates[rows]
    keep = batched_nms(candidates.boxes, candidates.scores, candidates.labels, config.nms_threshold)
    keep = keep[: config.detections]
    return candidates[keep], keep if rows is None else rows[keep]


def to_original(
    found: Prediction,
    config: DetectConfig,
    size: Size,
    original_size: Size,
    class_ids: tuple[int, ...] = (),
    masks_DSS: Tensor | Sequence[Tensor] | None = None,
    windows_D4: Tensor | None = None,
) -> Prediction:
    """The detections of one image in original pixels, with their masks pasted where there are any.

    `masks_DSS` are the probabilities of the pixels under each box, or under each of `windows_D4` (network pixels).
    """
    moved, kept = boxes_to_original(found, config, size, original_size, class_ids)
    if masks_DSS is not None:
        places = moved.boxes if windows_D4 is None else scale_boxes(windows_D4, size, original_size)[kept]
        masks = masks_DSS[kept] if isinstance(masks_DSS, Tensor) else [masks_DSS[row] for row in kept.tolist()]
        moved.masks = paste_masks(masks, places, original_size)
    return moved


def boxes_to_original(
    found: Prediction, config: DetectConfig, size: Size, original_size: Size, class_ids: tuple[int, ...] = ()
) -> tuple[Prediction, Tensor]:
    """The boxes of one image in original pixels, and the rows of `found` they come from: those that are kept.

    Their labels are network outputs; `class_ids` (see ops/class_ids.py) turns them into classes of the data set.
    """
    boxes = scale_boxes(found.boxes, size, original_size)
    boxes = boxes if config.clip_first else clip_boxes(boxes, original_size)
    moved = Prediction(boxes, found.scores, classes_of(found.labels, class_ids))
    keep_D = moved.labels >= 0
    if not config.drop_first:
        keep_D &= _large(moved, config)
    kept = torch.where(keep_D)[0]
    return moved[kept], kept


def _large(candidates: Prediction, config: DetectConfig) -> Tensor:
    """(D,) bool: the boxes that are not too small to keep."""
    if config.min_side is None:
        return torch.ones_like(candidates.labels, dtype=torch.bool)
    return longer_than(candidates.boxes, config.min_side)
