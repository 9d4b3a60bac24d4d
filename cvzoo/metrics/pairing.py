"""Which detection found which object, at one IoU, as COCO's evaluation pairs them; in flat arrays, for whole data sets.

Shape suffixes: G objects, D detections, P pairs of them in one image, N images, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from cvzoo.metrics.predictions import FlatBoxes
from cvzoo.ops import rle
from cvzoo.structures import RLE

FOUND = 0.5
"""The IoU from which on a detection has found an object (2008.08115, too)."""
NEAR = 0.1
"""Below this IoU a detection has nothing to do with an object (2008.08115)."""
CHUNK = 2_000_000
"""Pairs whose IoU is computed at a time."""


class Objects(NamedTuple):
    """What is to be found."""

    images_G: np.ndarray
    """Int64: the place of the image in the data set, ascending."""
    labels_G: np.ndarray
    """Int64."""
    boxes_G4: np.ndarray
    """Float64 xyxy in pixels."""
    crowds_G: np.ndarray
    """Bool: many objects in one box; who finds them is neither right nor wrong."""
    numbers_G: np.ndarray
    """Int64: the place among the data set's annotations."""


class Detections(NamedTuple):
    """What was found."""

    images_D: np.ndarray
    """Int64: the place of the image in the data set."""
    labels_D: np.ndarray
    """Int64."""
    boxes_D4: np.ndarray
    """Float64 xyxy in pixels."""
    scores_D: np.ndarray
    """Float64."""


class Pairs(NamedTuple):
    """Detections and objects of one image that are near each other."""

    detections_P: np.ndarray
    objects_P: np.ndarray
    ious_P: np.ndarray
    """IoU, of boxes or of masks; with a crowd the share of the detection that lies in it."""

    def where(self, chosen_P: np.ndarray) -> Pairs:
        """Those chosen by a bool each."""
        return Pairs(*(part[chosen_P] for part in self))


@dataclass(frozen=True)
class Pairing:
    """Who found what, at an IoU of `FOUND`."""

    objects: Objects
    detections: Detections
    pairs: Pairs
    """Of every class with every class, crowds left out, from an IoU of `NEAR` on."""
    object_of_D: np.ndarray
    """Int64: the object that a detection has found, -1 for none."""
    ignored_D: np.ndarray
    """Bool: it lies in a crowd of its class, and counts neither as right nor as wrong."""
    classes: int
    """K."""

    @property
    def right_D(self) -> np.ndarray:
        """Bool: it has found an object."""
        return self.object_of_D >= 0

    @property
    def counted_D(self) -> np.ndarray:
        """Bool: it is right or wrong."""
        return ~self.ignored_D

    @property
    def counts_K(self) -> np.ndarray:
        """How many objects of each class there are, without crowds."""
        return np.bincount(self.objects.labels_G[~self.objects.crowds_G], minlength=self.classes)


def objects_of(ground_truth: Mapping[str, Any], image_ids: np.ndarray, category_ids: Sequence[int]) -> Objects:
    """The objects of a COCO-format data set; `image_ids` in the data set's order, `category_ids` of each label."""
    annotations = ground_truth["annotations"]
    boxes_G4 = np.array([annotation["bbox"] for annotation in annotations], np.float64).reshape(-1, 4)
    boxes_G4[:, 2:] += boxes_G4[:, :2]
    images_G = _places([annotation["image_id"] for annotation in annotations], image_ids)
    labels_G = _places([annotation["category_id"] for annotation in annotations], category_ids)
    crowds_G = np.array([bool(annotation.get("iscrowd", 0)) for annotation in annotations], bool)
    order_G = np.argsort(images_G, kind="stable")
    return Objects(images_G[order_G], labels_G[order_G], boxes_G4[order_G], crowds_G[order_G], order_G)


def detections_of(found: FlatBoxes, image_ids: np.ndarray, category_ids: Sequence[int]) -> Detections:
    """The same of what was found."""
    boxes_D4 = found.boxes.copy()
    boxes_D4[:, 2:] += boxes_D4[:, :2]
    images_D, labels_D = _places(found.image_ids, image_ids), _places(found.category_ids, category_ids)
    return Detections(images_D, labels_D, boxes_D4, found.scores)


def _places(ids: Any, known: Any) -> np.ndarray:
    """Where each id stands among the known ones, which need not be sorted."""
    known = np.asarray(known, np.int64)
    order = np.argsort(known)
    return order[np.searchsorted(known[order], np.asarray(ids, np.int64))]


def paired(objects: Objects, detections: Detections, classes: int, near: Pairs | None = None) -> Pairing:
    """Detections take objects by falling score: each the free object of its class that it overlaps most.

    `near` are the pairs that overlap, where it is not the boxes that count: see `near_masks`.
    """
    near = _near(objects, detections) if near is None else near
    crowd_P = objects.crowds_G[near.objects_P]
    pairs = near.where(~crowd_P)
    alike = pairs.where(_same_class(pairs, objects, detections) & (pairs.ious_P >= FOUND))
    object_of_D = greedy(alike, detections.scores_D, len(objects.labels_G))
    crowds = near.where(crowd_P)
    inside = crowds.where(_same_class(crowds, objects, detections) & (crowds.ious_P >= FOUND))
    ignored_D = np.zeros(len(detections.scores_D), bool)
    ignored_D[inside.detections_P] = True
    return Pairing(objects, detections, pairs, object_of_D, ignored_D & (object_of_D < 0), classes)


def greedy(pairs: Pairs, scores_D: np.ndarray, objects: int) -> np.ndarray:
    """(D,) the object of each detection, -1 for none: the surest detection chooses first, and chooses the nearest."""
    taken_D, taken_G = [-1] * len(scores_D), [False] * objects
    order_P = np.lexsort((-pairs.ious_P, pairs.detections_P, -scores_D[pairs.detections_P]))
    for detection, found in zip(pairs.detections_P[order_P].tolist(), pairs.objects_P[order_P].tolist()):
        if taken_D[detection] < 0 and not taken_G[found]:
            taken_D[detection] = found
            taken_G[found] = True
    return np.array(taken_D, np.int64)


def _same_class(pairs: Pairs, objects: Objects, detections: Detections) -> np.ndarray:
    return detections.labels_D[pairs.detections_P] == objects.labels_G[pairs.objects_P]


def _near(objects: Objects, detections: Detections) -> Pairs:
    """Pairs in the same image from an IoU of `NEAR` on."""
    found = [Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)), *_chunks(objects, detections)]
    return Pairs(*(np.concatenate(parts) for parts in zip(*found)))


def near_masks(objects: Objects, detections: Detections, codes_G: Sequence[RLE], codes_D: Sequence[RLE]) -> Pairs:
    """Pairs in the same image whose masks have an IoU of `NEAR` or more; the codes are of each object and detection."""
    order_D = np.argsort(detections.images_D, kind="stable")
    images = np.intersect1d(objects.images_G, detections.images_D)
    found = [Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    for image in images:
        own = order_D[_span(detections.images_D[order_D], image)]
        theirs = np.arange(len(codes_G))[_span(objects.images_G, image)]
        ious_DG = rle.ious([codes_D[d] for d in own], [codes_G[g] for g in theirs], objects.crowds_G[theirs])
        near_D, near_G = np.nonzero(ious_DG >= NEAR)
        found.append(Pairs(own[near_D], theirs[near_G], ious_DG[near_D, near_G]))
    return Pairs(*(np.concatenate(parts) for parts in zip(*found)))


def _span(ascending: np.ndarray, value: int) -> slice:
    """Where a value stands."""
    return slice(int(np.searchsorted(ascending, value)), int(np.searchsorted(ascending, value, side="right")))


def _chunks(objects: Objects, detections: Detections) -> Iterator[Pairs]:
    first_D = np.searchsorted(objects.images_G, detections.images_D)
    counts_D = np.searchsorted(objects.images_G, detections.images_D, side="right") - first_D
    ends_D = np.cumsum(counts_D)
    start = 0
    while start < len(counts_D):
        before = ends_D[start] - counts_D[start]
        stop = max(int(np.searchsorted(ends_D, before + CHUNK, side="right")), start + 1)
        own = np.repeat(np.arange(start, stop), counts_D[start:stop])
        within = np.arange(len(own)) - (ends_D[own] - counts_D[own] - before)
        theirs = first_D[own] + within
        ious = _overlaps(detections.boxes_D4[own], objects.boxes_G4[theirs], objects.crowds_G[theirs])
        yield Pairs(own, theirs, ious).where(ious >= NEAR)
        start = stop


def _overlaps(boxes_P4: np.ndarray, others_P4: np.ndarray, crowds_P: np.ndarray) -> np.ndarray:
    sides_P2 = np.minimum(boxes_P4[:, 2:], others_P4[:, 2:]) - np.maximum(boxes_P4[:, :2], others_P4[:, :2])
    shared_P = sides_P2.clip(0).prod(1)
    own_P, other_P = ((boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (boxes_P4, others_P4))
    total_P = np.where(crowds_P, own_P, own_P + other_P - shared_P)
    return shared_P / np.where(total_P > 0, total_P, 1)
