"""How cases of dense detectors are compared, as detectron2 and mmdetection have them, and what their systems share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from parity.compare import (
    as_rows,
    batch_of,
    compare_detections,
    compare_levels,
    compare_mmdet_gradients,
    compare_mmdet_step,
    compare_training,
    detectron2_batch,
    tolerance,
)
from parity.golden import Case, Report
from torch import Tensor

from cvzoo.ops.assigners import IGNORED, Match, targets_of_batch
from cvzoo.structures import Batch, Size, Target, size_of

ConfigOf = Callable[[dict[str, Any]], Any]
"""From what a case states to the model's config."""
Compare = Callable[[Report, Case, Any, Any, Batch, Size], None]
"""Compares what lies between features and losses: report, case, model, its raw outputs, batch, canvas."""


def run_detectron2(case: Case, *, config_of: ConfigOf, losses: Mapping[str, str]) -> Report:
    """`losses` are the reference's names of the losses and ours."""
    report, batch = Report(), detectron2_batch(case)
    model = case.model(config_of(case.info))
    compare_training(report, case, model, model.train()(batch), dict(losses))
    model.eval()
    images = model.config.pixels(batch.images, batch.sizes)
    with torch.no_grad():
        features = model.neck(model.backbone(images))
        raw = model.head(features)
    for level, actual in enumerate(features, start=3):
        report.close(f"p{level}", actual, case.expected[f"eval.features.p{level}"], tolerance(case, "eval.features"))
    outputs = {"logits": raw.logits, "deltas": raw.deltas, "ltrb": raw.deltas, "centerness": raw.centreness}
    for name, levels in outputs.items():
        if f"eval.head.{name}.0" in case.expected:
            compare_levels(report, case, f"eval.head.{name}", levels, "eval.head")
    matches = model.matches(raw, batch.targets, batch.sizes, size_of(images))
    positives = sum(match.positive_A.sum() for match in matches)
    report.close("positives", torch.as_tensor(positives / len(batch)), case.expected["train.logged.num_pos_anchors"])
    for fast in (model, model.for_inference()):
        compare_detections(report, case, fast.predict(batch), tolerance(case, "eval.detections"))
    return report


def run_mmdetection(case: Case, *, config_of: ConfigOf, losses: Mapping[str, str], compare: Compare) -> Report:
    """`losses` as above; `compare` compares what is the system's own."""
    report, batch = Report(case.info["tolerance"]["relative"]), batch_of(case, "gt_labels")
    model = case.model(config_of(case.info))
    images = model.config.pixels(batch.images, batch.sizes)
    report.close("preprocessed", images[:, :, ::16, ::16], case.expected["preprocessed"])
    compare_mmdet_step(report, case, model, batch, losses)
    compare_mmdet_gradients(report, case, model)
    model.eval()
    with torch.no_grad():
        features = model.neck(model.backbone(images))
        raw = model.head(features)
    for level, actual in enumerate(features):
        if f"neck.{level}" in case.expected:
            report.close(f"neck.{level}", actual, case.expected[f"neck.{level}"])
        report.close(f"cls.{level}", raw.logits[level], case.expected[f"head.cls.{level}"])
    compare(report, case, model, raw, batch, size_of(images))
    for fast in (model, model.for_inference()):
        for n, prediction in enumerate(fast.predict(batch)):
            expected = {name: case.expected[f"detections.{n}.{name}"] for name in ("boxes", "scores", "labels")}
            report.same_set(f"detections.{n}", as_rows(prediction), expected)
    return report


def compare_count(report: Report, case: Case, prefix: str, matches: list[Match]) -> None:
    """What the reference divides losses by: its positives, at least one of each image."""
    count = sum(max(int(match.positive_A.sum()), 1) for match in matches)
    report.close(f"{prefix} count", torch.tensor(float(count)), case.expected[f"{prefix}.avg_factor"].float())


def compare_targets(
    report: Report,
    case: Case,
    prefix: str,
    matches: list[Match],
    targets: list[Target],
    levels: tuple[Tensor, ...],
    classes: int,
) -> None:
    """Labels and boxes of all candidates, level by level."""
    labels_NM, image_P, row_P, truth_P4 = targets_of_batch(matches, targets)
    boxes_NM4 = torch.zeros(*labels_NM.shape, 4)
    boxes_NM4[image_P, row_P] = truth_P4
    sizes = [len(level) for level in levels]
    for level, (labels, boxes) in enumerate(zip(labels_NM.split(sizes, 1), boxes_NM4.split(sizes, 1))):
        background = torch.where(labels < 0, classes, labels)
        report.equal(f"{prefix}.labels.{level}", background, case.expected[f"{prefix}.labels.{level}"])
        report.equal(f"{prefix}.used.{level}", labels != IGNORED, case.expected[f"{prefix}.label_weights.{level}"])
        report.close(f"{prefix}.boxes.{level}", boxes, case.expected[f"{prefix}.boxes.{level}"])
