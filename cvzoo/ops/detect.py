"""From scored candidates to the detections of one image. Shared by all detectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import batched_nms, nms

from cvzoo.fields import Count, NotNegative, Share
from cvzoo.ops.boxes import clip_boxes, longer_than, scale_boxes, xyxy
from cvzoo.ops.class_ids import classes_of
from cvzoo.ops.masks import paste_masks
from cvzoo.structures import Boxes, Prediction, Size

COLUMNS = 16
"""Of the square in which the classes of an image are laid out."""


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


def best_of_batch(values_NMK: Tensor, above: float, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """`best_pairs` of several images in tensors of a fixed shape: value, candidate and class (N, count), best first.

    Where fewer values exceed `above` the rest is -inf. The best pairs are all among as many best candidates.
    """
    classes, last = values_NMK.shape[2], values_NMK.shape[1] - 1
    best_NM = F.pad(values_NMK.amax(dim=2), (0, count), value=-torch.inf)
    best_NR, row_NR = best_NM.topk(count)
    row_NR = row_NR.clamp(max=last)
    values_NRK = gather_rows(values_NMK, row_NR).masked_fill(best_NR[..., None] == -torch.inf, -torch.inf)
    value_NP, place_NP = values_NRK.flatten(1).topk(count)
    value_NP = value_NP.masked_fill(value_NP <= above, -torch.inf)
    return value_NP, row_NR.gather(1, place_NP // classes), place_NP % classes


def gather_rows(x_NMD: Tensor, row_NP: Tensor) -> Tensor:
    """(N, P, D): of each image the rows asked for."""
    return x_NMD.gather(1, row_NP[..., None].expand(-1, -1, x_NMD.shape[2]))


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
        rows = torch.where(_large(candidates.boxes, config))[0]
        candidates = candidates[rows]
    keep = batched_nms(candidates.boxes, candidates.scores, candidates.labels, config.nms_threshold)
    keep = keep[: config.detections]
    return candidates[keep], keep if rows is None else rows[keep]


def suppress_batch(
    candidates: Boxes, config: DetectConfig, sizes_N2: Tensor, class_ids: tuple[int, ...] = ()
) -> tuple[Boxes, Tensor]:
    """`detect` of several images at once, in network pixels and tensors of fixed shapes: what is exported.

    Returns: the best `config.detections` of each image, and which candidates (N, D) they were.
    """
    boxes_NP4, scores_NP, labels_NP = candidates
    limits_N14 = xyxy(sizes_N2).to(boxes_NP4.dtype)
    if config.clip_first:
        boxes_NP4 = boxes_NP4.clamp(min=0).minimum(limits_N14)
    valid_NP = scores_NP > 0
    if config.drop_first:
        valid_NP &= _large(boxes_NP4, config)
    kept_NP = kept_of_batch(Boxes(boxes_NP4, scores_NP, labels_NP), valid_NP, config.nms_threshold)
    scores_NP = F.pad(scores_NP * kept_NP, (0, config.detections))  # there may be fewer candidates
    scores_ND, row_ND = scores_NP.topk(config.detections)
    row_ND = row_ND.clamp(max=labels_NP.shape[1] - 1)
    boxes_ND4 = gather_rows(boxes_NP4, row_ND)
    if not config.clip_first:
        boxes_ND4 = boxes_ND4.clamp(min=0).minimum(limits_N14)
    labels_ND = classes_of(labels_NP.gather(1, row_ND), class_ids)
    if not config.drop_first or class_ids:  # what goes now has taken the place of others
        good_ND = (labels_ND >= 0) & (_large(boxes_ND4, config) if not config.drop_first else True)
        scores_ND, order_ND = (scores_ND * good_ND).topk(config.detections)
        boxes_ND4, labels_ND = gather_rows(boxes_ND4, order_ND), labels_ND.gather(1, order_ND)
        row_ND = row_ND.gather(1, order_ND)
    found_ND = scores_ND > 0
    return Boxes(boxes_ND4 * found_ND[..., None], scores_ND, labels_ND * found_ND), row_ND


def kept_of_batch(candidates: Boxes, valid_NP: Tensor, threshold: float) -> Tensor:
    """(N, P) bool: what NMS leaves of each class of each image; all at once, in places where they do not meet."""
    boxes_NP4, scores_NP, labels_NP = candidates
    row_V = torch.where(valid_NP.flatten())[0]
    boxes_V4, labels_V = boxes_NP4.flatten(0, 1)[row_V], labels_NP.flatten()[row_V]
    image_V = row_V // labels_NP.shape[1]
    # a square of places for the classes, whose coordinates stay small enough for their precision; padded, since there
    # may be no box
    span = F.pad(boxes_V4.abs().flatten(), (0, 1), value=1.0).amax(dim=0) * 2 + 1
    rows = F.pad(labels_V, (0, 1)).amax(dim=0) // COLUMNS + 1
    place_V2 = torch.stack([labels_V % COLUMNS, image_V * rows + labels_V // COLUMNS], dim=1)
    kept = nms(boxes_V4 + (place_V2 * span).repeat(1, 2), scores_NP.flatten()[row_V], threshold)
    kept_M = torch.zeros_like(valid_NP).flatten().index_fill(0, row_V[kept], True)
    return kept_M.view_as(valid_NP)


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
        keep_D &= _large(moved.boxes, config)
    kept = torch.where(keep_D)[0]
    return moved[kept], kept


def _large(boxes: Tensor, config: DetectConfig) -> Tensor:
    """Bool: which boxes (..., 4) are not too small to keep."""
    if config.min_side is None:
        return torch.ones_like(boxes[..., 0], dtype=torch.bool)
    return longer_than(boxes, config.min_side)
