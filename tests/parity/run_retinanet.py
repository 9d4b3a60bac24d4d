"""RetinaNet as detectron2 and mmdetection have it."""

from __future__ import annotations

import torch
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

from cvzoo.models.retinanet import RetinaNet
from cvzoo.ops.anchors import per_anchor
from cvzoo.ops.assigners import IGNORED
from cvzoo.ops.boxes import encode_boxes
from cvzoo.structures import Batch, Target, size_of
from cvzoo.weights.load import load_state, to_ours


def run_retinanet(case: Case) -> Report:
    """RetinaNet as detectron2 has it."""
    report, batch = Report(), detectron2_batch(case)
    model = RetinaNet(config_detectron2.retinanet(case.info))
    load_state(model, to_ours(case.weights), case.name)
    losses = model.train()(batch)
    compare_training(report, case, model, losses, {"loss_cls": "loss_cls", "loss_box_reg": "loss_box"})
    model.eval()
    images = model.config.pixels(batch.images, batch.sizes)
    with torch.no_grad():
        features = model.neck(model.backbone(images))
        raw = model.head(features)
    for level, actual in enumerate(features, start=3):
        report.close(f"p{level}", actual, case.expected[f"eval.features.p{level}"], tolerance(case, "eval.features"))
    compare_levels(report, case, "eval.head.logits", raw.logits, "eval.head")
    compare_levels(report, case, "eval.head.deltas", raw.deltas, "eval.head")
    positives = sum(m.positive_A.sum() for m in assignments(model, raw, batch))
    report.close("positives", torch.as_tensor(positives / len(batch)), case.expected["train.logged.num_pos_anchors"])
    for fast in (model, model.for_inference()):
        compare_detections(report, case, fast.predict(batch), tolerance(case, "eval.detections"))
    return report


def assignments(model: RetinaNet, raw, batch: Batch):
    canvas = size_of(model.config.pixels(batch.images, batch.sizes))
    anchors = torch.cat(model.anchors(raw, canvas))
    return [model.assign(anchors, target, model.valid(raw, size)) for target, size in zip(batch.targets, batch.sizes)]


def run_retinanet_mmdet(case: Case) -> Report:
    """RetinaNet as mmdetection has it."""
    report, batch = Report(case.info["tolerance"]["relative"]), batch_of(case, "gt_labels")
    model = RetinaNet(config_mmdet.retinanet(case.info))
    load_state(model, to_ours(case.weights), case.name)
    images = model.config.pixels(batch.images, batch.sizes)
    report.close("preprocessed", images[:, :, ::16, ::16], case.expected["preprocessed"])
    compare_mmdet_losses(report, case, model, batch)
    compare_mmdet_gradients(report, case, model)
    model.eval()
    with torch.no_grad():
        features = model.neck(model.backbone(images))
        raw = model.head(features)
    for level, actual in enumerate(features):
        if f"neck.{level}" in case.expected:
            report.close(f"neck.{level}", actual, case.expected[f"neck.{level}"])
        report.close(f"cls.{level}", raw.logits[level], case.expected[f"head.cls.{level}"])
        report.close(f"deltas.{level}", raw.deltas[level], case.expected[f"head.deltas.{level}"])
    compare_mmdet_targets(report, case, model, raw, batch)
    for fast in (model, model.for_inference()):
        for n, prediction in enumerate(fast.predict(batch)):
            expected = {name: case.expected[f"detections.{n}.{name}"] for name in ("boxes", "scores", "labels")}
            report.same_set(f"detections.{n}", as_rows(prediction), expected)
    return report


def compare_mmdet_losses(report: Report, case: Case, model: RetinaNet, batch: Batch) -> None:
    """With all ground truth (leaving its gradients behind), and with none in picture 1."""
    model.train()
    empty = Batch(batch.images, batch.sizes, batch.original_sizes, [batch.targets[0], Target.empty()], batch.image_ids)
    with torch.no_grad():
        without = model(empty)
    losses = model(batch)
    for prefix, found in (("loss", losses), ("no_objects.loss", without)):
        report.close(f"{prefix}_cls", found["loss_cls"].detach(), case.expected[f"{prefix}.loss_cls"])
        report.close(f"{prefix}_bbox", found["loss_box"].detach(), case.expected[f"{prefix}.loss_bbox"])
        total = torch.stack(list(found.values())).sum()
        report.close(f"{prefix}_total", total.detach(), case.expected[f"{prefix}.total"])
    torch.stack(list(losses.values())).sum().backward()


def compare_mmdet_targets(report: Report, case: Case, model: RetinaNet, raw, batch: Batch) -> None:
    config = model.config
    matches = assignments(model, raw, batch)
    anchors = torch.cat(model.anchors(raw, size_of(config.pixels(batch.images, batch.sizes))))
    labels = torch.stack([m.labels(t.labels) for m, t in zip(matches, batch.targets)])
    deltas = torch.zeros(*labels.shape, 4)
    for row, match, target in zip(deltas, matches, batch.targets):
        positive = match.positive_A
        row[positive] = encode_boxes(target.boxes[match.index_A[positive]], anchors[positive], config.box_weights)
    sizes = [per_anchor(x, 4).shape[1] for x in raw.deltas]
    for level, (label, delta) in enumerate(zip(labels.split(sizes, 1), deltas.split(sizes, 1))):
        background = torch.where(label < 0, config.num_classes, label)
        report.equal(f"labels.{level}", background, case.expected[f"target.labels.{level}"])
        report.equal(f"weights.{level}", label != IGNORED, case.expected[f"target.label_weights.{level}"])
        report.close(f"deltas.{level}", delta, case.expected[f"target.deltas.{level}"])
