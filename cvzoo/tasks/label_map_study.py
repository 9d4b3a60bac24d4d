"""Label maps under the magnifying glass: classes, what is taken for what, and the worst images. K classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from torch import Tensor

from cvzoo.data.dataset import LabelMapImages
from cvzoo.metrics.semantic import SemanticResult
from cvzoo.structures import IGNORE, Sample, Segmentation
from cvzoo.tasks.draw_boxes import colour_of
from cvzoo.tasks.draw_label_maps import draw_labels, occurring
from cvzoo.tasks.study import DRAWN_SIDE, IMAGES, Cell, Drawn, Gallery, Panel, Study, Table, mix_ups, spread
from cvzoo.tasks.task import data_uri


def label_map_study(
    figures: SemanticResult,
    ious: Mapping[int, float],
    prediction: Callable[[int], Segmentation],
    dataset: LabelMapImages,
) -> Study:
    """What label maps show.

    Args:
        figures: of the split.
        ious: mIoU by image id; empty where it is not known, then images are evenly spread over the split.
        prediction: the answer to an image, by its id.
        dataset: the images.
    """
    dataset = dataset.in_order(list(figures.per_class))  # a folder's maps are numbered as its figures are
    return Study([], list(_tables(figures)), _gallery(ious, prediction, dataset))


def _tables(figures: SemanticResult) -> Iterator[Table]:
    classes = list(figures.per_class)
    counts_KK = np.array(figures.confusion)
    hits_K, true_K, taken_K = counts_KK.diagonal(), counts_KK.sum(axis=1), counts_KK.sum(axis=0)
    yield Table(
        title="Classes",
        note="Of the pixels of a class the share that was found (accuracy), of those taken for it the share that is"
        " right (precision), and what part of all pixels the class has.",
        columns=["class", "IoU", "accuracy", "precision", "of all pixels"],
        rows=[
            [name, _share(hit, true + taken - hit), _share(hit, true), _share(hit, taken), _share(true, true_K.sum())]
            for name, hit, true, taken in zip(classes, hits_K, true_K, taken_K)
        ],
    )
    yield from mix_ups(counts_KK, classes, "Pixels of one class that were taken for another.")


def _share(part: int, whole: int) -> Cell:
    return float(part / whole) if whole else None


def _gallery(ious: Mapping[int, float], prediction: Callable[[int], Segmentation], dataset: LabelMapImages) -> Gallery:
    """One legend names the classes of all images."""
    shown, order = _shown(ious, dataset)
    images, seen = [], set()
    for position in shown:
        sample = dataset[position]
        labels_HW = prediction(sample.image_id).labels
        assert sample.target.label_map is not None, "a data set of label maps"
        seen |= {label for side in (sample.target.label_map, labels_HW) for label in occurring(side)}
        images.append(_drawn(dataset, position, sample, labels_HW, ious.get(sample.image_id)))
    note = f"{order} Pixels without a colour have no class in the ground truth and are not counted."
    legend = [(dataset.classes[label], f"rgb{colour_of(label)}") for label in sorted(seen)]
    return Gallery(note=note, legend=legend, images=images)


def _shown(ious: Mapping[int, float], dataset: LabelMapImages) -> tuple[list[int], str]:
    """Positions of images, and how they were chosen."""
    images = len(dataset)
    some = "All images" if images <= IMAGES else f"{IMAGES} of {images} images"
    if len(ious) < images:
        return spread(images, IMAGES), f"{some}, evenly spread: a new evaluation would tell which are the worst."
    order = np.argsort([ious[image_id] for image_id in dataset.image_ids.tolist()], kind="stable")
    return order[:IMAGES].tolist(), f"{some}, those of the least mIoU first."


def _drawn(dataset: LabelMapImages, position: int, sample: Sample, labels_HW: Tensor, iou: float | None) -> Drawn:
    truth_HW = sample.target.label_map
    assert truth_HW is not None
    counted_HW = truth_HW != IGNORE
    right = (labels_HW == truth_HW)[counted_HW].float().mean()  # nan where no pixel counts
    figures = [] if right.isnan() else [f"{right:.1%} right"]
    figures += [] if iou is None else [f"mIoU {iou:.3f}"]
    caption = f"prediction: {', '.join(figures)}" if figures else "prediction"
    sides = (
        draw_labels(sample.image, side, dataset.classes, DRAWN_SIDE, legend=False) for side in (truth_HW, labels_HW)
    )
    truth, found = map(data_uri, sides)
    return Drawn(dataset.names[position], Panel(truth, "ground truth"), Panel(found, caption))
