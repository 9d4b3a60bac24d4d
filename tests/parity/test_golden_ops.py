"""Golden samples of the operators the zoo's systems use."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from parity.compare import unpacked
from parity.golden import GOLDEN, Case, Report, load_case
from torch import Tensor
from torchvision.ops import box_iou, deform_conv2d, generalized_box_iou_loss, roi_align

from cvzoo.models.fcos import FCOSConfig
from cvzoo.nn.deform import deform_convs
from cvzoo.nn.roi_pool import RoIPoolConfig, roi_levels, roi_pool
from cvzoo.ops.anchors import AnchorConfig, pyramid_anchors
from cvzoo.ops.assigners import BACKGROUND, match_boxes, point_distances
from cvzoo.ops.boxes import MAX_LOG_SCALE, decode_boxes, encode_boxes
from cvzoo.ops.detect import DetectConfig, detect
from cvzoo.ops.losses import focal_loss, iou_loss, smooth_l1
from cvzoo.ops.masks import decode, encode, mask_targets, paste_masks, paste_values
from cvzoo.structures import Mask, Prediction, Size


def sample_ids(op: str) -> list[tuple[str, int]]:
    path = GOLDEN / op / "case.json"
    return [(op, i) for i in range(len(load_case(op).info["samples"]))] if path.exists() else []


def load(op: str, index: int) -> tuple[Case, dict, str]:
    case = load_case(op)
    return case, case.info["samples"][index], f"{index}."


def mmdetection(op: str) -> tuple[Case, Report]:
    """mmdetection's samples of an operator, and a report with their own tolerance."""
    if not (GOLDEN / "ops_mmlab" / op / "case.json").exists():
        pytest.skip(f"no samples of {op}")
    case = load_case(f"ops_mmlab/{op}")
    return case, Report(case.info["tolerance"]["relative"])


@pytest.mark.parametrize(("op", "index"), sample_ids("ops/anchors"))
def test_anchors(op: str, index: int) -> None:
    case, options, prefix = load(op, index)
    config = AnchorConfig(
        sizes=tuple(map(tuple, options["sizes"])),
        ratios=tuple(map(tuple, options["aspect_ratios"])),
        strides=tuple(options["strides"]),
        offset=options["offset"],
    )
    levels = pyramid_anchors(config, tuple(map(tuple, options["grids"])), (0, 0), torch.device("cpu"))
    report = Report()
    for level, anchors in enumerate(levels):
        report.close(f"level {level}", anchors, case.expected[f"{prefix}anchors.{level}"])
    report.finish()


@pytest.mark.parametrize(("op", "index"), sample_ids("ops/box2box_transform"))
def test_box_code(op: str, index: int) -> None:
    case, options, prefix = load(op, index)
    weights = tuple(options["weights"])
    boxes, deltas = case.inputs[f"{prefix}boxes"], case.inputs[f"{prefix}deltas"]
    assert options["scale_clamp"] == pytest.approx(MAX_LOG_SCALE)
    report = Report()
    decoded = decode_boxes(deltas.unflatten(1, (-1, 4)), boxes.unsqueeze(1), weights).flatten(1)
    report.close("decoded", decoded, case.expected[f"{prefix}decoded"])
    encoded = encode_boxes(case.inputs[f"{prefix}targets"], boxes, weights)
    report.close("encoded", encoded, case.expected[f"{prefix}encoded"])
    report.finish()


@pytest.mark.parametrize(("op", "index"), sample_ids("ops/box2box_transform_linear"))
def test_distances(op: str, index: int) -> None:
    """FCOS's code; a source box is the cell around a location, its sides the stride where distances are in strides."""
    case, options, prefix = load(op, index)
    boxes, deltas = case.inputs[f"{prefix}boxes"], case.inputs[f"{prefix}deltas"]
    points = (boxes[:, :2] + boxes[:, 2:]) / 2
    unit = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2) if options["normalize_by_size"] else torch.ones_like(boxes)
    with torch.device("meta"):
        model = FCOSConfig(distance="relu").build()
    left_top, right_bottom = model.distances(deltas, unit).split(2, dim=1)
    report = Report()
    encoded = point_distances(points, case.inputs[f"{prefix}targets"]) / unit
    report.close("encoded", encoded, case.expected[f"{prefix}encoded"])
    decoded = torch.cat([points - left_top, points + right_bottom], dim=1)
    report.close("decoded", decoded, case.expected[f"{prefix}decoded"])
    report.finish()


@pytest.mark.parametrize(("op", "index"), sample_ids("ops/matcher"))
def test_matcher(op: str, index: int) -> None:
    case, options, prefix = load(op, index)
    truth, candidates = case.inputs[f"{prefix}truth"], case.inputs[f"{prefix}candidates"]
    negative, positive = options["thresholds"][0], options["thresholds"][-1]
    best = "own" if options["allow_low_quality_matches"] else "none"
    match = match_boxes(candidates, truth, negative, positive, best)
    labels = match.labels(torch.ones(len(truth), dtype=torch.int64))
    expected = case.expected[f"{prefix}label"].long()
    report = Report()
    report.close("iou", box_iou(truth, candidates), case.expected[f"{prefix}iou"])
    report.equal("label", torch.where(labels == BACKGROUND, 0, torch.where(labels == 1, 1, -1)), expected)
    report.equal("index", match.index_A, case.expected[f"{prefix}index"])
    report.finish()


@pytest.mark.parametrize(("op", "index"), sample_ids("ops/losses"))
def test_losses(op: str, index: int) -> None:
    case, options, prefix = load(op, index)
    x, target = case.inputs[f"{prefix}input"].requires_grad_(), case.inputs[f"{prefix}target"]
    match options["loss"]:
        case "sigmoid_focal_loss":
            alpha = options["alpha"] if options["alpha"] >= 0 else None
            labels = torch.where(target.flatten() == 1, 0, BACKGROUND)
            out = focal_loss(x.reshape(-1, 1), labels, alpha, options["gamma"]).view_as(target)
        case "smooth_l1":
            out = smooth_l1(x, target, options["beta"])
        case "giou":
            out = generalized_box_iou_loss(x, target, eps=1e-7)
        case other:
            pytest.skip(f"{other} belongs to a system that is not implemented yet")
    out.sum().backward()
    report = Report()
    report.close("out", out.detach(), case.expected[f"{prefix}out"])
    assert x.grad is not None
    report.close("grad", x.grad, case.expected[f"{prefix}grad"], 1e-3)
    report.finish()


@pytest.mark.parametrize("loss", ["iou_log", "giou", "smooth_l1", "l1"])
def test_box_losses(loss: str) -> None:
    case, report = mmdetection("box_losses")
    options, weight, target = case.info["options"], case.inputs["weight"], case.inputs["target"]
    scale = 1 if "iou" in loss else 50  # what the samples divide coordinates by before they are regressed
    x = (case.inputs["prediction"] / scale).requires_grad_()
    if "iou" in loss:
        elements = iou_loss(x, target, "iou" if loss == "iou_log" else "giou")
        report.close("elements", elements.detach(), case.expected[f"{loss}.elements"])
    else:
        beta = options["smooth_l1_beta"] if loss == "smooth_l1" else 0
        elements = smooth_l1(x, target / scale, beta).sum(dim=1)
    total = (weight * elements).sum() / options["avg_factor"]
    total.backward()
    report.close("loss", total.detach(), case.expected[f"{loss}.loss"])
    assert x.grad is not None
    report.close("grad", x.grad, case.expected[f"{loss}.grad"])
    report.finish()


def test_pairwise_iou() -> None:
    case, report = mmdetection("box_losses")
    found = box_iou(case.inputs["prediction"], case.inputs["target"])
    report.close("iou", found, case.expected["pairwise_iou"])
    report.finish()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("setting", "gamma", "alpha"), [("g2_a25", 2.0, 0.25), ("g15_a60", 1.5, 0.6)])
def test_focal_loss(setting: str, gamma: float, alpha: float, weighted: bool) -> None:
    case, report = mmdetection("focal_loss")
    x, labels = case.inputs["logits"].requires_grad_(), case.inputs["labels"]
    rows = focal_loss(x, torch.where(labels == x.shape[1], BACKGROUND, labels), alpha, gamma)
    weight = case.inputs["weight"] if weighted else torch.ones(len(x))
    total = (rows * weight).sum() / case.info["options"]["avg_factor"]
    total.backward()
    name = f"{setting}.{'weighted' if weighted else 'plain'}"
    report.close("elements", rows.detach(), case.expected[f"{setting}.elements"].sum(dim=1))
    report.close("loss", total.detach(), case.expected[f"{name}.loss"])
    assert x.grad is not None
    report.close("grad", x.grad, case.expected[f"{name}.grad"])
    report.finish()


def deform_conv_of_cuda(x: Tensor, offset: Tensor, weight: Tensor, share: Tensor | None) -> Tensor:
    return deform_conv2d(x, offset, weight, padding=1, mask=share)


def deform_conv_of_cpu(x: Tensor, offset: Tensor, weight: Tensor, share: Tensor | None) -> Tensor:
    return deform_convs([x], offset, [weight], share_NTHW=share)[0]


@pytest.mark.parametrize("kind", ["v1", "v2"])
@pytest.mark.parametrize("operator", [deform_conv_of_cpu, deform_conv_of_cuda])
def test_deform_conv(operator: Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor], kind: str) -> None:
    """Our operator on the CPU and torchvision's, which CUDA gets, are the one the reference has."""
    case, report = mmdetection("deform_conv")
    inputs = {name: case.inputs[f"plain.{name}"].requires_grad_() for name in ("x", "offset", "weight")}
    share = None
    if kind == "v2":
        inputs["mask"] = share = case.inputs["plain.mask"].requires_grad_()
    out = operator(inputs["x"], inputs["offset"], inputs["weight"], share)
    (out * case.inputs["plain.upstream_gradient"]).sum().backward()
    bias = case.inputs["plain.bias"][:, None, None] if kind == "v2" else 0
    report.close("out", out.detach() + bias, case.expected[f"plain.{kind}"])
    for name, tensor in inputs.items():
        assert tensor.grad is not None
        report.close(f"grad_{name}", tensor.grad, case.expected[f"plain.{kind}.grad_{name}"])
    report.finish()


@pytest.mark.parametrize(("op", "index"), sample_ids("ops/roi_align"))
def test_roi_align(op: str, index: int) -> None:
    """torchvision's operator, with our use of its options, is the one the reference has."""
    case, options, prefix = load(op, index)
    features = case.inputs[f"{prefix}features"].requires_grad_()
    pooled = roi_align(
        features,
        case.inputs[f"{prefix}rois"],
        options["output_size"],
        options["spatial_scale"],
        options["sampling_ratio"],
        options["aligned"],
    )
    (pooled * case.inputs[f"{prefix}grad_out"]).sum().backward()
    report = Report()
    report.close("out", pooled.detach(), case.expected[f"{prefix}out"])
    assert features.grad is not None
    report.close("grad", features.grad, case.expected[f"{prefix}grad_features"], 1e-3)
    report.finish()


@pytest.mark.parametrize(("op", "index"), sample_ids("ops/fpn_levels"))
def test_roi_pool_over_levels(op: str, index: int) -> None:
    case, options, prefix = load(op, index)
    boxes = [case.inputs[f"{prefix}boxes.{n}"] for n in range(2)]
    strides = tuple(options["strides"])
    features = [case.inputs[f"{prefix}features.{level}"] for level in range(len(strides))]
    report = Report()
    levels = roi_levels(torch.cat(boxes), len(strides), options["min_level"])
    report.equal("level", levels, case.expected[f"{prefix}level"])
    pooled = roi_pool(features, boxes, RoIPoolConfig(size=options["output_size"], strides=strides))
    report.close("pooled", pooled, case.expected[f"{prefix}pooled"])
    report.finish()


@pytest.mark.parametrize(("op", "index"), sample_ids("ops/batched_nms"))
def test_class_wise_nms(op: str, index: int) -> None:
    """Through `detect`, on a canvas that clips nothing."""
    case, options, prefix = load(op, index)
    boxes, scores = case.inputs[f"{prefix}boxes"], case.inputs[f"{prefix}scores"]
    labels, keep = case.inputs[f"{prefix}classes"], case.expected[f"{prefix}keep"]
    config = DetectConfig(nms_threshold=options["threshold"], detections=len(boxes), clip_first=True, min_side=None)
    shift = boxes.min() if len(boxes) else torch.tensor(0.0)
    found = detect(Prediction(boxes - shift, scores, labels), config, (10_000, 10_000), (10_000, 10_000))
    report = Report()
    expected = {"boxes": boxes[keep] - shift, "scores": scores[keep], "labels": labels[keep]}
    report.same_set("kept", {"boxes": found.boxes, "scores": found.scores, "labels": found.labels}, expected)
    report.finish()


@pytest.mark.parametrize(("op", "index"), sample_ids("ops/mask_targets"))
def test_mask_targets(op: str, index: int) -> None:
    case, options, prefix = load(op, index)
    boxes, shape = case.inputs[f"{prefix}boxes"], tuple(options["masks_shape"])
    polygons: list[Mask] = [[case.inputs[f"{prefix}gt_polygons.{n}.0"].numpy()] for n in range(len(boxes))]
    bitmaps = unpacked(case.inputs[f"{prefix}gt_masks_packed"], shape)
    codes: list[Mask] = [encode(bitmap) for bitmap in bitmaps]
    report = Report()
    for name, masks in (("from_polygons", polygons), ("from_bitmaps", codes)):
        found = mask_targets(masks, torch.arange(len(boxes)), boxes, options["side"], (shape[1], shape[2]))
        report.equal(name, found, case.expected[f"{prefix}{name}"])
    report.finish()


@pytest.mark.parametrize(("op", "index"), sample_ids("ops/paste_masks"))
def test_paste_masks(op: str, index: int) -> None:
    case, options, prefix = load(op, index)
    masks, boxes = case.inputs[f"{prefix}masks"], case.inputs[f"{prefix}boxes"]
    height, width = size = tuple(options["size"])
    report = Report()
    if options["threshold"] < 0:
        report.equal("out", pasted_values(masks, boxes, size), case.expected[f"{prefix}out"])
    else:
        found = [decode(code, size) for code in paste_masks(masks, boxes, size, options["threshold"])]
        expected = torch.from_numpy(unpacked(case.expected[f"{prefix}out_packed"], (len(masks), height, width)))
        report.equal("out", torch.from_numpy(np.stack(found)), expected)
    report.finish()


def pasted_values(masks: Tensor, boxes: Tensor, size: Size) -> Tensor:
    """(D, H, W) uint8: the values before they are compared with the threshold, times 255."""
    out = torch.zeros(len(masks), *size, dtype=torch.uint8)
    for picture, mask, box in zip(out, masks, boxes):
        values, left, top = paste_values(mask, box, size)
        picture[top : top + values.shape[1], left : left + values.shape[0]] = (values.T * 255).byte()
    return out
