"""Many run-length codes unpacked at once on the device that needs their pixels: only the ends of their runs go there.

Compiled by Numba on first use. Shape suffixes: K masks of one size, H W its pixels, E ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cvzoo.ops.compiled import compiled
from cvzoo.ops.transfer import on_device
from cvzoo.structures import RLE, Size

Array = NDArray[Any]


def unpack(codes: Sequence[RLE], size: Size, device: torch.device) -> Tensor:
    """(K, H, W) uint8 of 0 and 1: what `rle.decode` makes of codes of that size."""
    height, width = size
    texts = [np.frombuffer(code["counts"], np.uint8) for code in codes]
    begins = np.cumsum([0, *map(len, texts)])
    end_E = _ends(np.concatenate([np.zeros(0, np.uint8), *texts]), begins, height * width)
    flips = torch.zeros(len(codes) * height * width + 1, dtype=torch.uint8, device=device)
    flips.index_fill_(0, on_device(end_E, device), 1)
    pixels = flips[:-1].cumsum(0, dtype=torch.uint8).bitwise_and_(1)  # which wraps, and leaves the last bit right
    return pixels.view(len(codes), width, height).transpose(1, 2)


@compiled
def _ends(texts: Array, begins: Array, pixels: int) -> Array:
    """(E,) int64, rising: where 0 and 1 change places, going down the columns of one mask after the other.

    `texts` are COCO's compressed counts: each a number in digits of 5 bits, the lowest first, on top of the count
    before the last one.
    """
    found = np.empty(len(texts) + 1, np.int64)
    ends = 0
    for mask in range(len(begins) - 1):
        at, count, before, number, place = mask * pixels, 0, 0, 0, begins[mask]
        while place < begins[mask + 1]:
            value, shift, digit = 0, 0, 32
            while digit & 32:
                digit = np.int64(texts[place]) - 48
                value |= (digit & 31) << shift
                shift += 5
                place += 1
            if digit & 16:
                value |= -1 << shift
            value += before if number > 2 else 0
            before, count = count, value
            for end in (at, at + value):
                if number % 2 and ends and found[ends - 1] == end:  # nothing lies between the two
                    ends -= 1
                elif number % 2:
                    found[ends] = end
                    ends += 1
            at += value
            number += 1
    return found[:ends]
