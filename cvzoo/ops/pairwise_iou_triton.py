"""Intersection over union of every box with every other on CUDA: nothing but the result is written.

N images, G boxes, M others.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from cvzoo.ops.launch_triton import blocks_of, launch

BLOCK = 1024
"""Others that one program looks at."""


@triton.jit
def sides(box, known):
    """The left, top, right and bottom of boxes."""
    left, top = tl.load(box, known, 0.0), tl.load(box + 1, known, 0.0)
    return left, top, tl.load(box + 2, known, 0.0), tl.load(box + 3, known, 0.0)


@triton.jit
def iou_of(x1, y1, x2, y2, left, top, right, bottom):
    """Rounded as PyTorch's operations round."""
    both = tl.maximum(tl.minimum(x2, right) - tl.maximum(x1, left), 0.0)
    both *= tl.maximum(tl.minimum(y2, bottom) - tl.maximum(y1, top), 0.0)
    return tl.div_rn(both, (x2 - x1) * (y2 - y1) + (right - left) * (bottom - top) - both)


@triton.jit
def _iou(boxes, others, out, count, own_count, of_image, block: tl.constexpr):
    """`of_image` is what others of one image take, or 0 where all images have the same."""
    other = tl.program_id(1) * block + tl.arange(0, block)
    known = other < count
    row = tl.program_id(0).to(tl.int64)
    x1, y1, x2, y2 = sides(boxes + row * 4, True)
    left, top, right, bottom = sides(others + row // own_count * of_image + other * 4, known)
    iou = iou_of(x1, y1, x2, y2, left, top, right, bottom)
    tl.store(out + row * count + other, iou, known)


def pairwise_iou(boxes_G4: Tensor, others_M4: Tensor) -> Tensor:
    """(..., G, M) in float32; leading dimensions broadcast, and are those of the boxes or of the others alone."""
    images = torch.broadcast_shapes(boxes_G4.shape[:-2], others_M4.shape[:-2])
    boxes = boxes_G4.float().expand(*images, -1, -1).contiguous()
    others = others_M4.float().contiguous()
    own_count, count = boxes.shape[-2], others.shape[-2]
    of_image = 0 if others.dim() == 2 else 4 * count
    if of_image:
        others = others.expand(*images, -1, -1).contiguous()
    out_GM = boxes.new_empty(*images, own_count, count)
    if out_GM.numel():
        grid = out_GM.numel() // count, blocks_of(count, BLOCK)  # the second takes 65 535 at most
        launch(_iou, grid, boxes, others, out_GM, count, own_count, of_image, fused=False, block=BLOCK)
    return out_GM
