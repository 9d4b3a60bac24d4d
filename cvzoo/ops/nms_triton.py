"""Which boxes overlap one before them, on CUDA: a bit for each pair, where PyTorch writes numbers of 4 bytes.

G groups, P boxes of each, W words of 32 boxes.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from cvzoo.ops.launch_triton import blocks_of, launch
from cvzoo.ops.pairwise_iou_triton import iou_of, sides

BLOCK = 32
"""Boxes that one program compares with a word of others; and the bits of a word."""


@triton.jit
def _overlaps(boxes, words, count, words_of_row, threshold, block: tl.constexpr):
    group, word = tl.program_id(0).to(tl.int64), tl.program_id(2)
    later = tl.program_id(1) * block + tl.arange(0, block)
    bit = tl.arange(0, block)
    earlier = word * block + bit
    own = boxes + group * count * 4
    left, top, right, bottom = sides(own + later[:, None] * 4, (later < count)[:, None])
    x1, y1, x2, y2 = sides(own + earlier[None, :] * 4, (earlier < count)[None, :])
    iou = iou_of(x1, y1, x2, y2, left, top, right, bottom)
    found = (iou > threshold) & (earlier[None, :] < later[:, None])
    packed = tl.sum(tl.where(found, 1 << bit[None, :], 0), axis=1)
    tl.store(words + (group * count + later) * words_of_row + word, packed, later < count)


def overlaps(boxes_GP4: Tensor, threshold: float) -> Tensor:
    """(G, P, W) int32: bit b of word w of a row says that box 32 w + b comes before and overlaps by a higher IoU."""
    groups, count = boxes_GP4.shape[:2]
    words = blocks_of(count, BLOCK)
    words_GPW = boxes_GP4.new_empty(groups, count, words, dtype=torch.int32)
    if words_GPW.numel():
        grid = groups, words, words
        launch(_overlaps, grid, boxes_GP4.contiguous(), words_GPW, count, words, threshold, fused=False, block=BLOCK)
    return words_GPW


def packed(flags_GP: Tensor) -> Tensor:
    """(G, W) int32: the same 32 to a word, the first in the lowest bit."""
    padded_GP = torch.nn.functional.pad(flags_GP, (0, -flags_GP.shape[1] % BLOCK))
    bit_B = torch.arange(BLOCK, device=flags_GP.device, dtype=torch.int32)
    return (padded_GP.unflatten(1, (-1, BLOCK)).int() << bit_B).sum(dim=2, dtype=torch.int32)
