"""Which candidate (anchor, proposal, point) learns which ground-truth box.

No function here waits for a GPU, but `targets_of_batch` once.
Shape suffixes: N images, A or M candidates, G ground-truth boxes, O those of all images, P positive candidates of all
images, T nearest ones.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from cvzoo.ops.boxes import area, pairwise_iou
from cvzoo.ops.class_ids import outputs_of
from cvzoo.ops.transfer import on_device
from cvzoo.structures import Target

BACKGROUND = -1
IGNORED = -2
WITHOUT_MATRIX_PRODUCT = "donot_use_mm_for_euclid_dist"
"""torch.cdist by differences: its products lose the digits that tell near anchors apart."""


class Match(NamedTuple):
    """The assignment of one image's A candidates to its G ground-truth boxes."""

    index_A: Tensor
    """(A,) int64: the ground-truth box of each candidate; meaningful where `positive`."""
    positive_A: Tensor
    """(A,) bool."""
    negative_A: Tensor
    """(A,) bool; candidates that are neither are ignored by the loss."""

    def rows(self, rows_R: Tensor) -> Match:
        """The match of some of the candidates."""
        return Match(*(column[rows_R] for column in self))

    def joined(self, other: Match) -> Match:
        """The match of these candidates and, after them, of others."""
        return Match(*(torch.cat(columns) for columns in zip(self, other)))

    def spread(self, rows_A: Tensor, count: int) -> Match:
        """The match of `count` candidates, of which these are `rows_A` and the others are ignored."""
        return Match(*(column.new_zeros(count).index_copy(0, rows_A, column) for column in self))

    def labels(self, truth_labels_G: Tensor) -> Tensor:
        """(A,) int64: the class of each candidate, BACKGROUND or IGNORED."""
        labels_A = torch.where(self.negative_A, BACKGROUND, IGNORED)
        if len(truth_labels_G):
            labels_A = torch.where(self.positive_A, truth_labels_G[self.index_A], labels_A)
        return labels_A


def _no_truth(candidates: int, device: torch.device) -> Match:
    """The match of an image without objects: all is background."""
    nothing = torch.zeros(candidates, dtype=torch.bool, device=device)
    return Match(nothing.long(), nothing, ~nothing)


def match_boxes(
    candidates_A4: Tensor,
    truth_G4: Tensor,
    negative_below: float,
    positive_from: float,
    best_match: Literal["none", "own", "truth"] = "none",
    best_match_from: float = 0.0,
    valid_A: Tensor | None = None,
) -> Match:
    """Match by IoU: positive at `positive_from` or more, negative under `negative_below`, else ignored.

    `best_match`: candidates that reach a ground-truth box's best IoU (ties included) become positive even under
    the threshold, and keep their `own` best box (1506.01497, torchvision, detectron2) or are given to that
    `truth` box, later boxes winning (mmdetection); a best IoU under `best_match_from` does not count.
    Without ground truth every candidate is negative.
    Candidates that are not `valid_A` take no part: they are ignored.
    """
    iou_GA = pairwise_iou(truth_G4, candidates_A4)
    if valid_A is None:
        return match_iou(iou_GA, negative_below, positive_from, best_match, best_match_from)
    iou_GA = iou_GA.masked_fill(~valid_A, -1)
    match = match_iou(iou_GA, negative_below, positive_from, best_match, best_match_from)
    return match._replace(negative_A=match.negative_A & valid_A)


def match_iou(
    iou_GA: Tensor,
    negative_below: float,
    positive_from: float,
    best_match: Literal["none", "own", "truth"],
    best_match_from: float = 0.0,
) -> Match:
    """`match_boxes` on a given (G, A) IoU matrix."""
    if len(iou_GA) == 0:
        return _no_truth(iou_GA.shape[1], iou_GA.device)
    best_A, index_A = iou_GA.max(dim=0)
    positive_A = best_A >= positive_from
    negative_A = best_A < negative_below
    if best_match != "none" and len(best_A):
        best_G1 = iou_GA.amax(dim=1, keepdim=True)
        best_G1 = best_G1.masked_fill(best_G1 < best_match_from, torch.inf)  # which no IoU reaches
        reached_GA = iou_GA == best_G1
        reached_A = reached_GA.view(torch.uint8).amax(dim=0).bool()  # on a CPU twice as fast as `any`
        if best_match == "truth":
            number_G1 = torch.arange(len(iou_GA), device=iou_GA.device).unsqueeze(1)
            index_A = torch.where(reached_A, (reached_GA * number_G1).amax(dim=0), index_A)
        positive_A |= reached_A
        negative_A &= ~reached_A
    return Match(index_A, positive_A, negative_A)


class BatchTargets(NamedTuple):
    """What the candidates of all images learn."""

    labels_NM: Tensor
    """Of each candidate a network output (see ops/class_ids.py), BACKGROUND or IGNORED."""
    image_P: Tensor
    """The images of the positives, which have a label of 0 or more."""
    row_P: Tensor
    """Which candidate of its image each of them is."""
    boxes_P4: Tensor
    """The ground truth of each."""


def targets_of_batch(matches: list[Match], targets: list[Target], class_ids: tuple[int, ...] = ()) -> BatchTargets:
    """What matches mean to the losses. The program waits once for which candidates are positive."""
    labels_O = outputs_of(torch.cat([target.labels for target in targets]), class_ids)
    labels = [match.labels(own_G) for match, own_G in zip(matches, labels_O.split([len(t) for t in targets]))]
    labels_NM = torch.stack(labels)
    image_P, row_P = torch.where(labels_NM >= 0)
    first = [0, *accumulate(len(target) for target in targets[:-1])]
    first_N1 = on_device(first, labels_NM.device).unsqueeze(1)
    object_NM = torch.stack([match.index_A for match in matches]) + first_N1
    boxes_O4 = torch.cat([target.boxes for target in targets])
    return BatchTargets(labels_NM, image_P, row_P, boxes_O4[object_NM[image_P, row_P]])


def point_distances(points_M2: Tensor, boxes: Tensor) -> Tensor:
    """Left, top, right, bottom from points to the sides of boxes that broadcast with them; negative outside."""
    return torch.cat([points_M2 - boxes[..., :2], boxes[..., 2:] - points_M2], dim=-1)


def match_locations(
    points_M2: Tensor, stride_M: Tensor, range_M2: Tensor, truth_G4: Tensor, radius: float | None, closed: bool
) -> Match:
    """Match points that lie in a box whose farthest side is in the level's range; the smallest box wins (1904.01355).

    With `radius` a point must also be within that many strides of the box's centre, along either axis
    (2006.09214, section 2). The ends of a range belong to it where it is `closed` (mmdetection) or not (torchvision).
    """
    if not len(truth_G4):
        return _no_truth(len(points_M2), points_M2.device)
    distance_GM4 = point_distances(points_M2, truth_G4[:, None])
    fits_GM = distance_GM4.amin(dim=-1) > 0
    farthest_GM = distance_GM4.amax(dim=-1)
    (low_M, high_M) = range_M2.unbind(dim=1)
    if closed:
        fits_GM &= (farthest_GM >= low_M) & (farthest_GM <= high_M)
    else:
        fits_GM &= (farthest_GM > low_M) & (farthest_GM < high_M)
    if radius is not None:
        centre_G2 = (truth_G4[:, :2] + truth_G4[:, 2:]) / 2
        fits_GM &= (points_M2 - centre_G2[:, None]).abs().amax(dim=-1) < radius * stride_M
    area_G = area(truth_G4[:, 2:] - truth_G4[:, :2])
    area_M, index_M = torch.where(fits_GM, area_G[:, None], torch.inf).min(dim=0)
    return Match(index_M, area_M.isfinite(), area_M.isinf())


def match_nearest(
    points_M2: Tensor, stride_M: Tensor, truth_G4: Tensor, scale: float, valid_M: Tensor | None = None
) -> Match:
    """Match to each box the nearest point of its level, distances measured in the box's sides (1904.11490).

    A box of `scale` strides belongs to the level of that stride, log2 rounded down. A point that several boxes want
    goes to the one it is nearest to. Points that are not `valid_M` take no part: they are ignored.
    """
    valid_M = torch.ones_like(stride_M, dtype=torch.bool) if valid_M is None else valid_M
    if not len(truth_G4):
        nothing = _no_truth(len(points_M2), points_M2.device)
        return nothing._replace(negative_A=valid_M)
    level_M = stride_M.float().log2().long()
    side_G2 = (truth_G4[:, 2:] - truth_G4[:, :2]).clamp(min=1e-6)
    level_G = ((side_G2 / scale).log2().sum(dim=1) / 2).long().clamp(level_M.min(), level_M.max())
    offset_GM2 = (points_M2 - (truth_G4[:, None, :2] + truth_G4[:, None, 2:]) / 2) / side_G2[:, None]
    elsewhere_GM = (level_G[:, None] != level_M) | ~valid_M
    distance_GM = offset_GM2.norm(dim=-1).masked_fill(elsewhere_GM, torch.inf)
    nearest_G1 = distance_GM.argmin(dim=1, keepdim=True)
    wanted_GM = torch.full_like(distance_GM, torch.inf).scatter(1, nearest_G1, distance_GM.gather(1, nearest_G1))
    distance_M, index_M = wanted_GM.min(dim=0)
    return Match(index_M, distance_M.isfinite(), distance_M.isinf() & valid_M)


def match_adaptive(anchors: tuple[Tensor, ...], truth_G4: Tensor, nearest: int) -> Match:
    """Match by an IoU threshold that each box sets itself (1912.02424, algorithm 1).

    The `nearest` anchors of each level by distance of centres are candidates; those with an IoU of at least mean plus
    standard deviation of the candidates', and their centre in the box, are positive. The highest IoU wins.
    """
    anchors_M4 = torch.cat(anchors)
    if not len(truth_G4):
        return _no_truth(len(anchors_M4), anchors_M4.device)
    iou_GM = pairwise_iou(truth_G4, anchors_M4)
    centre_M2 = (anchors_M4[:, :2] + anchors_M4[:, 2:]) / 2
    distance_GM = torch.cdist((truth_G4[:, :2] + truth_G4[:, 2:]) / 2, centre_M2, compute_mode=WITHOUT_MATRIX_PRODUCT)
    candidates = []
    start = 0
    for level in anchors:
        distance_GL = distance_GM[:, start : start + len(level)]
        candidates.append(start + distance_GL.topk(min(nearest, len(level)), dim=1, largest=False).indices)
        start += len(level)
    candidate_GT = torch.cat(candidates, dim=1)
    iou_GT = iou_GM.gather(1, candidate_GT)
    inside_GT = point_distances(centre_M2[candidate_GT], truth_G4[:, None]).amin(dim=-1) > 0.01
    positive_GT = inside_GT & (iou_GT >= iou_GT.mean(dim=1, keepdim=True) + iou_GT.std(dim=1, keepdim=True))
    fitting_GM = torch.full_like(iou_GM, -1).scatter(1, candidate_GT, torch.where(positive_GT, iou_GT, -1))
    best_M, index_M = fitting_GM.max(dim=0)
    return Match(index_M, best_M >= 0, best_M < 0)
