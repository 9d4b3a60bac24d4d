"""From scored candidates to the detections of one image. Shared by all detectors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torchvision.ops import batched_nms

from cvzoo.ops.boxes import clip_boxes, longer_than, scale_boxes
from cvzoo.ops.classes import classes_of
from cvzoo.structures import Prediction, Size


@dataclass(frozen=True, kw_only=True)
class DetectConfig:
    """Which candidates become detections; the references differ in the details."""

    score_threshold: float = 0.05
    """Candidates must score more than this."""
    nms_threshold: float = 0.5
    """Of two boxes of a class with a higher IoU the lower-scored goes."""
    detections: int = 100
    """At most this many per image."""
    clip_first: bool = True
    """Clip boxes to the image before NMS (torchvision, mmdetection, R-CNNs) or after it (detectron2's dense models)."""
    min_side: float | None = 0.0
    """Drop boxes with a side of at most this many pixels once clipped; None keeps all (torchvision's RetinaNet)."""
    drop_first: bool = False
    """Drop them before NMS (torchvision, mmdetection), or at the end (detectron2), where they have taken a place."""


def detect(
    candidates: Prediction, config: DetectConfig, size: Size, original_size: Size, class_ids: tuple[int, ...] = ()
) -> Prediction:
    """Class-wise NMS of one image's candidates (network pixels, any order); the best ones in original pixels.

    Their labels are network outputs; `class_ids` (see ops/classes.py) turns them into classes of the data set.
    """
    if config.clip_first:
        candidates.boxes = clip_boxes(candidates.boxes, size)
    if config.drop_first:
        candidates = _drop_small(candidates, config)
    keep = batched_nms(candidates.boxes, candidates.scores, candidates.labels, config.nms_threshold)
    found = candidates[keep[: config.detections]]
    found.boxes = scale_boxes(found.boxes, size, original_size)
    if not config.clip_first:
        found.boxes = clip_boxes(found.boxes, original_size)
    if not config.drop_first:
        found = _drop_small(found, config)
    found.labels = classes_of(found.labels, class_ids)
    return found[found.labels >= 0] if class_ids else found


def _drop_small(candidates: Prediction, config: DetectConfig) -> Prediction:
    if config.min_side is None:
        return candidates
    return candidates[torch.where(longer_than(candidates.boxes, config.min_side))[0]]
