"""The R-CNN family as detectron2 has it: Faster and Mask R-CNN with a pyramid or on C4, Cascade R-CNN, TridentNet."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from parity.compare import (
    bitmaps_of,
    compare_detections,
    compare_levels,
    compare_mask,
    compare_proposals,
    compare_training,
    detectron2_batch,
    expected_masks,
    tolerance,
)
from parity.golden import Case, Report
from parity.run_surfaces import SURFACE_LOSSES, compare_surfaces
from torch import Tensor

from cvzoo.structures import Batch, Prediction, Target, size_of
from cvzoo.zoo.cascade_rcnn.model import CascadeRCNN


def run_rcnn(case: Case, config: Any) -> Report:
    report, batch = Report(), detectron2_batch(case)
    model = case.model(config)
    compare_steps(report, case, model.train(), batch)
    model.eval()
    images = model.config.pixels(batch.images, batch.sizes)
    with torch.no_grad():
        maps = model.maps(images)
        raw = model.rpn(maps)
    for name, actual in zip(_levels(case), maps, strict=True):
        expected = case.expected[f"eval.features.{name}"]
        report.close(name, actual, expected, tolerance(case, "eval.features"))
    compare_levels(report, case, "eval.rpn_head.objectness", raw.logits, "eval.rpn_head")
    compare_levels(report, case, "eval.rpn_head.deltas", raw.deltas, "eval.rpn_head")
    branches = len(maps[0]) // len(batch)
    found = model.rpn.propose(raw, batch.sizes * branches, size_of(images))
    compare_proposals(report, case, "eval.proposals", found)
    compare_heads(report, case, model, maps, batch)
    for fast in (model, model.for_inference()):
        found = fast.predict(batch)
        partners = compare_detections(report, case, found, tolerance(case, "eval.detections"))
        if found[0].masks is not None:
            compare_masks(report, case, fast, batch, found, partners)
        if found[0].surfaces is not None:
            compare_surfaces(report, case, fast, batch, found, partners, numbers=fast is model)
    return report


def _probability_limit(case: Case) -> float:
    """What the case's tolerance on mask logits is worth as a probability: so near the threshold a pixel is a tie."""
    return tolerance(case, "eval.mask_logits") * case.expected["eval.mask_logits"].abs().max().item() / 4


def compare_masks(
    report: Report,
    case: Case,
    model: Any,
    batch: Batch,
    found: list[Prediction],
    partners: list[list[int]],
) -> None:
    """Every pixel is the reference's, except those whose probability is as good as the threshold."""
    (detections, maps), limit = model.detections(batch), _probability_limit(case)
    for n, probabilities in enumerate(model.masks(maps, detections)):
        expected = expected_masks(case, f"eval.detections.{n}")
        assert len(probabilities) == len(found[n]), "a detection was dropped after its mask was made"
        masks = found[n].masks
        assert masks is not None
        for row, partner in enumerate(partners[n]):
            place = probabilities[partner], found[n].boxes[partner]
            compare_mask(report, f"masks of {n}.{row}", masks[partner], expected[row], *place, limit)


def _levels(case: Case) -> list[str]:
    prefix = "eval.features."
    return sorted(key.removeprefix(prefix) for key in case.expected if key.startswith(prefix))


def compare_steps(report: Report, case: Case, model: Any, batch: Batch) -> None:
    """A training step and, of systems with masks, another one with bitmaps for polygons."""
    images = model.config.pixels(batch.images, batch.sizes)
    with torch.no_grad():
        raw = model.raw(images)
        branches = len(raw.logits[0]) // len(batch)
        proposals = model.rpn.propose(raw, batch.sizes * branches, size_of(images))
    compare_proposals(report, case, "train.proposals", proposals)
    names = {"loss_rpn_cls": "loss_rpn_cls", "loss_rpn_loc": "loss_rpn_box"}
    if isinstance(model, CascadeRCNN):
        names |= {f"loss_cls_stage{k}": f"loss_cls_{k}" for k in range(len(model.box_heads))}
        names |= {f"loss_box_reg_stage{k}": f"loss_box_{k}" for k in range(len(model.box_heads))}
    else:
        names |= {"loss_cls": "loss_cls", "loss_box_reg": "loss_box"}
    if batch.targets[0].surfaces is not None:
        names |= {name: ours for name, ours in SURFACE_LOSSES.items() if f"train.loss.{name}" in case.expected}
    if batch.targets[0].masks is not None:
        names["loss_mask"] = "loss_mask_0" if isinstance(model, CascadeRCNN) else "loss_mask"
        targets = [
            Target(target.boxes, target.labels, bitmaps_of(case, n, size))
            for n, (target, size) in enumerate(zip(batch.targets, batch.sizes))
        ]
        bitmaps = replace(batch, targets=targets)
        compare_training(report, case, model, model(bitmaps), names, step="train_bitmask")
    compare_training(report, case, model, model(batch), names)


def compare_heads(report: Report, case: Case, model: Any, maps: list[Tensor], batch: Batch) -> None:
    """Fed with the stored proposals, rows keep their places and the plain tolerance holds."""
    stored = case_boxes(case, "eval.proposals", "proposal_boxes")
    with torch.no_grad():
        if isinstance(model, CascadeRCNN):
            outputs = model.cascade(maps, stored, batch)[0]
            names = [f"eval.box_predictor_stage{k}" for k in range(len(outputs))]
        else:
            pooled = model.regions(maps, stored, model.config.box_head.pool)
            outputs, names = [model.box_head(pooled)], ["eval.box_predictor"]
        for name, output in zip(names, outputs):
            report.close(f"{name}.scores", output.logits, case.expected[f"{name}.scores"])
            report.close(f"{name}.deltas", output.deltas, case.expected[f"{name}.deltas"])
        if "eval.mask_logits" in case.expected:
            found, _ = model.detections(batch)
            boxes = [f.boxes for f in found]
            head = model.mask_heads[0] if isinstance(model, CascadeRCNN) else model.mask_head
            logits = head.out(head.hidden(model.regions(maps, boxes, head.config.pool)))
            report.close("mask_logits", logits, case.expected["eval.mask_logits"], tolerance(case, "eval.mask_logits"))


def case_boxes(case: Case, prefix: str, name: str) -> list[Tensor]:
    boxes: list[Tensor] = []
    while (key := f"{prefix}.{len(boxes)}.{name}") in case.expected:
        boxes.append(case.expected[key])
    return boxes
