"""RetinaNet, FCOS, ATSS, FreeAnchor and RepPoints, as detectron2 and mmdetection have them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from cvzoo.weights.load import load_state, to_ours
from parity import config_detectron2, config_mmdet
from parity.compare import (
    as_rows,
    batch_of,
    compare_detections,
    compare_levels,
    compare_mmdet_gradients,
    compare_training,
    detectron2_batch,
    tolerance,
)
from parity.golden import Case, Report
from torch import Tensor
from torchvision.ops import box_iou

from cvzoo.ops.anchors import anchors_of, per_anchor
from cvzoo.ops.assigners import IGNORED, Match, point_distances, targets_of_batch
from cvzoo.ops.boxes import encode_boxes
from cvzoo.ops.points import per_level, points_of
from cvzoo.structures import Batch, Size, Target, size_of
from cvzoo.zoo.atss.model import ATSS
from cvzoo.zoo.fcos.model import FCOS
from cvzoo.zoo.freeanchor.model import FreeAnchor
from cvzoo.zoo.reppoints.model import POINTS, RepPoints
from cvzoo.zoo.retinanet.model import RetinaNet

CENTRENESS = {"cls": "loss_cls", "bbox": "loss_box", "centerness": "loss_centreness"}
DETECTRON2_LOSSES = {
    "retinanet": {"loss_cls": "loss_cls", "loss_box_reg": "loss_box"},
    "fcos": {"loss_fcos_cls": "loss_cls", "loss_fcos_loc": "loss_box", "loss_fcos_ctr": "loss_centreness"},
}
MMDET_LOSSES = {
    "retinanet": {"loss_cls": "loss_cls", "loss_bbox": "loss_box"},
    "fcos": {f"loss_{name}": ours for name, ours in CENTRENESS.items()},
    "atss": {f"loss_{name}": ours for name, ours in CENTRENESS.items()},
    "freeanchor": {"positive_bag_loss": "loss_bag", "negative_bag_loss": "loss_background"},
    "reppoints": {"loss_cls": "loss_cls", "loss_pts_init": "loss_first", "loss_pts_refine": "loss_refined"},
}
"""By system: the reference's name of each loss and ours."""


def run_dense_detectron2(case: Case) -> Report:
    """RetinaNet or FCOS as detectron2 has it."""
    report, batch = Report(), detectron2_batch(case)
    system = case.name.split("/")[0]
    model = getattr(config_detectron2, system)(case.info).build()
    load_state(model, to_ours(case.weights), case.name)
    compare_training(report, case, model, model.train()(batch), DETECTRON2_LOSSES[system])
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


def run_dense_mmdet(case: Case) -> Report:
    """Any of them as mmdetection has it."""
    system = case.name.split("/")[0].removesuffix("_mmdet")
    report, batch = Report(case.info["tolerance"]["relative"]), batch_of(case, "gt_labels")
    config = getattr(config_mmdet, system)(case.info)
    model = config.build()
    load_state(model, to_ours(case.weights), case.name)
    images = config.pixels(batch.images, batch.sizes)
    report.close("preprocessed", images[:, :, ::16, ::16], case.expected["preprocessed"])
    _compare_losses(report, case, model, batch, MMDET_LOSSES[system])
    compare_mmdet_gradients(report, case, model)
    model.eval()
    with torch.no_grad():
        features = model.neck(model.backbone(images))
        raw = model.head(features)
    for level, actual in enumerate(features):
        if f"neck.{level}" in case.expected:
            report.close(f"neck.{level}", actual, case.expected[f"neck.{level}"])
        report.close(f"cls.{level}", raw.logits[level], case.expected[f"head.cls.{level}"])
    STAGES[system](report, case, model, raw, batch, size_of(images))
    for fast in (model, model.for_inference()):
        for n, prediction in enumerate(fast.predict(batch)):
            expected = {name: case.expected[f"detections.{n}.{name}"] for name in ("boxes", "scores", "labels")}
            report.same_set(f"detections.{n}", as_rows(prediction), expected)
    return report


def _compare_losses(report: Report, case: Case, model: Any, batch: Batch, names: dict[str, str]) -> None:
    """With all ground truth (leaving its gradients behind), and with none in image 1."""
    model.train()
    with torch.no_grad():
        without = model(replace(batch, targets=[batch.targets[0], Target.empty()]))
    losses = model(batch)
    for prefix, found in (("loss", losses), ("no_objects.loss", without)):
        assert set(found) == set(names.values())
        for theirs, ours in names.items():
            report.close(f"{prefix} {theirs}", found[ours].detach(), case.expected[f"{prefix}.{theirs}"])
        total = torch.stack(list(found.values())).sum()
        report.close(f"{prefix} total", total.detach(), case.expected[f"{prefix}.total"])
    torch.stack(list(losses.values())).sum().backward()


def _compare_retinanet(report: Report, case: Case, model: RetinaNet, raw: Any, batch: Batch, canvas: Size) -> None:
    config, anchors = model.config, torch.cat(anchors_of(model.config.anchors, raw.logits, canvas))
    matches = model.matches(raw, batch.targets, batch.sizes, canvas)
    labels_NM, truth_P4 = targets_of_batch(matches, batch.targets)
    image_P, anchor_P = torch.where(labels_NM >= 0)
    wanted_NM4 = torch.zeros(*labels_NM.shape, 4)
    wanted_NM4[image_P, anchor_P] = encode_boxes(truth_P4, anchors[anchor_P], config.box_weights)
    sizes = [per_anchor(x, 4).shape[1] for x in raw.deltas]
    for level, (labels, wanted) in enumerate(zip(labels_NM.split(sizes, 1), wanted_NM4.split(sizes, 1))):
        report.close(f"deltas.{level}", raw.deltas[level], case.expected[f"head.deltas.{level}"])
        background = torch.where(labels < 0, config.num_classes, labels)
        report.equal(f"labels.{level}", background, case.expected[f"target.labels.{level}"])
        report.equal(f"weights.{level}", labels != IGNORED, case.expected[f"target.label_weights.{level}"])
        report.close(f"wanted deltas.{level}", wanted, case.expected[f"target.deltas.{level}"])


def _compare_fcos(report: Report, case: Case, model: FCOS, raw: Any, batch: Batch, canvas: Size) -> None:
    strides, points = model.config.points.strides, points_of(model.config.points, raw.logits, canvas)
    for level, stride in enumerate(strides):
        report.close(f"ltrb.{level}", model.distances(raw.deltas[level], stride), case.expected[f"head.ltrb.{level}"])
        report.close(f"centerness.{level}", raw.centreness[level], case.expected[f"head.centerness.{level}"])
    labels_NM, truth_P4 = targets_of_batch(model.matches(raw, batch.targets, batch.sizes, canvas), batch.targets)
    image_P, row_P = torch.where(labels_NM >= 0)
    unit_M = per_level(strides, points) if model.config.distance == "relu" else torch.ones(labels_NM.shape[1])
    wanted_NM4 = torch.zeros(*labels_NM.shape, 4)
    wanted_NM4[image_P, row_P] = point_distances(torch.cat(points)[row_P], truth_P4) / unit_M[row_P, None]
    sizes = [len(level) for level in points]
    for level, (labels, wanted) in enumerate(zip(labels_NM.split(sizes, 1), wanted_NM4.split(sizes, 1))):
        expected = case.expected[f"target.labels.{level}"].view_as(labels)
        report.equal(f"labels.{level}", torch.where(labels < 0, model.config.num_classes, labels), expected)
        positive = labels >= 0  # the reference leaves distances to some box at the others
        expected = case.expected[f"target.ltrb.{level}"].view_as(wanted)
        report.close(f"distances.{level}", wanted[positive], expected[positive])


def _compare_atss(report: Report, case: Case, model: ATSS, raw: Any, batch: Batch, canvas: Size) -> None:
    anchors = anchors_of(model.config.anchors, raw.logits, canvas)
    for level in range(len(anchors)):
        report.close(f"deltas.{level}", raw.deltas[level], case.expected[f"head.deltas.{level}"])
        report.close(f"centerness.{level}", raw.centreness[level], case.expected[f"head.centerness.{level}"])
    matches = model.matches(raw, batch.targets, batch.sizes, canvas)
    count = sum(max(int(match.positive_A.sum()), 1) for match in matches)
    report.close("avg_factor", torch.tensor(float(count)), case.expected["target.avg_factor"].float())
    _compare_targets(report, case, "target", matches, batch.targets, anchors, model.config.num_classes)


def _compare_targets(
    report: Report,
    case: Case,
    prefix: str,
    matches: list[Match],
    targets: list[Target],
    levels: tuple[Tensor, ...],
    classes: int,
) -> None:
    """Labels and boxes of all candidates, level by level."""
    labels_NM, truth_P4 = targets_of_batch(matches, targets)
    boxes_NM4 = torch.zeros(*labels_NM.shape, 4)
    boxes_NM4[torch.where(labels_NM >= 0)] = truth_P4
    sizes = [len(level) for level in levels]
    for level, (labels, boxes) in enumerate(zip(labels_NM.split(sizes, 1), boxes_NM4.split(sizes, 1))):
        background = torch.where(labels < 0, classes, labels)
        report.equal(f"{prefix}.labels.{level}", background, case.expected[f"{prefix}.labels.{level}"])
        report.equal(f"{prefix}.used.{level}", labels != IGNORED, case.expected[f"{prefix}.label_weights.{level}"])
        report.close(f"{prefix}.boxes.{level}", boxes, case.expected[f"{prefix}.boxes.{level}"])


def _compare_freeanchor(report: Report, case: Case, model: FreeAnchor, raw: Any, batch: Batch, canvas: Size) -> None:
    for level, deltas in enumerate(raw.deltas):
        report.close(f"deltas.{level}", deltas, case.expected[f"head.deltas.{level}"])
    anchors = torch.cat(anchors_of(model.config.anchors, raw.logits, canvas))
    report.close("first anchors", anchors[:16], case.expected["target.anchors_head_16"])
    report.close("last anchors", anchors[-16:], case.expected["target.anchors_tail_16"])
    for n, target in enumerate(batch.targets):
        bags = model.bags(anchors, [target]).anchor_BT
        iou = box_iou(target.boxes, anchors).gather(1, bags).sort(dim=1, descending=True).values
        report.close(f"bag_ious.{n}", iou, case.expected[f"target.bag_ious.{n}"])
        report.equal(f"bags.{n}", bags.sum(dim=1), case.expected[f"target.bag_sum_of_anchor_indices.{n}"])


def _compare_reppoints(report: Report, case: Case, model: RepPoints, raw: Any, batch: Batch, canvas: Size) -> None:
    strides, points = model.config.points.strides, points_of(model.config.points, raw.logits, canvas)
    for level in range(len(points)):
        boxes = model.boxes(raw.refined[level].movedim(1, -1)).movedim(-1, 1)
        report.close(f"boxes.{level}", boxes, case.expected[f"head.boxes.{level}"])
        report.close(f"first.{level}", raw.first[level], case.expected[f"train.points_init.{level}"])
        report.close(f"refined.{level}", raw.refined[level], case.expected[f"train.points_refine.{level}"])
    first, refined = model.matches(raw, batch.targets, batch.sizes, canvas)
    points_NMD = torch.cat([per_anchor(x, 2 * POINTS) for x in raw.first], dim=1)
    boxes_NM4 = torch.cat(points).repeat(1, 2) + per_level(strides, points)[:, None] * model.boxes(points_NMD)
    for stage, matches in (("init", first), ("refine", refined)):
        count = sum(max(int(match.positive_A.sum()), 1) for match in matches)
        report.close(f"{stage} count", torch.tensor(float(count)), case.expected[f"target.{stage}.avg_factor"].float())
    sizes = [len(level) for level in points]
    labels_NM, truth_P4 = targets_of_batch(first, batch.targets)
    wanted_NM4 = torch.zeros_like(boxes_NM4)
    wanted_NM4[torch.where(labels_NM >= 0)] = truth_P4
    for level, (wanted, labels) in enumerate(zip(wanted_NM4.split(sizes, 1), labels_NM.split(sizes, 1))):
        report.close(f"init.boxes.{level}", wanted, case.expected[f"target.init.boxes.{level}"])
        used = (labels >= 0)[..., None].expand_as(wanted)
        report.equal(f"init.weights.{level}", used, case.expected[f"target.init.weights.{level}"])
    _compare_targets(report, case, "target.refine", refined, batch.targets, points, model.config.num_classes)
    proposals_NM4 = boxes_NM4 * torch.stack([match.positive_A for match in refined])[..., None]
    for level, proposals in enumerate(proposals_NM4.split(sizes, 1)):
        report.close(f"proposals.{level}", proposals, case.expected[f"target.refine.proposals.{level}"])


STAGES = {
    "retinanet": _compare_retinanet,
    "fcos": _compare_fcos,
    "atss": _compare_atss,
    "freeanchor": _compare_freeanchor,
    "reppoints": _compare_reppoints,
}
"""By system: the comparison of what lies between the features and the losses."""
