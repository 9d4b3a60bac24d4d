"""Which candidate (anchor, proposal) learns which ground-truth box."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torchvision.ops import box_iou

BACKGROUND = -1
IGNORED = -2


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

    def labels(self, truth_labels_G: Tensor) -> Tensor:
        """(A,) int64: the class of each candidate, BACKGROUND or IGNORED."""
        labels_A = torch.where(self.negative_A, BACKGROUND, IGNORED)
        if len(truth_labels_G):
            labels_A = torch.where(self.positive_A, truth_labels_G[self.index_A], labels_A)
        return labels_A


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
    the threshold, and keep their `own` best box (Faster R-CNN, torchvision, detectron2) or are given to that
    `truth` box, later boxes winning (mmdetection); a best IoU under `best_match_from` does not count.
    Without ground truth every candidate is negative.
    Candidates that are not `valid_A` take no part: they are ignored.
    """
    iou_GA = box_iou(truth_G4, candidates_A4)
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
        nothing = torch.zeros(iou_GA.shape[1], dtype=torch.bool, device=iou_GA.device)
        return Match(nothing.long(), nothing, ~nothing)
    best_A, index_A = iou_GA.max(dim=0)
    positive_A = best_A >= positive_from
    negative_A = best_A < negative_below
    if best_match != "none":
        best_G1 = iou_GA.max(dim=1, keepdim=True).values
        truth, candidate = torch.where((iou_GA == best_G1) & (best_G1 >= best_match_from))
        if best_match == "truth":
            index_A[candidate] = truth  # rows rise, so the last ground-truth box wins
        positive_A[candidate] = True
        negative_A[candidate] = False
    return Match(index_A, positive_A, negative_A)
