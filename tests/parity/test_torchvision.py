"""Side by side with torchvision on real images: its random weights, through our importer, give its outputs."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from parity.compare import as_rows
from parity.evidence import proves, record
from parity.golden import Report
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import expand_boxes, paste_masks_in_image
from torchvision.ops import FrozenBatchNorm2d

from cvzoo.data.transforms import resize
from cvzoo.ops.class_ids import classes_of
from cvzoo.ops.masks import paste_masks, to_bitmap
from cvzoo.structures import RLE, Batch, Prediction, Size, size_of
from cvzoo.zoo.faster_rcnn.model import FasterRCNN, FasterRCNNConfig
from cvzoo.zoo.fcos.model import FCOS, FCOSConfig
from cvzoo.zoo.mask_rcnn.model import MaskRCNN, MaskRCNNConfig
from cvzoo.zoo.retinanet.model import RetinaNet, RetinaNetConfig

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # which compare with the same models
from paste_masks import blobs, boxes_in  # pyright: ignore[reportMissingImports]
from side_by_side import (  # pyright: ignore[reportMissingImports]
    BACKGROUND,
    COCO,
    System,
    Version,
    batch_of,
    spread_scores,
    torchvision_inputs,
    torchvision_model,
    val_images,
    with_weights_of,
)

pytestmark = pytest.mark.skipif(not COCO.exists(), reason=f"real images are not at {COCO}")
SIZES = ((192, 256), (256, 192))
SIDES = {"min_size": 192, "max_size": 256}
LARGE = 96
"""Pixels per side of a box from which on it matters little that torchvision cuts boxes to whole pixels."""
NORMS = {"weight": (0.2, 0.5), "bias": (-0.1, 0.1), "running_mean": (-0.1, 0.1), "running_var": (0.5, 1.5)}
"""Between which values a batch norm's tensors are drawn."""
LOSSES = {
    "classification": "loss_cls",
    "bbox_regression": "loss_box",
    "bbox_ctrness": "loss_centreness",
    "loss_objectness": "loss_rpn_cls",
    "loss_rpn_box_reg": "loss_rpn_box",
    "loss_classifier": "loss_cls",
    "loss_box_reg": "loss_box",
    "loss_mask": "loss_mask",
}
"""torchvision's names of the losses, and ours."""
Found = list[dict[str, Tensor]]
"""torchvision's detections of each image, or its targets."""


@cache
def batch() -> Batch:
    """Two validation images with COCO's boxes and polygons, resized here so that neither side resizes again."""
    images = val_images()
    return batch_of([resize(images[n], size) for n, size in enumerate(SIZES)], canvas=(256, 256))


def noisy(inputs: Batch) -> Batch:
    """In flat areas neighbouring anchors score alike to the last bit, and NMS takes one or the other by chance."""
    noise = torch.randint(-16, 17, inputs.images.shape, generator=torch.Generator().manual_seed(0))
    images = (inputs.images + noise).clamp(0, 255).to(torch.uint8)
    return replace(inputs, images=images)


def randomise(model: nn.Module, system: System, spread: float, images: list[Tensor]) -> None:
    """Weights for which activations stay small, and class scores that differ enough to be ordered."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, (FrozenBatchNorm2d, nn.BatchNorm2d)):
            state = module.state_dict()
            for name, (low, high) in NORMS.items():
                state[name].uniform_(low, high, generator=generator)
    for name, parameter in model.named_parameters():
        if "bbox" in name and name.endswith("weight"):
            # boxes that hardly leave their anchors overlap by round fractions, and NMS hangs on the last bit
            parameter.data.mul_(10)
    spread_scores(model, system, spread, images)


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


def known(theirs: dict[str, Tensor], system: System, class_ids: tuple[int, ...]) -> dict[str, Tensor]:
    """torchvision's detections of one image under our labels, without those of outputs that are no class of COCO."""
    labels = classes_of(theirs["labels"] - BACKGROUND[system], class_ids)
    return {name: rows[labels >= 0] for name, rows in {**theirs, "labels": labels}.items()}


def compare_detections(
    report: Report, system: System, found: Found, ours: list[Prediction], class_ids: tuple[int, ...]
) -> None:
    for n, (theirs, prediction) in enumerate(zip(found, ours)):
        expected = known(theirs, system, class_ids)
        assert len(expected["labels"]) > 5, "too few detections to say anything"
        report.same_set(f"detections {n}", as_rows(prediction), expected)


def compare_masks(report: Report, found: Found, ours: MaskRCNN, inputs: Batch, predictions: list[Prediction]) -> None:
    """The probabilities under each detection, and what `predict` pastes: torchvision's probabilities in its boxes.

    How torchvision pastes them is another matter: see `test_paste_masks`.
    """
    detections, maps = ours.detections(inputs)
    masks = ours.masks(maps, detections)
    for n, (theirs, size) in enumerate(zip(found, inputs.sizes)):
        rows = {**theirs, "labels": theirs["labels"] - BACKGROUND["mask_rcnn"]}
        partners = report.same_set(f"network detections {n}", as_rows(detections[n]), rows)
        report.close(f"mask probabilities {n}", masks[n][partners], theirs["masks"][:, 0])
        expected = known(theirs, "mask_rcnn", ours.config.class_ids)
        partners = report.same_set(f"detections with masks {n}", as_rows(predictions[n]), expected)
        pasted, actual = paste_masks(expected["masks"][:, 0], expected["boxes"], size), predictions[n].masks
        assert actual is not None
        check_pasted([actual[i] for i in partners], [to_bitmap(rle, size) for rle in pasted], size)


def check_pasted(ours: list[RLE], theirs: list[np.ndarray], size: Size) -> None:
    """Every mask of the image has an intersection over union of 0.98 at least."""
    assert len(ours) > 5, "too few masks to say anything"
    overlaps = []
    for code, other in zip(ours, theirs):
        one = to_bitmap(code, size)
        either = (one | other).sum()
        overlaps.append((one & other).sum() / either if either else 1.0)
    assert min(overlaps) >= 0.98


def versions(*pairs: tuple[System, Version]) -> list[Any]:
    """Of systems, marked as what they prove."""
    return [pytest.param(*pair, marks=proves(pair[0], "torchvision"), id="-".join(pair)) for pair in pairs]


@pytest.mark.parametrize(("system", "version"), versions(("retinanet", "v1"), ("retinanet", "v2"), ("fcos", "v1")))
def test_dense(system: System, version: Version, request: pytest.FixtureRequest) -> None:
    # scores of a random head nearly tie: a limit would cut between them
    theirs, config = torchvision_model(system, version, **SIDES, detections_per_img=10**6)
    assert isinstance(config, RetinaNetConfig | FCOSConfig)
    config = replace(config, detect=replace(config.detect, detections=10**6))
    report = compare_dense(system, theirs, config, spread=0.7)
    record(request.node, report)


def compare_dense(system: System, theirs: nn.Module, config: RetinaNetConfig | FCOSConfig, spread: float) -> Report:
    """Losses, images, raw outputs and detections of both sides."""
    inputs, report = noisy(batch()), Report()
    images, targets = torchvision_inputs(system, inputs, config.class_ids)
    randomise(theirs, system, spread, images)
    compare_losses(report, theirs.train(), with_weights_of(theirs, config).train(), images, targets, inputs)

    theirs.eval()
    ours = with_weights_of(theirs, config).eval()
    assert isinstance(ours, RetinaNet | FCOS)
    with torch.no_grad():
        canvas, _ = theirs.get_submodule("transform")(images)
        features = theirs.get_submodule("backbone")(canvas.tensors)
        head = theirs.get_submodule("head")(list(features.values()))
        normalised = ours.config.pixels(inputs.images, inputs.sizes)
        raw = ours.raw(normalised)
        found = theirs(images)
    if isinstance(ours, FCOS):  # whose head ends with the ReLU there
        raw = raw._replace(deltas=[ours.distances(x, 1.0) for x in raw.deltas])
    report.close("images", normalised, canvas.tensors)
    for (name, expected), levels in zip(head.items(), raw):
        flat = torch.cat([x.permute(0, 2, 3, 1).flatten(1) for x in levels], 1)
        report.close(name, flat, expected.flatten(1))
    compare_detections(report, system, found, ours.predict(inputs), config.class_ids)
    return report


def compare_losses(
    report: Report, theirs: nn.Module, ours: nn.Module, images: list[Tensor], targets: Found, inputs: Batch
) -> None:
    with torch.no_grad():
        expected, losses = theirs(images, targets), ours(inputs)
    assert {LOSSES[name] for name in expected} == set(losses)
    for name, loss in expected.items():
        report.close(LOSSES[name], losses[LOSSES[name]], loss)


@pytest.mark.parametrize(
    ("system", "version"),
    versions(("faster_rcnn", "v1"), ("faster_rcnn", "v2"), ("mask_rcnn", "v1"), ("mask_rcnn", "v2")),
)
def test_two_stage(system: System, version: Version, request: pytest.FixtureRequest) -> None:
    theirs, config = two_stage(system, version)
    inputs = batch()
    images, targets = torchvision_inputs(system, inputs, config.class_ids)
    randomise(theirs, system, 4.0, images)
    report = Report()
    compare_losses(report, theirs.train(), with_weights_of(theirs, config).train(), images, targets, inputs)

    theirs.eval()
    ours = with_weights_of(theirs, config).eval()
    assert isinstance(ours, FasterRCNN | MaskRCNN)
    with torch.no_grad():
        predictions = ours.predict(inputs)
        compare_detections(report, system, theirs(images), predictions, config.class_ids)
        found = compare_proposals(report, theirs, ours, images, inputs)
    if isinstance(ours, MaskRCNN):
        compare_masks(report, found, ours, inputs, predictions)
    record(request.node, report)


def compare_proposals(
    report: Report, theirs: nn.Module, ours: FasterRCNN | MaskRCNN, images: list[Tensor], inputs: Batch
) -> Found:
    """Raw outputs of the RPN and proposals. Returns what torchvision detects in these, its masks not yet pasted."""
    canvas, _ = theirs.get_submodule("transform")(images)
    features = theirs.get_submodule("backbone")(canvas.tensors)
    objectness, deltas = theirs.get_submodule("rpn.head")(list(features.values()))
    boxes, _ = theirs.get_submodule("rpn")(ImageList(canvas.tensors, canvas.image_sizes), features)
    raw = ours.raw(ours.config.pixels(inputs.images, inputs.sizes))
    for level in range(len(objectness)):
        report.close(f"objectness {level}", raw.logits[level], objectness[level])
        report.close(f"rpn deltas {level}", raw.deltas[level], deltas[level])
    proposals = ours.rpn.propose(raw, inputs.sizes, size_of(canvas.tensors))
    for n, (actual, wanted) in enumerate(zip(proposals, boxes)):
        report.same_set(
            f"proposals {n}",
            {"boxes": actual.boxes, "scores": torch.ones(len(actual.boxes))},
            {"boxes": wanted, "scores": torch.ones(len(wanted))},
        )
    return theirs.get_submodule("roi_heads")(features, boxes, canvas.image_sizes)[0]


def filled_boxes(boxes_D4: Tensor, cells: int = 28) -> Tensor:
    """The boxes torchvision really pastes into: those with a cell more on each side, cut to pixels, and one added."""
    padded = expand_boxes(boxes_D4, (cells + 2) / cells).long()
    padded[:, 2:] += 1
    return expand_boxes(padded.float(), cells / (cells + 2))


def test_paste_masks() -> None:
    """Equal to torchvision in the boxes it fills; near to it in the boxes it is given, where those are not tiny."""
    size = (800, 1333)
    probabilities_DSS, boxes_D4 = blobs(100), boxes_in(size, 100)
    theirs_DHW = paste_masks_in_image(probabilities_DSS[:, None], boxes_D4, size)[:, 0] >= 0.5
    for code, wanted_HW in zip(paste_masks(probabilities_DSS, filled_boxes(boxes_D4), size), theirs_DHW):
        differing = (torch.from_numpy(to_bitmap(code, size)).bool() ^ wanted_HW).sum()
        assert differing <= 1e-3 * wanted_HW.sum() + 1
    large = (boxes_D4[:, 2:] - boxes_D4[:, :2]).amin(1) >= LARGE
    ours = paste_masks(probabilities_DSS[large], boxes_D4[large], size)
    check_pasted(ours, list(theirs_DHW[large].numpy()), size)
