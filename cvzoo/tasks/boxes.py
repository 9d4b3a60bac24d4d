"""Boxes, with masks or without: scored as COCO does, kept in COCO's results format."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from cvzoo.data.class_names import of_objects
from cvzoo.data.config import Data
from cvzoo.data.dataset import ObjectDataset
from cvzoo.files import write_json
from cvzoo.metrics.coco import NAMES, CocoResult, evaluate_boxes, evaluate_coco
from cvzoo.metrics.lvis import evaluate_lvis, is_federated
from cvzoo.metrics.predictions import flat_boxes, from_coco, to_coco, write_results
from cvzoo.nn.model import Model
from cvzoo.ops import rle
from cvzoo.ops.tiles import Tile, joined_boxes
from cvzoo.parts.heatmap.detector import HeatmapDetector
from cvzoo.recipes import Recipe
from cvzoo.structures import Prediction, Size, Target, View, size_of
from cvzoo.tasks.about import About
from cvzoo.tasks.box_study import BoxStudy
from cvzoo.tasks.charts import class_chart, precision_recall_chart
from cvzoo.tasks.detections import Detections
from cvzoo.tasks.draw_boxes import draw
from cvzoo.tasks.draw_heatmaps import draw_heatmaps
from cvzoo.tasks.limits import NMS, Limits, detection_config, with_limits
from cvzoo.tasks.study import Study
from cvzoo.tasks.task import Look, Metrics, Show, check_classes, no_look

PLURALS = {"box": "boxes", "mask": "masks", "gps": "surfaces (GPS)", "gpsm": "surfaces (GPSm)"}
SIMILARITIES = {"gps": "GPS", "gpsm": "GPSm"}
"""What thresholds are of, where it is not IoU."""
Draw = Callable[..., Image.Image]
"""`draw` or a function with the same arguments."""


def check(recipe: Recipe[Any]) -> None:
    """Boxes are learnt from objects, not from label maps."""
    if recipe.data.semantic:
        raise ValueError(
            f"{recipe.row} finds objects, but the data are label maps; choose a row of semantic segmentation"
            " (`cvzoo list --task segmentation`), or a folder of boxes or outlines with --data.root"
        )
    if recipe.data.test_window is not None:
        raise ValueError(f"--data.test-window is for label maps; {recipe.row} looks at whole images, leave it out")


def check_model(model: Model, recipe: Recipe[Any]) -> None:
    """Not every model merges several views, or predicts masks."""
    if views(recipe.data) and type(model).predict_views is Model.predict_views:
        model.predict_views([])  # which says so
    if recipe.data.masks and not model.predicts_masks:
        raise ValueError(f"{recipe.row} predicts no masks, which --data.masks asks for; leave that out")


def class_names(recipe: Recipe[Any], count: int) -> list[str] | None:
    """Those of the public data set that has as many."""
    return of_objects(count)


# Evaluation


def metrics(recipe: Recipe[Any]) -> list[str]:
    """COCO's 12 numbers of boxes and, with `data.masks`, of masks."""
    return [f"{kind}_{name}" for kind in ("box", "mask")[: 1 + recipe.data.masks] for name in NAMES]


@dataclass
class BoxEvaluation:
    """The figures of one split and the detections they were computed from."""

    figures: CocoResult
    """Of boxes and, with `data.masks`, of masks; of surfaces, where they are found."""
    predictions: dict[int, Prediction]
    """By image id, in the order of the split."""
    category_ids: list[int]
    """The data set's category id of each label."""

    def prediction(self, image_id: int) -> Prediction:
        """The detections of an image."""
        return self.predictions[image_id]

    def write(self, folder: Path, split: str) -> None:
        """predictions_<split>.json in COCO's results format."""
        records = (
            record
            for image_id, prediction in self.predictions.items()
            for record in to_coco([prediction], [image_id], self.category_ids)
        )
        write_results(folder / f"predictions_{split}.json", records)


def read(folder: Path, split: str, dataset: ObjectDataset, figures: dict[str, Any]) -> BoxEvaluation:
    """The inverse of `BoxEvaluation.write`. ValueError where the data have other classes or images."""
    check_classes(list(figures["per_class"]["box"]), dataset)
    detections = json.loads((folder / f"predictions_{split}.json").read_text())
    predictions = from_coco(detections, dataset.image_ids.tolist(), dataset.category_ids)
    return BoxEvaluation(CocoResult(**figures), predictions, dataset.category_ids)


Kept = tuple[int, Prediction]
"""The detections in an image, and its id."""


def kept(image_id: int, target: Target, answer: Prediction, dataset: ObjectDataset) -> Kept:
    return image_id, answer.to("cpu")


def score(kept: Iterable[Kept], dataset: ObjectDataset, recipe: Recipe[Any]) -> BoxEvaluation:
    """COCO's figures of boxes, and of masks if asked for; LVIS's where the data say which classes images lack."""
    found = dict(kept)
    predictions = {image_id: found[image_id] for image_id in dataset.image_ids.tolist()}
    if recipe.data.masks and any(prediction.masks is None for prediction in predictions.values()):
        raise ValueError(f"{recipe.row} predicts boxes without masks; leave masks out with --data.no-masks")
    figures = _figures(predictions, dataset, recipe.data.masks)
    return BoxEvaluation(figures, predictions, dataset.category_ids)


def _figures(predictions: dict[int, Prediction], dataset: ObjectDataset, masks: bool) -> CocoResult:
    truth, ids = dataset.ground_truth, dataset.category_ids
    if not is_federated(truth):
        figures = evaluate_boxes(truth, flat_boxes(predictions, ids))
        return figures | evaluate_coco(truth, _records(predictions, ids), "mask") if masks else figures
    found = _records(predictions, ids)
    figures = evaluate_lvis(truth, found, "box")
    return figures | evaluate_lvis(truth, found, "mask") if masks else figures


def _records(predictions: dict[int, Prediction], category_ids: list[int]) -> list[dict[str, Any]]:
    return to_coco(list(predictions.values()), list(predictions), category_ids)


def views(data: Data) -> list[Data]:
    """One for each test scale."""
    if not (data.test_scales or data.test_flip):
        return []
    sides = data.test_scales or (data.test_short_side,)
    return [replace(data, test_short_side=side, canvas=None) for side in sides]


def predict_views(model: Any, views: list[View], recipe: Recipe[Any]) -> Prediction:
    """The detections of the image in original pixels, as the model merges those of its views."""
    return model.predict_views(views)


# Reports


def headline(metrics: Metrics) -> list[tuple[str, str]]:
    stats = metrics["val"]["stats"] if "val" in metrics else {}
    return [(n.replace("_", " "), f"{stats[n]:.3f}") for n in stats if n.endswith(("_AP", "_AP50", "_AP75"))]


def results(metrics: Metrics) -> list[tuple[str, str, dict[str, float]]]:
    """COCO's numbers."""
    return [
        (split, PLURALS[kind], stats_of(found["stats"], kind))
        for split, found in metrics.items()
        for kind in found["per_class"]
    ]


def stats_of(stats: dict[str, float], kind: str) -> dict[str, float]:
    """The figures of one kind, under names without it."""
    return {name.removeprefix(f"{kind}_"): value for name, value in stats.items() if name.startswith(f"{kind}_")}


def charts(metrics: Metrics) -> Iterator[tuple[str, str]]:
    for split, found in metrics.items():
        for kind, curves in found["precision_recall"].items():
            similarity = SIMILARITIES.get(kind, "IoU")
            yield f"Precision and recall of {PLURALS[kind]}, {split}", precision_recall_chart(curves, similarity)
            yield f"AP of {PLURALS[kind]} by class, {split}", class_chart(found["per_class"][kind], "AP")


def study(evaluation: BoxEvaluation, dataset: ObjectDataset) -> Study:
    """Kinds of error, thresholds, classes, and the images with the most errors."""
    found = BoxStudy(dataset, evaluation.predictions, evaluation.figures.per_class)
    return Study(list(found.charts()), list(found.tables()), found.gallery())


def draw_truth(image: Tensor, target: Target, classes: Sequence[str], long_side: int) -> Image.Image:
    return draw(image, target, classes, long_side=long_side)


# Predictions


def limited(model: Model, limits: Limits, recipe: Recipe[Any]) -> Model:
    """With other thresholds, where the model has them."""
    return with_limits(model, limits, recipe.row)


def answered(answer: Prediction, about: About, limits: Limits) -> Detections:
    """The best detections of those classes and scores."""
    found = Detections.of(answer, about)
    return found.filter(limits.conf or 0.0, limits.classes)[: limits.max_detections] if limits.given else found


def joined(found: Sequence[Prediction], tiles: Sequence[Tile], size: Size, model: Model) -> Prediction:
    """Boxes of all tiles compete as the model lets those of one image do."""
    config = detection_config(model.config)
    return joined_boxes(found, tiles, size, config.nms_threshold if config else NMS)


@dataclass
class BoxWriter:
    """Each image drawn, and predictions.json in COCO's format; its image ids count the images from 1."""

    output: Path
    classes: list[str]
    category_ids: Sequence[int]
    min_score: float
    draw: Draw
    images: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)

    def add(self, file: Path, name: str, image: Tensor, answer: Prediction) -> list[Path]:
        """Draw one image, and keep what was found in it."""
        height, width = size_of(image)
        number = len(self.images) + 1
        self.images.append({"id": number, "file_name": str(file), "height": height, "width": width})
        found = to_coco([answer], [number], self.category_ids)
        areas = map(rle.area, answer.masks) if answer.masks else (w * h for *_, w, h in (r["bbox"] for r in found))
        for record, area in zip(found, areas):
            self.annotations.append({"id": len(self.annotations) + 1, "iscrowd": 0, "area": area, **record})
        path = self.output / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        self.drawn(image, answer).save(path)
        return [path]

    def drawn(self, image: Tensor, answer: Prediction) -> Image.Image:
        """With the detections of `min_score` or more."""
        return self.draw(image, answer, self.classes, self.min_score)

    def finish(self) -> list[Path]:
        """Write predictions.json, as pycocotools reads it: the detections are its annotations."""
        categories = [{"id": number, "name": name} for number, name in zip(self.category_ids, self.classes)]
        parts = {"images": self.images, "categories": categories, "annotations": self.annotations}
        write_json(self.output / "predictions.json", parts)
        return [self.output / "predictions.json"]


def writer(
    output: Path, classes: list[str], category_ids: Sequence[int], min_score: float, draw: Draw = draw
) -> BoxWriter:
    return BoxWriter(output, classes, category_ids, min_score, draw)


def look(show: Show, model: Any, recipe: Recipe[Any], texture: Path | None) -> Look:
    """Heat maps, of the detectors that find key points."""
    if show != "heatmaps" or not isinstance(model, HeatmapDetector):
        raise no_look(show, recipe)
    return Look(model.heatmaps, draw_heatmaps)
