"""What the runners of golden cases share: batches, tolerances, and the comparison of a detector's stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from parity.golden import Case, Report, under_our_keys
from torch import Tensor

from cvzoo.ops.masks import paste_values, to_bitmap
from cvzoo.ops.rle import encode
from cvzoo.structures import RLE, Batch, Mask, Prediction, Surface, Target, size_of


def batch_of(case: Case, labels: str, original_sizes: list[tuple[int, int]] | None = None, bgr: bool = False) -> Batch:
    """The case's images (RGB) on one canvas, with their ground truth."""
    count = sum(key.endswith(".image") for key in case.inputs)
    arrays = [case.inputs[f"{n}.image"] for n in range(count)]
    sizes = [size_of(array) for array in arrays]
    images = torch.zeros(count, 3, max(h for h, _ in sizes), max(w for _, w in sizes), dtype=torch.uint8)
    for image, array, (h, w) in zip(images, arrays, sizes):
        image[:, :h, :w] = array.flip(0) if bgr else array
    targets = [
        Target(
            case.inputs[f"{n}.gt_boxes"],
            case.inputs[f"{n}.{labels}"],
            masks_of(case, n, size),
            surfaces=surfaces_of(case.inputs, case.inputs[f"{n}.gt_boxes"], f"{n}.dp."),
        )
        for n, size in enumerate(sizes)
    ]
    return Batch(images, sizes, original_sizes or sizes, targets, list(range(count)))


def masks_of(case: Case, image: int, size: tuple[int, int]) -> list[Mask] | None:
    """The image's polygons, or its bitmaps where it has no polygons."""
    polygons: list[Mask] = []
    while f"{image}.gt_polygons.{len(polygons)}.0" in case.inputs:
        prefix = f"{image}.gt_polygons.{len(polygons)}."
        polygons.append([value.double().numpy() for key, value in case.inputs.items() if key.startswith(prefix)])
    return polygons or bitmaps_of(case, image, size)


def bitmaps_of(case: Case, image: int, size: tuple[int, int]) -> list[Mask] | None:
    packed = case.inputs.get(f"{image}.gt_masks_packed")
    if packed is None:
        return None
    return [encode(bitmap) for bitmap in unpacked(packed, (-1, *size))]


def surfaces_of(inputs: dict[str, Tensor], boxes: Tensor, prefix: str) -> list[Surface | None] | None:
    """What is annotated of the people in these boxes under `prefix` and their number; None in a case without any."""
    if not any(".dp." in f".{key}" for key in inputs):
        return None
    surfaces: list[Surface | None] = []
    for row, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
        own = {key.removeprefix(f"{prefix}{row}."): x for key, x in inputs.items() if key.startswith(f"{prefix}{row}.")}
        if own:
            points, uv = (torch.stack([own[a], own[b]], dim=1) for a, b in ("xy", "uv"))
            surfaces.append(Surface((x1, y1, x2, y2), points, own["i"].long(), uv, own.get("segm")))
        else:
            surfaces.append(None)
    return surfaces


def unpacked(packed: Tensor, shape: tuple[int, ...]) -> np.ndarray:
    """The bits of `numpy.packbits`, without the ones that fill the last byte up."""
    bits = np.unpackbits(packed.numpy())
    count = len(bits) // (shape[1] * shape[2]) if shape[0] < 0 else shape[0]
    return bits[: count * shape[1] * shape[2]].reshape(count, *shape[1:])


def detectron2_batch(case: Case) -> Batch:
    originals = [(h, w) for h, w in (image["output_size"] for image in case.info["images"])]
    return batch_of(case, "gt_classes", originals, bgr=case.info["image_channel_order"].startswith("BGR"))


def key_map(case: Case, config: Any) -> dict[str, str]:
    """The reference's key of each tensor to ours, read off the importer, which leads numbers instead of weights."""
    names = list(case.weights)
    numbers = {
        key: torch.full_like(tensor, i, dtype=torch.float64) for i, (key, tensor) in enumerate(case.weights.items())
    }
    return {names[int(tensor.flatten()[0])]: key for key, tensor in under_our_keys(numbers, config, case.name).items()}


def tolerance(case: Case, group: str) -> float:
    """The case's own rule: 1e-4 (gradients 1e-3), or three times its sensitivity to weight noise where that is more."""
    base = 1e-3 if ".grad" in group else case.info["tolerance"]["relative"]
    return max(base, 3 * (case.info["sensitivity_to_weight_noise_of_1e-7"].get(group) or 0))


def as_rows(prediction: Prediction) -> dict[str, Tensor]:
    return {"boxes": prediction.boxes, "scores": prediction.scores, "labels": prediction.labels}


def compare_detections(report: Report, case: Case, predictions: list[Prediction], relative: float) -> list[list[int]]:
    """As sets; returns the prediction that stands for each expected one."""
    partners = []
    for n, prediction in enumerate(predictions):
        prefix = f"eval.detections.{n}"
        expected = {"boxes": case.expected[f"{prefix}.boxes"], "scores": case.expected[f"{prefix}.scores"]}
        expected["labels"] = case.expected[f"{prefix}.classes"]
        partners.append(report.same_set(prefix, as_rows(prediction), expected, relative))
    return partners


def expected_masks(case: Case, prefix: str) -> np.ndarray:
    """(D, H, W) of 0 and 1."""
    shape = tuple(case.expected[f"{prefix}.masks_shape"].tolist())
    return unpacked(case.expected[f"{prefix}.masks_packed"], shape)


def compare_mask(
    report: Report, name: str, mask: RLE, expected_HW: np.ndarray, probability_SS: Tensor, box_4: Tensor, limit: float
) -> None:
    """Every pixel is the reference's, except those whose probability is as near to the threshold as `limit`."""
    size = expected_HW.shape
    wrong = to_bitmap(mask, size) != expected_HW
    window, left, top = paste_values(probability_SS, box_4, size)
    values = torch.zeros(size)
    values[top : top + window.shape[1], left : left + window.shape[0]] = window.T
    clear = (values - 0.5).abs().numpy() > limit
    report.equal(name, torch.from_numpy(wrong & clear), torch.zeros(size))


def compare_training(
    report: Report, case: Case, model: Any, losses: dict[str, Tensor], names: dict, step: str = "train"
) -> None:
    """Losses, the norm of every gradient, and the gradients stored in full, of the `step` train or train_bitmask."""
    expected = {key for key in case.expected if key.startswith(f"{step}.loss.")}
    assert expected == {f"{step}.loss.{name}" for name in names}
    limit = tolerance(case, f"{step}.loss")
    for reference, ours in names.items():
        report.close(f"{step} {reference}", losses[ours].detach(), case.expected[f"{step}.loss.{reference}"], limit)
    model.zero_grad()
    torch.stack(list(losses.values())).sum().backward()
    parameters, keys = dict(model.named_parameters()), key_map(case, model.config)
    trained = {key for key, parameter in parameters.items() if parameter.requires_grad}
    wanted = {keys[k.removeprefix(f"{step}.grad_norm.")] for k in case.expected if k.startswith(f"{step}.grad_norm.")}
    moved = {key for key in trained if _is_moved(parameters[key])}
    assert moved <= wanted <= trained, f"trained here or there only: {sorted((moved - wanted) | (wanted - trained))}"
    for key, value in case.expected.items():
        if key.startswith(f"{step}.grad_norm."):
            grad = parameters[keys[key.removeprefix(f"{step}.grad_norm.")]].grad
            assert grad is not None, key
            report.close(key, grad.norm(), value, tolerance(case, f"{step}.grad_norm"))
        elif key.startswith(f"{step}.grad."):
            grad = parameters[keys[key.removeprefix(f"{step}.grad.")]].grad
            assert grad is not None, key
            report.close(key, grad, value, tolerance(case, f"{step}.grad"))


def _is_moved(parameter: torch.nn.Parameter) -> bool:
    """Whether the loss depends on it. It does not on what is normalised away, whose gradient is rounding errors."""
    grad = parameter.grad
    return grad is None or grad.norm().item() > 1e-5 * max(parameter.norm().item(), 1)


def compare_mmdet_losses(
    report: Report, case: Case, losses: dict[str, Tensor], names: Mapping[str, str], prefix: str
) -> None:
    """Each loss, by the reference's name and ours, and their sum."""
    assert set(losses) == set(names.values())
    for theirs, ours in names.items():
        report.close(f"{prefix}{theirs}", losses[ours].detach(), case.expected[f"{prefix}{theirs}"])
    total = torch.stack(list(losses.values())).sum().detach()
    report.close(f"{prefix}total", total, case.expected[f"{prefix}total"])


def compare_mmdet_step(report: Report, case: Case, model: Any, batch: Batch, names: Mapping[str, str]) -> None:
    """Losses with all ground truth (leaving its gradients behind), and with none in image 1."""
    nothing = replace(Target.empty(), masks=None if batch.targets[0].masks is None else [])
    model.train()
    with torch.no_grad():
        without = model(replace(batch, targets=[batch.targets[0], nothing]))
    losses = model(batch)
    compare_mmdet_losses(report, case, losses, names, "loss.")
    compare_mmdet_losses(report, case, without, names, "no_objects.loss.")
    torch.stack(list(losses.values())).sum().backward()


def compare_mmdet_gradients(report: Report, case: Case, model: Any, step: str = "") -> None:
    """What a backward pass has left behind: the norm of every gradient, and those stored in full.

    `step` begins the names of what is expected: eval_bn. or train_bn. where the reference trains norms.
    """
    relative = case.info["tolerance"]["grad_relative"]
    keys, parameters = key_map(case, model.config), dict(model.named_parameters())
    norms = [parameters[keys[name]].grad.norm() for name in case.info["grad_norm_names"]]  # type: ignore[union-attr]
    report.close(f"{step}grad_norm", torch.stack(norms), case.expected[f"{step}grad_norm"], relative)
    for key, value in case.expected.items():
        if key.startswith(f"{step}grad."):
            grad = parameters[keys[key.removeprefix(f"{step}grad.")]].grad
            assert grad is not None, key
            report.close(key, grad, value, relative)


def compare_levels(report: Report, case: Case, prefix: str, levels: list[Tensor], group: str) -> None:
    expected = case.group(prefix)
    assert len(expected) == len(levels)
    for level, (actual, value) in enumerate(zip(levels, expected)):
        report.close(f"{prefix}.{level}", actual, value, tolerance(case, group))


def compare_proposals(report: Report, case: Case, prefix: str, proposals) -> None:
    """As sets, within the plain tolerance: weight noise only reorders rows of nearly equal score."""
    for n, found in enumerate(proposals):
        expected = {
            "boxes": case.expected[f"{prefix}.{n}.proposal_boxes"],
            "scores": case.expected[f"{prefix}.{n}.objectness_logits"],
        }
        report.same_set(f"{prefix}.{n}", {"boxes": found.boxes, "scores": found.logits}, expected)
