"""Boxes as (..., 4) xyxy tensors, and the (dx, dy, dw, dh) code that detectors regress."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cvzoo.ops.kernels import triton_kernels
from cvzoo.ops.transfer import constant, on_device
from cvzoo.structures import Size

MAX_LOG_SCALE = math.log(1000.0 / 16)
"""Decoded sides are at most this many times (62.5) the anchor's, so that exp cannot overflow."""

PAIRS_AT_ONCE = 2**17
"""Of boxes whose IoU a thread of a CPU computes before the next ones."""

Weights = tuple[float, float, float, float]


def clip_boxes(boxes: Tensor, size: Size) -> Tensor:
    """Move corners that lie outside an image of `size` onto its border."""
    height, width = size
    return torch.stack(
        [
            boxes[..., 0].clamp(0, width),
            boxes[..., 1].clamp(0, height),
            boxes[..., 2].clamp(0, width),
            boxes[..., 3].clamp(0, height),
        ],
        dim=-1,
    )


def limits_of(sizes: list[Size], device: torch.device) -> Tensor:
    """(N, 1, 4) float32: how far boxes of images of these sizes may reach."""
    return on_device([[[width, height, width, height]] for height, width in sizes], device, torch.float32)


def xyxy(yx_N2: Tensor) -> Tensor:
    """(N, 1, 4): x, y, x, y of images' heights and widths, or of where they begin: to clip or move their boxes."""
    return yx_N2.flip(1).repeat(1, 2)[:, None]


def scale_boxes(boxes: Tensor, size: Size, to_size: Size) -> Tensor:
    """Boxes in an image of `size`, in the pixels of the same image resized to `to_size`."""
    scale_y, scale_x = to_size[0] / size[0], to_size[1] / size[1]
    return boxes * on_device([scale_x, scale_y, scale_x, scale_y], boxes.device, boxes.dtype)


def flip_boxes(boxes: Tensor, width: float) -> Tensor:
    """Boxes in an image of that width, mirrored left and right: x becomes width - x."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack([width - x2, y1, width - x1, y2], dim=-1)


def longer_than(boxes: Tensor, side: float) -> Tensor:
    """Mask of the boxes whose sides both exceed `side` pixels."""
    return ((boxes[..., 2] - boxes[..., 0]) > side) & ((boxes[..., 3] - boxes[..., 1]) > side)


def pairwise_iou(boxes_G4: Tensor, others_M4: Tensor) -> Tensor:
    """(..., G, M): intersection over union of every box with every other, of several images at once if need be.

    Equal to torchvision's `box_iou` and 2 to 9 times faster for many boxes: no (G, M, 2) tensors, and in place. On a
    CPU some of the others at a time, so that what is computed on the way stays in its cache.
    """
    if (kernels := triton_kernels("pairwise_iou", boxes_G4)) is not None:
        return kernels.pairwise_iou(boxes_G4, others_M4)
    boxes, others = boxes_G4.shape[-2], others_M4.shape[-2]
    at_once = PAIRS_AT_ONCE * torch.get_num_threads()
    if torch.compiler.is_compiling() or others_M4.device.type != "cpu" or boxes * others <= at_once:
        return _pairwise_iou(boxes_G4, others_M4)
    images = torch.broadcast_shapes(boxes_G4.shape[:-2], others_M4.shape[:-2])
    dtype = torch.promote_types(boxes_G4.dtype, others_M4.dtype)
    iou_GM = boxes_G4.new_empty(*images, boxes, others, dtype=dtype)
    columns = max(at_once // boxes, 1)
    for start in range(0, others, columns):
        part = slice(start, start + columns)
        iou_GM[..., part] = _pairwise_iou(boxes_G4, others_M4[..., part, :])
    return iou_GM


def _pairwise_iou(boxes_G4: Tensor, others_M4: Tensor) -> Tensor:
    x1_G1, y1_G1, x2_G1, y2_G1 = boxes_G4.unsqueeze(-1).unbind(-2)
    x1_M, y1_M, x2_M, y2_M = others_M4.transpose(-1, -2).contiguous().unsqueeze(-2).unbind(-3)
    both_GM = torch.minimum(x2_G1, x2_M).sub_(torch.maximum(x1_G1, x1_M)).clamp_(min=0)
    both_GM *= torch.minimum(y2_G1, y2_M).sub_(torch.maximum(y1_G1, y1_M)).clamp_(min=0)
    either_GM = ((x2_G1 - x1_G1) * (y2_G1 - y1_G1)).add((x2_M - x1_M) * (y2_M - y1_M)).sub_(both_GM)
    return both_GM.div_(either_GM)


def area(sides: Tensor) -> Tensor:
    """Width times height, which lie in the last dimension; a GPU would first compile a kernel for `torch.prod`."""
    width, height = sides.unbind(dim=-1)
    return width * height


def paired_iou(boxes_M4: Tensor, others_M4: Tensor) -> Tensor:
    """(M,): intersection over union of each box with the one in the same row."""
    corner_M2 = torch.maximum(boxes_M4[:, :2], others_M4[:, :2])
    both_M = area((torch.minimum(boxes_M4[:, 2:], others_M4[:, 2:]) - corner_M2).clamp(min=0))
    area_M, other_M = (area(boxes[:, 2:] - boxes[:, :2]) for boxes in (boxes_M4, others_M4))
    return both_M / (area_M + other_M - both_M)


def encode_boxes(boxes: Tensor, anchors: Tensor, weights: Weights = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    """Deltas (..., 4) from `anchors` to `boxes`: (dx / w, dy / h, log w ratio, log h ratio) * weights (R-CNN)."""
    anchor_wh = anchors[..., 2:] - anchors[..., :2]
    box_wh = boxes[..., 2:] - boxes[..., :2]
    shift = (boxes[..., :2] + 0.5 * box_wh) - (anchors[..., :2] + 0.5 * anchor_wh)
    w = constant(weights, boxes.device, boxes.dtype)
    return torch.cat([w[:2] * shift / anchor_wh, w[2:] * torch.log(box_wh / anchor_wh)], dim=-1)


def decode_boxes(
    deltas: Tensor, anchors: Tensor, weights: Weights = (1.0, 1.0, 1.0, 1.0), clamp_shrinking: bool = False
) -> Tensor:
    """Inverse of `encode_boxes`, in float32; `deltas` and `anchors` broadcast.

    Growth is clamped to `MAX_LOG_SCALE`; with `clamp_shrinking` (mmdetection) shrinking is, too.
    """
    deltas = deltas.float() / constant(weights, deltas.device, torch.float32)
    anchor_wh = anchors[..., 2:] - anchors[..., :2]
    log_scale = deltas[..., 2:].clamp(min=-MAX_LOG_SCALE if clamp_shrinking else None, max=MAX_LOG_SCALE)
    centre = anchors[..., :2] + 0.5 * anchor_wh + deltas[..., :2] * anchor_wh
    half_wh = 0.5 * anchor_wh * log_scale.exp()
    return torch.cat([centre - half_wh, centre + half_wh], dim=-1)
