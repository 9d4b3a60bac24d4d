"""Side by side with torchvision on real pictures: its random weights, through our importer, give its outputs."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from parity.golden import Report
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import FrozenBatchNorm2d

from cvzoo.data.transforms import resize
from cvzoo.models.faster_rcnn import FasterRCNN, FasterRCNNConfig
from cvzoo.models.mask_rcnn import MaskRCNN, MaskRCNNConfig
from cvzoo.models.retinanet import RetinaNet
from cvzoo.ops.classes import classes_of
from cvzoo.ops.masks import decode
from cvzoo.structures import Batch, Prediction, size_of
from cvzoo.weights.keys import to_ours
from cvzoo.weights.strict import load_state

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # which compare with the same models
from side_by_side import (
    BACKGROUND,
    COCO,
    System,
    Version,
    batch_of,
    spread_scores,
    torchvision_inputs,
    torchvision_model,
    val_pictures,
)

pytestmark = pytest.mark.skipif(not COCO.exists(), reason=f"real pictures are not at {COCO}")
SIZES = ((192, 256), (256, 192))
SIDES = {"min_size": 192, "max_size": 256}
TINY = 64
"""Masks of fewer pixels say little about how they were pasted."""
Found = list[dict[str, Tensor]]
"""torchvision's detections of each image."""


@cache
def batch() -> Batch:
    """Two validation pictures with COCO's boxes and polygons, resized here so that neither side resizes again."""
    pictures = val_pictures()
    return batch_of([resize(pictures[n], size) for n, size in enumerate(SIZES)], canvas=(256, 256))


def randomise(model: nn.Module, system: System, spread: float, pictures: list[Tensor]) -> None:
    """Weights for which activations stay small, and class scores that differ enough to be ordered."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, (FrozenBatchNorm2d, nn.BatchNorm2d)):
            module.weight.data.uniform_(0.2, 0.5, generator=generator)
            module.bias.data.uniform_(-0.1, 0.1, generator=generator)
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.uniform_(-0.1, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    for name, parameter in model.named_parameters():
        if "bbox" in name and name.endswith("weight"):
            # boxes that hardly leave their anchors overlap by round fractions, and NMS hangs on the last bit
            parameter.data.mul_(10)
    spread_scores(model, system, spread, pictures)


def two_stage(system: System, version: Version) -> tuple[nn.Module, FasterRCNNConfig | MaskRCNNConfig]:
    """Both sides of an R-CNN with limits under which nothing hangs on chance or on the last bit."""
    # samples exceed the candidates, so that no random choice is left to differ in
    options = {"rpn_batch_size_per_image": 10**6, "box_batch_size_per_image": 10**6}
    # few candidates: of many thousand pairs of random boxes some have an IoU that hangs on the last bit
    options |= {"rpn_pre_nms_top_n_train": 100, "rpn_pre_nms_top_n_test": 50}
    options |= {"rpn_post_nms_top_n_train": 200, "rpn_post_nms_top_n_test": 100}
    options |= {"box_detections_per_img": 10**6}  # scores of a random head nearly tie: a limit would cut between them
    theirs, config = torchvision_model(system, version, **SIDES, **options)
    assert isinstance(config, FasterRCNNConfig | MaskRCNNConfig)
    # every anchor and proposal may be sampled, whatever its sign
    limits = {"pre_nms_train": 100, "pre_nms_test": 50, "post_nms_train": 200, "post_nms_test": 100}
    rpn = replace(config.rpn, samples=2 * 10**6, positive_fraction=0.5, **limits)
    detect = replace(config.box_head.detect, detections=10**6)
    box_head = replace(config.box_head, samples=4 * 10**6, positive_fraction=0.25, detect=detect)
    return theirs, replace(config, rpn=rpn, box_head=box_head)


def compare_detections(
    report: Report, system: System, found: Found, ours: list[Prediction], class_ids: tuple[int, ...]
) -> None:
    """Boxes, scores and labels; masks where there are any: torchvision's are cut at whole pixels, ours are not."""
    for n, (theirs, prediction) in enumerate(zip(found, ours)):
        labels = classes_of(theirs["labels"] - BACKGROUND[system], class_ids)
        known = labels >= 0
        expected = {"boxes": theirs["boxes"][known], "scores": theirs["scores"][known], "labels": labels[known]}
        assert known.sum() > 5, "too few detections to say anything"
        actual = {"boxes": prediction.boxes, "scores": prediction.scores, "labels": prediction.labels}
        partners = report.same_set(f"detections {n}", actual, expected)
        if prediction.masks is None:
            continue
        bitmaps = (theirs["masks"][known, 0] >= 0.5).numpy()
        overlaps = [
            mask_iou(decode(prediction.masks[partner], SIZES[n]), bitmap)
            for partner, bitmap in zip(partners, bitmaps)
            if bitmap.sum() >= TINY
        ]
        assert len(overlaps) > 5, "too few masks to say anything"

        report.compared += 1
        if min(overlaps) <= 0.98:
            report.problems.append(f"masks {n}: one has an IoU of {min(overlaps):.4f} only")


def mask_iou(one_HW: np.ndarray, other_HW: np.ndarray) -> float:
    return np.logical_and(one_HW, other_HW).sum() / np.logical_or(one_HW, other_HW).sum()


def compare_mask_probabilities(report: Report, found: Found, ours: MaskRCNN, images: Batch) -> None:
    """What both put under each detection, before it is pasted."""
    detections, maps = ours.detections(images)
    masks = ours.masks(maps, detections)
    for n, (expected, actual) in enumerate(zip(found, detections)):
        labels = expected["labels"] - BACKGROUND["mask_rcnn"]
        rows = {"boxes": actual.boxes, "scores": actual.scores, "labels": actual.labels}
        partners = report.same_set(f"network detections {n}", rows, {**expected, "labels": labels})
        report.close(f"mask probabilities {n}", masks[n][partners], expected["masks"][:, 0])


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_retinanet(version: Version) -> None:
    theirs, config = torchvision_model("retinanet", version, **SIDES)
    images = batch()
    pictures, targets = torchvision_inputs("retinanet", images, config.class_ids)
    randomise(theirs, "retinanet", 0.7, pictures)
    ours, report = config.build(), Report()
    assert isinstance(ours, RetinaNet)
    load_state(ours, to_ours(theirs.state_dict()), "torchvision")

    theirs.train()
    ours.train()
    with torch.no_grad():
        expected, losses = theirs(pictures, targets), ours(images)
    report.close("loss_cls", losses["loss_cls"], expected["classification"])
    report.close("loss_box", losses["loss_box"], expected["bbox_regression"])

    theirs.eval()
    ours.eval()
    load_state(ours, to_ours(theirs.state_dict()), "torchvision")
    with torch.no_grad():
        canvas, _ = theirs.get_submodule("transform")(pictures)
        features = theirs.get_submodule("backbone")(canvas.tensors)
        head = theirs.get_submodule("head")(list(features.values()))
        normalised = ours.config.pixels(images.images, images.sizes)
        raw = ours.raw(normalised)
        found = theirs(pictures)
    report.close("images", normalised, canvas.tensors)
    flat = [torch.cat([x.permute(0, 2, 3, 1).flatten(1) for x in levels], 1) for levels in raw]
    report.close("logits", flat[0], head["cls_logits"].flatten(1))
    report.close("deltas", flat[1], head["bbox_regression"].flatten(1))
    compare_detections(report, "retinanet", found, ours.predict(images), config.class_ids)
    report.finish()


LOSSES = {
    "loss_objectness": "loss_rpn_cls",
    "loss_rpn_box_reg": "loss_rpn_box",
    "loss_classifier": "loss_cls",
    "loss_box_reg": "loss_box",
    "loss_mask": "loss_mask",
}
"""torchvision's names of an R-CNN's losses, and ours."""


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("system", ["faster_rcnn", "mask_rcnn"])
def test_two_stage(system: System, version: Version) -> None:
    theirs, config = two_stage(system, version)
    images = batch()
    pictures, targets = torchvision_inputs(system, images, config.class_ids)
    randomise(theirs, system, 4.0, pictures)
    ours, report = config.build(), Report()
    load_state(ours, to_ours(theirs.state_dict()), "torchvision")

    theirs.train()
    ours.train()
    with torch.no_grad():
        expected, losses = theirs(pictures, targets), ours(images)
    assert {LOSSES[name] for name in expected} == set(losses)
    for name, loss in expected.items():
        report.close(LOSSES[name], losses[LOSSES[name]], loss)

    theirs.eval()
    ours.eval()
    load_state(ours, to_ours(theirs.state_dict()), "torchvision")
    with torch.no_grad():
        compare_stages(report, theirs, ours, pictures, images)
        found = theirs(pictures)
    compare_detections(report, system, found, ours.predict(images), config.class_ids)
    report.finish()


def compare_stages(
    report: Report, theirs: nn.Module, ours: FasterRCNN | MaskRCNN, pictures: list[Tensor], images: Batch
) -> None:
    """Raw outputs of the RPN, proposals, and the mask probabilities."""
    canvas, _ = theirs.get_submodule("transform")(pictures)
    features = theirs.get_submodule("backbone")(canvas.tensors)
    objectness, deltas = theirs.get_submodule("rpn.head")(list(features.values()))
    boxes, _ = theirs.get_submodule("rpn")(ImageList(canvas.tensors, canvas.image_sizes), features)
    raw = ours.raw(ours.config.pixels(images.images, images.sizes))
    for level in range(len(objectness)):
        report.close(f"objectness {level}", raw.logits[level], objectness[level])
        report.close(f"rpn deltas {level}", raw.deltas[level], deltas[level])
    proposals = ours.rpn.propose(raw, images.sizes, size_of(canvas.tensors))
    for n, (actual, wanted) in enumerate(zip(proposals, boxes)):
        report.same_set(
            f"proposals {n}",
            {"boxes": actual.boxes, "scores": torch.ones(len(actual.boxes))},
            {"boxes": wanted, "scores": torch.ones(len(wanted))},
        )
    if isinstance(ours, MaskRCNN):
        found, _ = theirs.get_submodule("roi_heads")(features, boxes, canvas.image_sizes)
        compare_mask_probabilities(report, found, ours, images)
