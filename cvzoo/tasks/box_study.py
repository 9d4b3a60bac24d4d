"""Detections under the magnifying glass: kinds of error, thresholds, classes, and images with the most errors first.

All of it is of boxes at an IoU of 0.5; masks are drawn with them, and have costs of their errors of their own.
Shape suffixes: G objects, D detections, N images, K classes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cvzoo.data.dataset import ObjectDataset
from cvzoo.metrics.coco import Measure
from cvzoo.metrics.error_kinds import KINDS, Errors, average_precision, costs, errors_of
from cvzoo.metrics.operating import Operating, confusion_of, operating
from cvzoo.metrics.pairing import Pairing, detections_of, near_masks, objects_of, paired
from cvzoo.metrics.predictions import flat_boxes, mask_of
from cvzoo.ops.masks import scale_mask, to_bitmap, to_rle
from cvzoo.ops.outlines import outlines
from cvzoo.structures import Mask, Prediction, Size
from cvzoo.tasks.charts import class_precision_recall_chart, confusion_chart, cost_chart, threshold_chart
from cvzoo.tasks.draw_boxes import as_pil, scaled
from cvzoo.tasks.study import (
    IMAGES,
    LONG_SIDE,
    READABLE,
    Cell,
    Drawn,
    Gallery,
    Mark,
    Panel,
    Table,
    mix_ups,
)
from cvzoo.tasks.task import data_uri

CURVES = 80
"""So many classes, those with the most objects, have curves of their own."""
COUNTS = ("objects", "right", "wrong", "missed")
AT_BEST = ("best score", "F1", "precision", "recall")
MARKS = 50
"""Detections of an image that are shown, the surest."""
FINE = 200
"""Masks are outlined at this long side, in pixels."""
KIND_NOTES = {
    "right": "finds an object of its class with an IoU of 0.5 or more",
    "classification": "on an object of another class",
    "localisation": "near an object of its class: IoU 0.1 to 0.5",
    "both": "near an object of another class",
    "duplicate": "on an object that a surer detection has found",
    "background": "on nothing",
    "ignored": "in a crowd, neither right nor wrong",
    "found": "an object with a detection that is shown",
    "missed": "an object without",
}


@dataclass(frozen=True)
class BoxStudy:
    """The detections of a split beside its objects."""

    dataset: ObjectDataset
    predictions: Mapping[int, Prediction]
    """By image id, in the order of the split."""
    ap: Mapping[Measure, Mapping[str, float]]
    """Of boxes, masks ... and each class, as the evaluation has it."""

    @cached_property
    def pairing(self) -> Pairing:
        ids, categories = self.dataset.image_ids, self.dataset.category_ids
        objects = objects_of(self.dataset.ground_truth, ids, categories)
        found = detections_of(flat_boxes(self.predictions, categories), ids, categories)
        return paired(objects, found, len(self.dataset.classes))

    @cached_property
    def errors(self) -> Errors:
        return errors_of(self.pairing)

    def mask_costs(self) -> dict[str, float]:
        """What each kind of error costs where masks are compared."""
        objects, detections = self.pairing.objects, self.pairing.detections
        annotations = self.dataset.ground_truth["annotations"]
        sizes_G2 = self.dataset.sizes[objects.images_G].tolist()
        masks = (mask_of(annotations[number]) for number in objects.numbers_G.tolist())
        codes_G = [to_rle(mask or [], tuple(size)) for mask, size in zip(masks, sizes_G2)]
        codes_D = [code for found in self.predictions.values() for code in found.masks or ()]
        near = near_masks(objects, detections, codes_G, codes_D)
        pairing = paired(objects, detections, len(self.dataset.classes), near)
        return costs(pairing, errors_of(pairing))

    @cached_property
    def overall(self) -> Operating:
        return operating(self.pairing)

    @cached_property
    def by_class(self) -> dict[int, Operating]:
        """Of the classes that have objects."""
        return {k: operating(self.pairing, k) for k in np.flatnonzero(self.pairing.counts_K).tolist()}

    @cached_property
    def confusion(self) -> np.ndarray:
        return confusion_of(self.pairing, self.overall.threshold)

    @cached_property
    def found_scores_G(self) -> np.ndarray:
        """The score of the detection that has found an object, -1 for none."""
        scores_G = np.full(len(self.pairing.objects.labels_G), -1.0)
        right_D = self.pairing.right_D
        scores_G[self.pairing.object_of_D[right_D]] = self.pairing.detections.scores_D[right_D]
        return scores_G

    def charts(self) -> Iterator[tuple[str, str]]:
        classes = self.dataset.classes
        yield "What each kind of error costs", cost_chart(costs(self.pairing, self.errors))
        if "mask" in self.ap:
            yield "What each kind of error costs, of masks", cost_chart(self.mask_costs(), "mask")
        most = np.argsort(-self.pairing.counts_K, kind="stable")[:CURVES].tolist()
        curves = {k: self.by_class[k].curves_3T for k in most if k in self.by_class}
        yield "F1 by score threshold, IoU 0.50", threshold_chart(self.overall, curves)
        yield "Precision and recall of each class, IoU 0.50", class_precision_recall_chart(self.overall, curves)
        if len(classes) <= READABLE:
            yield "What was taken for what", confusion_chart(self.confusion.tolist(), [*classes, "background"])

    def tables(self) -> Iterator[Table]:
        threshold = self.overall.threshold
        ap50_K = average_precision(
            self.pairing, self.pairing.counted_D, self.pairing.right_D, self.pairing.detections.labels_D
        )
        yield Table(
            title="Classes",
            note=f"Right, wrong and missed at the score {threshold:.2f} that is best for all classes together; best"
            " score, F1, precision and recall at the score that is best for the class. Choose a class to see its"
            " curves.",
            columns=["class", *(f"{kind} AP" for kind in self.ap), "AP50", *COUNTS, *AT_BEST],
            rows=[self._class_row(k, ap50_K[k]) for k in range(len(self.dataset.classes))],
            curves=list(range(len(self.dataset.classes))),
        )
        note = f"Detections from score {threshold:.2f} on that lie on an object of another class."
        yield from mix_ups(self.confusion, self.dataset.classes, note)

    def _class_row(self, label: int, ap50: float) -> list[Cell]:
        name, counts = self.dataset.classes[label], self.confusion
        right, best = int(counts[label, label]), self.by_class.get(label)
        objects = int(self.pairing.counts_K[label])
        row: list[Cell] = [name, *(_known(ap.get(name, -1)) for ap in self.ap.values()), _known(ap50)]
        row += [objects, right, int(counts[:, label].sum()) - right, objects - right]
        return row + ([best.threshold, best.f1, best.precision, best.recall] if best else [None] * len(AT_BEST))

    def gallery(self) -> Gallery:
        shown = self.worst()
        return Gallery(
            note=self.order,
            legend=[],
            images=[self.drawn(position) for position in shown],
            threshold=self.overall.threshold,
            kinds=KIND_NOTES,
        )

    @property
    def order(self) -> str:
        """In words."""
        images, threshold = len(self.dataset), self.overall.threshold
        shown = "All images" if images <= IMAGES else f"The {IMAGES} worst of {images} images"
        return f"{shown}, those with the most errors first, counted at score {threshold:.2f}, where F1 is best."

    def worst(self) -> list[int]:
        """Positions of the images with the most wrong detections and missed objects."""
        objects, detections = self.pairing.objects, self.pairing.detections
        shown_D = detections.scores_D >= self.overall.threshold
        wrong_D = shown_D & self.pairing.counted_D & ~self.pairing.right_D
        missed_G = ~objects.crowds_G & (self.found_scores_G < self.overall.threshold)
        images = len(self.dataset)
        wrong_N = np.bincount(detections.images_D[wrong_D], minlength=images)
        errors_N = wrong_N + np.bincount(objects.images_G[missed_G], minlength=images)
        return np.argsort(-errors_N, kind="stable")[:IMAGES].tolist()

    def drawn(self, position: int) -> Drawn:
        """An image, with its objects and detections as marks."""
        sample = self.dataset[position]
        image, size = as_pil(sample.image), sample.size
        if max(image.size) > LONG_SIDE:
            image, _ = scaled(image, LONG_SIDE)
        return Drawn(
            name=self.name(position),
            truth=Panel(data_uri(image), "ground truth", list(self._objects(position, size))),
            found=Panel("", "prediction", list(self._detections(position, size))),
        )

    @cached_property
    def _names(self) -> dict[int, str]:
        return {image["id"]: str(image.get("file_name", image["id"])) for image in self.dataset.ground_truth["images"]}

    def name(self, position: int) -> str:
        """Of an image."""
        return self._names[int(self.dataset.image_ids[position])]

    def _objects(self, position: int, size: Size) -> Iterator[Mark]:
        objects, annotations = self.pairing.objects, self.dataset.ground_truth["annotations"]
        for number in np.flatnonzero(objects.images_G == position).tolist():
            mask = mask_of(annotations[int(objects.numbers_G[number])])
            yield Mark(
                box=_shares(objects.boxes_G4[number], size),
                name=self.dataset.classes[int(objects.labels_G[number])],
                kind="ignored" if objects.crowds_G[number] else "found",
                score=float(self.found_scores_G[number]),
                outline=outline(mask, size) if mask else "",
            )

    def _detections(self, position: int, size: Size) -> Iterator[Mark]:
        detections = self.pairing.detections
        own = np.flatnonzero(detections.images_D == position)
        masks = self.predictions[int(self.dataset.image_ids[position])].masks
        for place in np.argsort(-detections.scores_D[own], kind="stable")[:MARKS].tolist():
            number = int(own[place])
            yield Mark(
                box=_shares(detections.boxes_D4[number], size),
                name=self.dataset.classes[int(detections.labels_D[number])],
                kind=self._kind(number),
                score=float(detections.scores_D[number]),
                outline=outline(masks[place], size) if masks else "",
            )

    def _kind(self, number: int) -> str:
        if self.pairing.ignored_D[number]:
            return "ignored"
        return "right" if self.pairing.right_D[number] else KINDS[int(self.errors.kinds_D[number])]


def _known(value: float) -> float | None:
    return None if value < 0 else float(value)


def _shares(box_4: np.ndarray, size: Size) -> tuple[float, ...]:
    """Left, top, width and height of the part of a box that can be seen, in shares of the image."""
    limits = np.array([size[1], size[0]])
    corners = (box_4.reshape(2, 2) / limits).clip(0, 1)
    return (*corners[0].tolist(), *(corners[1] - corners[0]).tolist())


def outline(mask: Mask, size: Size) -> str:
    """The borders of a mask as a path of SVG, in thousandths of the image."""
    zoom = min(1.0, FINE / max(size))
    small = (max(round(size[0] * zoom), 1), max(round(size[1] * zoom), 1))
    paths = []
    for ring in itertools.chain.from_iterable(outlines(to_bitmap(scale_mask(mask, size, small), small))):
        thousandths = (ring[::2] / small[::-1] * 1000).round().clip(0, 1000).astype(int).tolist()
        paths.append("M" + "L".join(f"{x} {y}" for x, y in thousandths) + "Z")
    return "".join(paths)
