"""Mask R-CNN and Cascade Mask R-CNN as mmdetection has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from parity.compare import as_rows, batch_of, compare_mmdet_gradients, compare_mmdet_step, expected_masks
from parity.golden import Case, Report
from torch import Tensor

from cvzoo.ops.boxes import encode_boxes
from cvzoo.ops.masks import to_bitmap
from cvzoo.parts.rcnn.box_head import BoxOutput, Sampled
from cvzoo.parts.rcnn.mask_head import MaskHead
from cvzoo.structures import Batch, size_of
from cvzoo.weights.strict import load_state
from cvzoo.zoo.cascade_rcnn.model import CascadeRCNN, CascadeRCNNConfig
from cvzoo.zoo.mask_rcnn.model import MaskRCNNConfig

RPN_LOSSES = {"loss_rpn_cls": "loss_rpn_cls", "loss_rpn_bbox": "loss_rpn_box"}
HEAD_LOSSES = {"loss_cls": "loss_cls", "loss_bbox": "loss_box", "loss_mask": "loss_mask"}
"""mmdetection's name of each loss and ours; those of a stage of a cascade have its number."""


def run_cascade(case: Case, config: CascadeRCNNConfig) -> Report:
    model, stages = config.build(), range(len(config.stages))
    names = {f"s{k}.{theirs}": f"{ours}_{k}" for k in stages for theirs, ours in HEAD_LOSSES.items()}
    report, batch = begin(case, model, names)
    compare_stages(report, case, model, batch)
    maps, stored = compare_rpn(report, case, model.eval(), batch)
    outputs, _ = model.cascade(maps, stored, batch)
    compare_heads(report, case, model, maps, outputs[0], model.mask_heads[-1])
    compare_predictions(report, case, model, batch)
    return report


def run_mask_rcnn(case: Case, config: MaskRCNNConfig) -> Report:
    model = config.build()
    report, batch = begin(case, model, HEAD_LOSSES)
    with torch.no_grad():
        images = model.config.pixels(batch.images, batch.sizes)
        proposals = model.rpn.proposals(model.maps(images), batch.sizes, size_of(images))
    compare_targets(report, case, 0, model.box_head.sample(proposals, batch, ()), model.config.box_head.box_weights)
    maps, stored = compare_rpn(report, case, model.eval(), batch)
    output = model.box_head(model.regions(maps, stored, model.config.box_head.pool))
    compare_heads(report, case, model, maps, output, model.mask_head)
    compare_predictions(report, case, model, batch)
    return report


def begin(case: Case, model: Any, names: dict[str, str]) -> tuple[Report, Batch]:
    """The case's weights in the model, and a training step compared."""
    report, batch = Report(case.info["tolerance"]["relative"]), batch_of(case, "gt_labels")
    load_state(model, case.ours(model.config), case.name)
    images = model.config.pixels(batch.images, batch.sizes)
    report.close("preprocessed", images[:, :, ::16, ::16], case.expected["preprocessed"])
    compare_mmdet_step(report, case, model, batch, RPN_LOSSES | names)
    compare_mmdet_gradients(report, case, model)
    return report, batch


def compare_predictions(report: Report, case: Case, model: Any, batch: Batch) -> None:
    for fast in (model, model.for_inference()):
        for n, prediction in enumerate(fast.predict(batch)):
            prefix = f"detections.{n}"
            expected = {name: case.expected[f"{prefix}.{name}"] for name in ("boxes", "scores", "labels")}
            partners = report.same_set(prefix, as_rows(prediction), expected)
            assert prediction.masks is not None
            found = np.stack([to_bitmap(prediction.masks[partner], batch.original_sizes[n]) for partner in partners])
            report.equal(f"{prefix}.masks", torch.from_numpy(found), torch.from_numpy(expected_masks(case, prefix)))


def compare_stages(report: Report, case: Case, model: CascadeRCNN, batch: Batch) -> None:
    """What the boxes of each stage learn: the same boxes, with the same labels and deltas, in any order."""
    images = model.config.pixels(batch.images, batch.sizes)
    with torch.no_grad():
        maps = model.maps(images)
        boxes = model.rpn.proposals(maps, batch.sizes, size_of(images))
        for k, head in enumerate(model.box_heads):
            sampled = model.sample(k, boxes, batch)
            boxes = [s.boxes_R4 for s in sampled]
            outputs = head(model.regions(maps, boxes, model.config.box_head.pool))
            compare_targets(report, case, k, sampled, model.config.stages[k].box_weights)
            boxes = model.refined(k, outputs, sampled, batch)


def compare_targets(report: Report, case: Case, k: int, sampled: list[Sampled], weights) -> None:
    rois_R5, labels_R = case.expected[f"target.rois.{k}"], case.expected[f"target.roi_labels.{k}"]
    for n, s in enumerate(sampled):
        rows = rois_R5[:, 0] == n
        expected = {"boxes": rois_R5[rows, 1:], "scores": torch.ones(int(rows.sum())), "labels": labels_R[rows]}
        found = {"boxes": s.boxes_R4, "scores": torch.ones(len(s.boxes_R4)), "labels": s.labels_R}
        report.same_set(f"target.rois.{k}.{n}", found, expected)
        theirs = case.expected[f"target.roi_deltas.{k}"][rows & (labels_R < case.info["classes"])]
        ours = encode_boxes(s.truth_F4, s.boxes_R4[s.foreground_F], weights)
        report.same_set(f"target.roi_deltas.{k}.{n}", _as_boxes(ours), _as_boxes(theirs))


def _as_boxes(deltas: Tensor) -> dict[str, Tensor]:
    return {"boxes": deltas, "scores": torch.ones(len(deltas))}


def compare_rpn(report: Report, case: Case, model: Any, batch: Batch) -> tuple[list[Tensor], list[Tensor]]:
    """The maps, and the reference's proposals."""
    images = model.config.pixels(batch.images, batch.sizes)
    with torch.no_grad():
        maps = model.maps(images)
        raw = model.rpn(maps)
    for level in range(1, 5):
        report.close(f"neck.{level}", maps[level], case.expected[f"neck.{level}"])
        report.close(f"rpn.cls.{level}", raw.logits[level], case.expected[f"rpn.cls.{level}"])
        report.close(f"rpn.deltas.{level}", raw.deltas[level], case.expected[f"rpn.deltas.{level}"])
    for n, found in enumerate(model.rpn.propose(raw, batch.sizes, size_of(images))):
        expected = {name: case.expected[f"proposals.{n}.{name}"] for name in ("boxes", "scores")}
        report.same_set(f"proposals.{n}", {"boxes": found.boxes, "scores": found.logits.sigmoid()}, expected)
    return maps, [case.expected[f"proposals.{n}.boxes"] for n in range(len(batch))]


def compare_heads(
    report: Report, case: Case, model: Any, maps: list[Tensor], output: BoxOutput, head: MaskHead
) -> None:
    """`output` is the (first) box head's on the reference's proposals; masks are those of its detections."""
    report.close("roi.cls", output.logits, case.expected["roi.cls"])
    report.close("roi.deltas", output.deltas, case.expected["roi.deltas"])
    images = range(len(maps[0]))
    boxes = [case.expected[f"detections.{n}.boxes"] for n in images]
    labels = torch.cat([case.expected[f"detections.{n}.labels"] for n in images])
    with torch.no_grad():
        logits = head(model.regions(maps, boxes, head.config.pool), labels)
    report.close("mask logits", logits, case.expected["roi.mask_logits_of_detections"])
