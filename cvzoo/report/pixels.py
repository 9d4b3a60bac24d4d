"""What a run report shows of label maps: the same functions as in objects.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from cvzoo.report.charts import class_chart, confusion_chart
from cvzoo.report.draw import colour_of
from cvzoo.report.draw_labels import draw_labels, occurring
from cvzoo.report.gallery import LONG_SIDE, Gallery, Metrics, Picture, Shown, data_uri
from cvzoo.structures import IGNORE, Segmentation

READABLE = 30
"""More classes than these make no confusion matrix that can be read."""


def headline(metrics: Metrics) -> list[tuple[str, str]]:
    """The figures to see first, with their titles."""
    stats = metrics["val"]["stats"] if "val" in metrics else {}
    return [(name, f"{value:.3f}") for name, value in stats.items()]


def results(metrics: Metrics) -> list[tuple[str, str, dict[str, float]]]:
    """Split, what was compared, and the figures by name."""
    return [(split, "pixels", found["stats"]) for split, found in metrics.items()]


def charts(metrics: Metrics) -> Iterator[tuple[str, str]]:
    """Titles and charts."""
    for split, found in metrics.items():
        yield f"IoU by class, {split}", class_chart(found["per_class"], "IoU")
        if len(found["per_class"]) <= READABLE:
            yield f"Classes taken for others, {split}", confusion_chart(found["confusion"], list(found["per_class"]))


def gallery(pictures: Sequence[Picture], classes: Sequence[str]) -> Gallery:
    """The pictures under the colours of their classes, which one legend names."""
    maps = [
        (image, target.label_map, found.labels)
        for image, target, found in pictures
        if target.label_map is not None and isinstance(found, Segmentation)
    ]
    seen = sorted({label for _, *sides in maps for side in sides for label in occurring(side)})
    return Gallery(
        note="Pixels without a colour have no class in the ground truth and are not counted.",
        legend=[(classes[label], f"rgb{colour_of(label)}") for label in seen],
        pictures=[_shown(image, truth, labels, classes) for image, truth, labels in maps],
    )


def _shown(image: Tensor, truth_HW: Tensor, labels_HW: Tensor, classes: Sequence[str]) -> Shown:
    counted = truth_HW != IGNORE
    right = (labels_HW == truth_HW)[counted].float().mean()  # nan where no pixel counts
    return Shown(
        truth=data_uri(draw_labels(image, truth_HW, classes, LONG_SIDE, legend=False)),
        found=data_uri(draw_labels(image, labels_HW, classes, LONG_SIDE, legend=False)),
        truth_caption="ground truth",
        found_caption="prediction" if right.isnan() else f"prediction: {right:.1%} right",
    )
