"""Dense pose: boxes of people with the part of the body and the coordinates on it at every pixel.

Boxes are scored, kept and read as those of `boxes` are; surfaces by GPS and GPSm, and kept in the DensePose task's
results format.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from cvzoo.data.body_parts import KAPPAS, PARTS
from cvzoo.data.config import Data
from cvzoo.data.dataset import ObjectDataset
from cvzoo.data.smpl import MESH_FILES, missing, read_body
from cvzoo.metrics.geometry import FlatGeometry, Geometry, MeshGeometry
from cvzoo.metrics.gps import MODES, NAMES, evaluate_gps
from cvzoo.metrics.surface_pairs import Found
from cvzoo.ops import rle
from cvzoo.recipes import Recipe
from cvzoo.structures import Prediction, Sample, Target
from cvzoo.tasks import boxes
from cvzoo.tasks.box_study import BoxStudy
from cvzoo.tasks.boxes import (
    BoxEvaluation,
    BoxWriter,
    Kept,
    answered,
    charts,
    check_model,
    joined,
    kept,
    limited,
    predict_views,
    read,
)
from cvzoo.tasks.draw_boxes import colour_of
from cvzoo.tasks.draw_surfaces import checkerboard, draw_surfaces, draw_texture, read_atlas, seen_parts
from cvzoo.tasks.study import DRAWN_SIDE, Drawn, Gallery, Panel, Study
from cvzoo.tasks.task import Look, Metrics, Show, data_uri, no_look

__all__ = ["answered", "charts", "check_model", "joined", "kept", "limited", "predict_views", "read"]
HEADLINE = ("box_AP", "gps_AP", "gps_AP50", "gps_AP75", "gpsm_AP", "point_accuracy", "point_uv_error")


def check(recipe: Recipe[Any]) -> None:
    """Surfaces are learnt from surfaces, and measured on a body that is described."""
    data = recipe.data
    if data.semantic or not data.surfaces:
        raise ValueError(
            f"{recipe.row} finds surfaces of people, which the data leave out; give data of DensePose's format and"
            " --data.surfaces (docs/dense_pose.md)"
        )
    problems = [] if data.charts == "flat" else missing(data.smpl, MESH_FILES, "the evaluation of surfaces")
    if problems:
        raise ValueError(f"{problems[0]}. To measure within U and V of single parts instead: --data.charts flat")
    if data.test_scales or data.test_flip:
        raise ValueError(f"{recipe.row} cannot merge views; leave out --data.test-scales and --data.test-flip")


def class_names(recipe: Recipe[Any], count: int) -> list[str] | None:
    """One class is people."""
    return ["person"] if count == 1 else boxes.class_names(recipe, count)


# Evaluation


def metrics(recipe: Recipe[Any]) -> list[str]:
    """COCO's of boxes, the DensePose task's of surfaces, and the share of points whose part is right."""
    surfaces = [f"{mode}_{name}" for mode in MODES for name in NAMES]
    return [*boxes.metrics(recipe), *surfaces, "point_covered", "point_accuracy"]


def views(data: Data) -> list[Data]:
    """An image is looked at once."""
    return []


def score(kept: Iterable[Kept], dataset: ObjectDataset, recipe: Recipe[Any]) -> BoxEvaluation:
    """COCO's figures of boxes, and the DensePose task's of surfaces."""
    evaluation = boxes.score(kept, dataset, recipe)
    if any(prediction.surfaces is None for prediction in evaluation.predictions.values()):
        raise ValueError(f"{recipe.row} predicts boxes without surfaces; choose a row of dense pose")
    found = [
        detection
        for image_id, prediction in evaluation.predictions.items()
        for detection in found_in(prediction, image_id, dataset.category_ids)
    ]
    figures = evaluate_gps(dataset.ground_truth, found, geometry_of(recipe.data), KAPPAS)
    return replace(evaluation, figures=evaluation.figures | figures)


def geometry_of(data: Data) -> Geometry:
    """Where distances are measured. ValueError when a file that describes the body is missing or damaged."""
    if data.charts == "flat":
        return FlatGeometry()
    body = read_body(data.smpl)
    return MeshGeometry(body.parts_V, body.uv_V2, body.places_V, body.distances)


def found_in(prediction: Prediction, image_id: int, category_ids: Sequence[int]) -> Iterator[Found]:
    """The detections of an image."""
    corners = prediction.boxes.double().numpy()
    sides = corners[:, 2:] - corners[:, :2]
    for number, surface in enumerate(prediction.surfaces or ()):
        left, top = corners[number, :2].tolist()
        width, height = sides[number].tolist()
        mask = None
        if prediction.masks is not None:
            mask = _cut(rle.decode(prediction.masks[number]), int(left), int(top), surface.shape[1], surface.shape[2])
        yield Found(
            image_id=image_id,
            category_id=category_ids[int(prediction.labels[number])],
            box=(left, top, width, height),
            score=float(prediction.scores[number]),
            surface=surface.numpy(),
            mask=mask,
        )


def _cut(bitmap_HW: np.ndarray, left: int, top: int, height: int, width: int) -> np.ndarray:
    """A window of a bitmap, empty where it lies outside."""
    window = np.zeros((height, width), bool)
    inner = bitmap_HW[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)]
    first_row, first_column = max(-top, 0), max(-left, 0)
    window[first_row : first_row + inner.shape[0], first_column : first_column + inner.shape[1]] = inner
    return window


# Reports


def headline(metrics: Metrics) -> list[tuple[str, str]]:
    stats = metrics["val"]["stats"] if "val" in metrics else {}
    return [(name.replace("_", " "), f"{stats[name]:.3f}") for name in HEADLINE if name in stats]


def results(metrics: Metrics) -> list[tuple[str, str, dict[str, float]]]:
    """COCO's numbers, those of the DensePose task, and what was found at single points."""
    at_points = [(split, "points", boxes.stats_of(found["stats"], "point")) for split, found in metrics.items()]
    return [*boxes.results(metrics), *at_points]


def study(evaluation: BoxEvaluation, dataset: ObjectDataset) -> Study:
    """What is shown of boxes, with parts in colours on the images."""
    found = BoxStudy(dataset, evaluation.predictions, evaluation.figures.per_class)
    return Study(list(found.charts()), list(found.tables()), _gallery(found))


def _gallery(found: BoxStudy) -> Gallery:
    """One legend names the parts; predictions have lines of equal U and V."""
    images, parts = [], set()
    for position in found.worst():
        sample = found.dataset[position]
        answer = found.predictions[sample.image_id]
        answer = answer[answer.scores >= found.overall.threshold]
        parts |= {number for side in (sample.target, answer) for number in seen_parts(side)}
        images.append(_drawn(found.name(position), sample, answer, found.dataset.classes))
    note = "In predictions, white lines have equal U and black lines equal V. Dots are annotated points."
    legend = [(PARTS[number - 1], f"rgb{colour_of(number - 1)}") for number in sorted(parts)]
    return Gallery(note=f"{found.order} {note}", legend=legend, images=images)


def _drawn(name: str, sample: Sample, answer: Prediction, classes: Sequence[str]) -> Drawn:
    truth = draw_surfaces(sample.image, sample.target, classes, long_side=DRAWN_SIDE)
    found = draw_surfaces(sample.image, answer, classes, long_side=DRAWN_SIDE)
    return Drawn(
        name=name,
        truth=Panel(data_uri(truth), f"ground truth: {len(sample.target)} objects"),
        found=Panel(data_uri(found), f"prediction: {len(answer)} detections"),
    )


def draw_truth(image: Tensor, target: Target, classes: Sequence[str], long_side: int) -> Image.Image:
    return draw_surfaces(image, target, classes, long_side=long_side)


# Predictions


def writer(output: Path, classes: list[str], category_ids: Sequence[int], min_score: float) -> BoxWriter:
    """Each image drawn, and predictions.json in COCO's format, as `boxes` has it, with surfaces."""
    return boxes.writer(output, classes, category_ids, min_score, draw_surfaces)


def look(show: Show, model: Any, recipe: Recipe[Any], texture: Path | None) -> Look:
    """People painted with a texture: an atlas from a file, or a checkerboard."""
    if show != "texture":
        raise no_look(show, recipe)
    atlas = checkerboard() if texture is None else read_atlas(texture)
    return Look(
        lambda batch: [None] * len(batch),
        lambda image, seen, answer, min_score: draw_texture(image, answer, atlas, min_score),
    )
