"""What a run report shows of boxes and masks: the same functions as in pixels.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from cvzoo.report.charts import class_chart, precision_recall_chart
from cvzoo.report.draw import draw
from cvzoo.report.gallery import LONG_SIDE, Gallery, Metrics, Picture, Shown, data_uri
from cvzoo.structures import Prediction, Target

PLURALS = {"box": "boxes", "mask": "masks"}


def headline(metrics: Metrics) -> list[tuple[str, str]]:
    """The figures to see first, with their titles."""
    stats = metrics["val"]["stats"] if "val" in metrics else {}
    return [(n.replace("_", " "), f"{stats[n]:.3f}") for n in stats if n.endswith(("_AP", "_AP50", "_AP75"))]


def results(metrics: Metrics) -> list[tuple[str, str, dict[str, float]]]:
    """Split, what was compared, and COCO's numbers by name."""
    return [
        (split, PLURALS[kind], {n.removeprefix(f"{kind}_"): v for n, v in found["stats"].items() if n.startswith(kind)})
        for split, found in metrics.items()
        for kind in found["per_class"]
    ]


def charts(metrics: Metrics) -> Iterator[tuple[str, str]]:
    """Titles and charts."""
    for split, found in metrics.items():
        for kind, curves in found["precision_recall"].items():
            yield f"Precision and recall of {PLURALS[kind]}, {split}", precision_recall_chart(curves)
            yield f"AP of {PLURALS[kind]} by class, {split}", class_chart(found["per_class"][kind], "AP")


def gallery(pictures: Sequence[Picture], classes: Sequence[str]) -> Gallery:
    """The pictures with their objects drawn on them."""
    detected = [(image, target, found) for image, target, found in pictures if isinstance(found, Prediction)]
    threshold = score_threshold(detected)
    return Gallery(
        note=f"Detections of score {threshold:.2f} and more: as many as there are objects in these pictures.",
        legend=[],
        pictures=[_shown(image, target, found, classes, threshold) for image, target, found in detected],
    )


def score_threshold(pictures: Sequence[tuple[Tensor, Target, Prediction]]) -> float:
    """The score above which there are as many detections as objects: a weak model's pictures are not empty nor full."""
    objects = sum(len(target) for _, target, _ in pictures)
    scores = sorted((score for *_, found in pictures for score in found.scores.tolist()), reverse=True)
    return scores[min(max(objects, 1), len(scores)) - 1] if scores else 0.0


def _shown(image: Tensor, target: Target, found: Prediction, classes: Sequence[str], threshold: float) -> Shown:
    return Shown(
        truth=data_uri(draw(image, target, classes, long_side=LONG_SIDE)),
        found=data_uri(draw(image, found, classes, threshold, LONG_SIDE)),
        truth_caption=f"ground truth: {len(target)} objects",
        found_caption=f"prediction: {int((found.scores >= threshold).sum())} detections",
    )
