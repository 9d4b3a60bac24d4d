"""Golden samples of the operators the zoo's systems use.

All samples of all cases run; what a case states or expects and no test reads fails.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import parity.test_golden_corners  # whose cases are known, too
import parity.test_golden_gps
import parity.test_golden_surfaces  # noqa: F401
import pytest
import torch
from parity.golden import GOLDEN
from parity.samples import MISSING, MMLAB, PRESENT, Sample, bits, names, numbers, part, sample, unknown, within
from torch import Tensor
from torchvision.ops import deform_conv2d, roi_align

from cvzoo.nn.deform import deform_convs
from cvzoo.nn.roi_pool import RoIPoolConfig, flat, roi_levels, roi_pool
from cvzoo.ops.anchors import AnchorConfig, pyramid_anchors
from cvzoo.ops.assigners import BACKGROUND, match_boxes, point_distances
from cvzoo.ops.boxes import MAX_LOG_SCALE, decode_boxes, encode_boxes, pairwise_iou
from cvzoo.ops.detect import DetectConfig, detect
from cvzoo.ops.losses import focal_loss, focal_star_loss, iou_loss, smooth_l1
from cvzoo.ops.masks import mask_targets, paste_masks, paste_values, to_bitmap
from cvzoo.ops.rle import encode
from cvzoo.ops.swap_align2nat import swap_align2nat
from cvzoo.parts.heatmap.loss import heatmap_loss
from cvzoo.parts.heatmap.targets import draw, gaussian_radius
from cvzoo.structures import Mask, Prediction, Size
from cvzoo.zoo.fcos.model import FCOSConfig

if not GOLDEN.is_dir():
    pytest.skip(f"no operator is compared with its reference: there is no {GOLDEN}", allow_module_level=True)

GRADIENT = 1e-3
"""Tolerance of gradients in the cases of ops/."""


@pytest.mark.parametrize("operator", sorted(PRESENT & set(MISSING)))
def test_missing(operator: str) -> None:
    pytest.skip(f"{operator}: {MISSING[operator]}")


def test_every_case_is_known() -> None:
    assert not unknown()


@numbers("anchors")
def test_anchors(number: str) -> None:
    s = sample("anchors", number)
    config = AnchorConfig(
        sizes=tuple(map(tuple, s.options["sizes"])),
        ratios=tuple(map(tuple, s.options["aspect_ratios"])),
        strides=tuple(s.options["strides"]),
        offset=s.options["offset"],
    )
    levels = pyramid_anchors(config, tuple(map(tuple, s.options["grids"])), (0, 0), torch.device("cpu"))
    for level, anchors in enumerate(levels):
        s.report.close(f"{s.options['name']}, level {level}", anchors, s.expected[f"anchors.{level}"])
    s.finish()


@numbers("box2box_transform")
def test_box_code(number: str) -> None:
    s = sample("box2box_transform", number)
    weights, boxes = tuple(s.options["weights"]), s.inputs["boxes"]
    assert s.options["scale_clamp"] == pytest.approx(MAX_LOG_SCALE)
    decoded = decode_boxes(s.inputs["deltas"].unflatten(1, (-1, 4)), boxes.unsqueeze(1), weights).flatten(1)
    s.report.close("decoded", decoded, s.expected["decoded"])
    s.report.close("encoded", encode_boxes(s.inputs["targets"], boxes, weights), s.expected["encoded"])
    s.finish()


@numbers("box2box_transform_linear")
def test_distances(number: str) -> None:
    """A source box is the cell around a location, its sides the stride where distances are in strides."""
    s = sample("box2box_transform_linear", number)
    boxes = s.inputs["boxes"]
    points = (boxes[:, :2] + boxes[:, 2:]) / 2
    unit = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2) if s.options["normalize_by_size"] else torch.ones_like(boxes)
    with torch.device("meta"):
        model = FCOSConfig(distance="relu").build()
    left_top, right_bottom = model.distances(s.inputs["deltas"], unit).split(2, dim=1)
    s.report.close("encoded", point_distances(points, s.inputs["targets"]) / unit, s.expected["encoded"])
    s.report.close("decoded", torch.cat([points - left_top, points + right_bottom], dim=1), s.expected["decoded"])
    s.finish()


@numbers("matcher")
def test_matcher(number: str) -> None:
    s = sample("matcher", number)
    truth, candidates, thresholds = s.inputs["truth"], s.inputs["candidates"], s.options["thresholds"]
    assert s.options["labels"] == [0, -1, 1][:: 3 - len(thresholds)]  # nothing is ignored with one threshold
    best = "own" if s.options["allow_low_quality_matches"] else "none"
    match = match_boxes(candidates, truth, thresholds[0], thresholds[-1], best)
    labels = match.labels(torch.ones(len(truth), dtype=torch.int64))
    labels = torch.where(labels == BACKGROUND, 0, torch.where(labels == 1, 1, -1))
    s.report.close("iou", pairwise_iou(truth, candidates), s.expected["iou"])
    s.report.equal("label", labels, s.expected["label"].long())
    s.report.equal("index", match.index_A, s.expected["index"])
    s.finish()


@numbers("losses")
def test_losses(number: str) -> None:
    s = sample("losses", number)
    x, target = s.inputs["input"].requires_grad_(), s.inputs["target"]
    match s.options["loss"]:
        case "sigmoid_focal_loss" | "sigmoid_focal_loss_star" as name:
            loss = {"sigmoid_focal_loss": focal_loss, "sigmoid_focal_loss_star": focal_star_loss}[name]
            alpha = s.options["alpha"] if s.options["alpha"] >= 0 else None
            labels = torch.where(target.flatten() == 1, 0, BACKGROUND)
            out = loss(x.reshape(-1, 1), labels, alpha, s.options["gamma"]).view_as(target)
        case "smooth_l1":
            out = smooth_l1(x, target, s.options["beta"])
        case "giou":
            out = iou_loss(x, target, "giou")
        case other:
            pytest.fail(f"{other} is neither tested nor listed as missing")
    out.sum().backward()
    s.report.close("out", out.detach(), s.expected["out"])
    assert x.grad is not None
    s.report.close("grad", x.grad, s.expected["grad"], GRADIENT)
    s.finish()


def box_loss(loss: str, s: Sample) -> tuple[Tensor, Tensor]:
    """The boxes a loss of box_losses is differentiated by, and the loss of each."""
    losses, scale = re.match(r"(.*) see prediction / ([\d.]+) ", s.options["regression_scale"]).groups()  # type: ignore[union-attr]
    divisor = float(scale) if loss in losses.split(", ") else 1.0
    x, target = (s.inputs["prediction"] / divisor).requires_grad_(), s.inputs["target"] / divisor
    match loss:
        case "iou_log":
            assert s.options["iou_eps"] == 1e-6  # as ours
            return x, iou_loss(x, target, "iou")
        case "giou":
            assert s.options["giou_eps"] <= 1e-6  # nothing, beside the area of a box
            return x, iou_loss(x, target, "giou")
        case "smooth_l1":
            return x, smooth_l1(x, target, s.options["smooth_l1_beta"]).sum(dim=1)
        case "l1":
            return x, smooth_l1(x, target, 0).sum(dim=1)
        case _:
            pytest.fail(f"{loss} is neither tested nor listed as missing")


OPTIONS_OF = {"iou_eps": "iou_log", "giou_eps": "giou", "smooth_l1_beta": "smooth_l1", "bounded_beta": "bounded_iou"}
"""The loss that reads an option of box_losses; all losses read the others."""


@names("box_losses", r"(?!pairwise_)[^.]+")
def test_box_losses(name: str) -> None:
    s = part("box_losses", f"{name}.")
    x, elements = box_loss(name, s)
    total = (s.inputs["weight"] * elements).sum() / s.options["avg_factor"]
    total.backward()
    assert x.grad is not None
    if "elements" in s.expected:
        s.report.close("elements", elements.detach(), s.expected["elements"])
    s.report.close("loss", total.detach(), s.expected["loss"])
    s.report.close("grad", x.grad, s.expected["grad"])
    s.finish(left=tuple(option for option, owner in OPTIONS_OF.items() if owner != name))


@names("box_losses", r"pairwise_[^.]+")
def test_pairwise(name: str) -> None:
    s = part("box_losses", name)
    operator = {"pairwise_iou": pairwise_iou}[name]
    s.report.close(name, operator(s.inputs["prediction"], s.inputs["target"]), s.expected[""])
    s.finish(left=("avg_factor", "regression_scale", *OPTIONS_OF))


def focal_options(setting: str) -> tuple[float, float]:
    """Alpha and gamma: 0.6 and 1.5 of g15_a60."""
    whole, fraction, percent = re.fullmatch(r"g(\d)(\d*)_a(\d+)", setting).groups()  # type: ignore[union-attr]
    return int(percent) / 100, float(f"{whole}.{fraction or 0}")


@names("focal_loss", r"gaussian")
def test_heatmap_loss(name: str) -> None:
    """The case gives probabilities, our loss reads logits: the gradient is turned into that of the probabilities."""
    s = part("focal_loss", f"{name}.")
    options, heat = s.options[name], s.inputs["heat"]
    logits = torch.logit(heat.double()).float().requires_grad_()
    target = s.inputs["heat_target"]
    loss = heatmap_loss(logits, target, torch.where(target == 1), options["alpha"], options["gamma"])
    total = loss / options["avg_factor"]
    total.backward()
    assert logits.grad is not None
    s.report.close("loss", total.detach(), s.expected["loss"])
    s.report.close("grad", logits.grad / (heat * (1 - heat)), s.expected["grad"])
    s.finish(left=("avg_factor",))


@names("gaussian_targets", r"radius\.[\d.]+")
def test_gaussian_radius(name: str) -> None:
    s = part("gaussian_targets", name)
    overlap = float(name.removeprefix("radius."))
    assert overlap in s.options["min_overlap"]
    s.report.close(name, gaussian_radius(s.inputs["sizes_hw"], overlap), s.expected[""])
    s.finish(left=("heat_sizes",))


@names("gaussian_targets", r"heat\.\d+")
def test_gaussian_targets(name: str) -> None:
    s = part("gaussian_targets", name)
    number = int(name.removeprefix("heat."))
    points = s.inputs[f"points.{number}"]
    height, width = s.options["heat_sizes"][number]
    map_O = torch.zeros(len(points), dtype=torch.int64)
    (heat,) = draw(points[:, :2], points[:, 2], map_O, 1, (height, width))
    s.report.close(name, heat, s.expected[""])
    s.finish(left=("min_overlap",))


@names("focal_loss", r"(?!gaussian)[^.]+\.[^.]+(?=\.loss)")
def test_focal_loss(name: str) -> None:
    setting, mode = name.split(".")
    s = part("focal_loss", f"{setting}.")
    x, labels = s.inputs["logits"].requires_grad_(), s.inputs["labels"]
    rows = focal_loss(x, torch.where(labels == x.shape[1], BACKGROUND, labels), *focal_options(setting))
    weight = {"plain": torch.ones(len(x)), "weighted": s.inputs["weight"]}[mode]
    total = (rows * weight).sum() / s.options["avg_factor"]
    total.backward()
    assert x.grad is not None
    s.report.close("elements", rows.detach(), s.expected["elements"].sum(dim=1))
    s.report.close("loss", total.detach(), s.expected[f"{mode}.loss"])
    s.report.close("grad", x.grad, s.expected[f"{mode}.grad"])
    s.finish(left=("gaussian.", "weighted." if mode == "plain" else "plain."))


def pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def deform_conv_of_cuda(tensors: dict[str, Tensor], options: dict[str, Any]) -> Tensor:
    """torchvision's, which reads the groups off the shapes."""
    places = {name: options[name] for name in ("stride", "padding", "dilation")}
    x, offset, weight = tensors["x"], tensors["offset"], tensors["weight"]
    assert x.shape[1] == options["groups"] * weight.shape[1]
    assert offset.shape[1] == options["deform_groups"] * 2 * weight[0, 0].numel()
    return deform_conv2d(x, offset, weight, tensors.get("bias"), mask=tensors.get("mask"), **places)


def deform_conv_of_cpu(tensors: dict[str, Tensor], options: dict[str, Any]) -> Tensor:
    x, offset, weight = tensors["x"], tensors["offset"], tensors["weight"]
    (out,) = deform_convs([x], offset, [weight], share_NSHW=tensors.get("mask"), **options)
    return out + tensors["bias"][:, None, None] if "bias" in tensors else out


@names("deform_conv", r"[^.]+\.[^.]+")
@pytest.mark.parametrize("operator", [deform_conv_of_cpu, deform_conv_of_cuda])
def test_deform_conv(operator: Callable[[dict[str, Tensor], dict[str, Any]], Tensor], name: str) -> None:
    """Our operator on the CPU and torchvision's, which CUDA gets, are the one the reference has."""
    setting, kind = name.split(".")
    s = part("deform_conv", name)
    assert set(s.options) == {key.split(".")[0] for key in MMLAB["deform_conv"].expected}
    s.options = s.options[setting]
    inputs = {key: tensor.requires_grad_() for key, tensor in within(s.inputs, f"{setting}.").items()}
    upstream = inputs.pop("upstream_gradient").detach()
    tensors = {"v1": {key: inputs[key] for key in ("x", "offset", "weight")}, "v2": inputs}[kind]
    assert tuple(inputs["weight"].shape[2:]) == pair(s.options["kernel"])
    options = {key: pair(s.options[key]) for key in ("stride", "padding", "dilation")}
    options |= {key: s.options[key] for key in ("groups", "deform_groups")}
    out = operator(tensors, options)
    (out * upstream).sum().backward()
    s.report.close("out", out.detach(), s.expected[""])
    for key, tensor in tensors.items():
        assert tensor.grad is not None
        s.report.close(f"grad_{key}", tensor.grad, s.expected[f".grad_{key}"])
    s.finish()


def roi_pool_of_cuda(features: Tensor, rois_R5: Tensor, size: tuple[int, int], s: Sample) -> Tensor:
    """torchvision's operator with our use of its options."""
    scale, sampling = s.options["spatial_scale"], s.options["sampling_ratio"]
    return roi_align(features, rois_R5, size, scale, sampling, s.options["aligned"])


def roi_pool_of_cpu(features: Tensor, rois_R5: Tensor, size: tuple[int, int], s: Sample) -> Tensor:
    """Ours, of boxes in cells of the map, which takes them image by image."""
    config = RoIPoolConfig(
        size=size[0], strides=(1,), sampling=s.options["sampling_ratio"], aligned=s.options["aligned"]
    )
    of_image = [torch.where(rois_R5[:, 0] == n)[0] for n in range(len(features))]
    boxes = [rois_R5[rows, 1:] * s.options["spatial_scale"] for rows in of_image]
    return roi_pool([features], *flat(boxes), config)[torch.cat(of_image).argsort()]


@pytest.mark.parametrize("operator", [roi_pool_of_cpu, roi_pool_of_cuda])
@numbers("roi_align")
def test_roi_align(operator: Callable[[Tensor, Tensor, tuple[int, int], Sample], Tensor], number: str) -> None:
    s = sample("roi_align", number)
    size = pair(s.options["output_size"])
    if operator is roi_pool_of_cpu and size[0] != size[1]:
        pytest.skip("the zoo pools regions into squares only")
    features = s.inputs["features"].requires_grad_()
    pooled = operator(features, s.inputs["rois"], size, s)
    (pooled * s.inputs["grad_out"]).sum().backward()
    assert features.grad is not None
    s.report.close("out", pooled.detach(), s.expected["out"])
    s.report.close("grad", features.grad, s.expected["grad_features"], GRADIENT)
    s.finish()


def listed(tensors: dict[str, Tensor], prefix: str) -> list[Tensor]:
    """Those called `prefix` and a number, by number."""
    found = within(tensors, prefix)
    return [found[str(n)] for n in range(len(found))]


@numbers("swap_align2nat")
def test_swap_align2nat(number: str) -> None:
    s = sample("swap_align2nat", number)
    x = s.inputs["x"].requires_grad_()
    assert list(x.shape) == s.options["x"]
    out = swap_align2nat(x, s.options["lambda"], s.options["pad"])
    assert list(out.shape) == s.options["out"]
    out.backward(s.inputs["grad_out"])
    assert x.grad is not None
    s.report.close("out", out.detach(), s.expected["out"])
    s.report.close("grad_x", x.grad, s.expected["grad_x"], GRADIENT)
    s.finish()


@numbers("fpn_levels")
def test_roi_pool_over_levels(number: str) -> None:
    s = sample("fpn_levels", number)
    config = RoIPoolConfig(
        size=s.options["output_size"],
        strides=tuple(s.options["strides"]),
        canonical_size=s.options["canonical_size"],
        canonical_level=s.options["canonical_level"],
    )
    assert [2 ** s.options["min_level"], 2 ** s.options["max_level"]] == [config.strides[0], config.strides[-1]]
    boxes, features = listed(s.inputs, "boxes."), listed(s.inputs, "features.")
    s.report.equal("level", roi_levels(torch.cat(boxes), config), s.expected["level"])
    s.report.close("pooled", roi_pool(features, *flat(boxes), config), s.expected["pooled"])
    s.finish()


@numbers("batched_nms")
def test_class_wise_nms(number: str) -> None:
    """Through `detect`, on a canvas that clips nothing."""
    s = sample("batched_nms", number)
    boxes, scores, labels, keep = s.inputs["boxes"], s.inputs["scores"], s.inputs["classes"], s.expected["keep"]
    if len(boxes):
        boxes = boxes - boxes.min()
    canvas = pair(int(boxes.max()) + 1 if len(boxes) else 1)
    config = DetectConfig(nms_threshold=s.options["threshold"], detections=len(boxes), clip_first=True, min_side=None)
    found = detect(Prediction(boxes, scores, labels), config, canvas, canvas)
    expected = {"boxes": boxes[keep], "scores": scores[keep], "labels": labels[keep]}
    s.report.same_set("kept", {"boxes": found.boxes, "scores": found.scores, "labels": found.labels}, expected)
    s.finish()


@numbers("mask_targets")
def test_mask_targets(number: str) -> None:
    s = sample("mask_targets", number)
    boxes, shape = s.inputs["boxes"], tuple(s.options["masks_shape"])
    codes: list[Mask] = [encode(bitmap) for bitmap in bits(s.inputs["gt_masks_packed"], shape)]
    of_object = [within(s.inputs, f"gt_polygons.{n}.").values() for n in range(len(boxes))]
    polygons: list[Mask] = [[polygon.numpy() for polygon in found] for found in of_object]
    for name, masks in (("from_polygons", polygons), ("from_bitmaps", codes)):
        where = np.arange(len(boxes)), boxes.numpy(), s.options["side"], boxes.device
        found = mask_targets(masks, [shape[1:]] * len(boxes), *where)()
        s.report.equal(f"{name} of {s.options['picture']}", found, s.expected[name])
    s.finish()


@numbers("paste_masks")
def test_paste_masks(number: str) -> None:
    s = sample("paste_masks", number)
    masks, boxes = s.inputs["masks"], s.inputs["boxes"]
    size, threshold = pair(s.options["size"]), s.options["threshold"]
    if threshold < 0:
        s.report.equal("out", pasted_values(masks, boxes, size), s.expected["out"])
    else:
        found = [to_bitmap(code, size) for code in paste_masks(masks, boxes, size, threshold)]
        expected = torch.from_numpy(bits(s.expected["out_packed"], (len(masks), *size)))
        s.report.equal("out", torch.from_numpy(np.stack(found)), expected)
    s.finish()


def pasted_values(masks: Tensor, boxes: Tensor, size: Size) -> Tensor:
    """(D, H, W) uint8: the values before they are compared with the threshold, times 255."""
    out = torch.zeros(len(masks), *size, dtype=torch.uint8)
    for image, mask, box in zip(out, masks, boxes):
        values, left, top = paste_values(mask, box, size)
        image[top : top + values.shape[1], left : left + values.shape[0]] = (values.T * 255).byte()
    return out
