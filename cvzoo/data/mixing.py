"""Training images made of several: mosaic, MixUp, copy-paste. None of them changes the samples it is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

import numpy as np
import torch

from cvzoo.data.transforms import MIN_SIDE
from cvzoo.data.warp import code_box, paste, shift_of, warp_target
from cvzoo.ops import rle
from cvzoo.ops.masks import to_rle
from cvzoo.structures import IGNORE, RLE, Sample, Size, Target

PASTED = 0.5
"""Each object of the other image is pasted with this probability (2012.07177 draws a random subset)."""
MIXED = (0.4, 0.6)
"""MixUp: the share of the other image's light. Near one half, for the objects of both count fully (2107.08430)."""


def mosaic(samples: Sequence[Sample], size: Size, rng: np.random.Generator) -> Sample:
    """Four images around a point of the middle of a canvas twice as high and wide as `size` (2004.10934).

    They keep their scale. The first one lies to the top left; what reaches beyond the canvas is cut off. The canvas is
    a pixel smaller where a side is odd, for its middle to begin at a whole pixel.
    """
    canvas_size = size[0] + size[0] // 2 * 2, size[1] + size[1] // 2 * 2
    y, x = (int(rng.integers(side // 2, side + side // 2 + 1)) for side in size)
    first = samples[0]
    image = first.image.new_zeros(3, *canvas_size)
    labelled = first.target.label_map is not None
    label_map = torch.full(canvas_size, IGNORE, dtype=torch.uint8) if labelled else None
    targets = []
    for number, sample in enumerate(samples):
        height, width = sample.size
        top, left = y - height if number < 2 else y, x - width if number % 2 == 0 else x
        paste(image, sample.image, top, left)
        if label_map is not None and sample.target.label_map is not None:
            paste(label_map, sample.target.label_map, top, left)
        objects = replace(sample.target, label_map=None)
        targets.append(warp_target(objects, shift_of(left, top), sample.size, canvas_size, min_visible=0))
    return replace(first, image=image, target=replace(joined(targets), label_map=label_map))


def mixup(sample: Sample, other: Sample, rng: np.random.Generator, min_visible: float) -> Sample:
    """Blend another image over the top left of this one, as far as it reaches (1902.04103); the objects are of both."""
    share = float(rng.uniform(*MIXED))
    height, width = (min(sides) for sides in zip(sample.size, other.size))
    image = sample.image.clone()
    blended = torch.lerp(image[:, :height, :width].float(), other.image[:, :height, :width].float(), share)
    image[:, :height, :width] = blended.round_().to(torch.uint8)
    seen = warp_target(other.target, shift_of(0, 0), other.size, sample.size, min_visible)
    return replace(sample, image=image, target=joined([sample.target, seen]))


def copy_paste(sample: Sample, other: Sample, rng: np.random.Generator, min_visible: float) -> Sample:
    """Paste half of the other image's objects where they are in theirs (2012.07177); they hide what lies below."""
    seen = warp_target(other.target, shift_of(0, 0), other.size, sample.size, min_visible)
    pasted = seen[torch.from_numpy(rng.random(len(seen)) < PASTED)]
    codes = [to_rle(mask, sample.size) for mask in pasted.masks or []]
    if not codes:
        return sample
    cover = rle.union(codes)
    shown = torch.from_numpy(rle.decode(cover)).bool()
    image = torch.where(shown, paste(torch.zeros_like(sample.image), other.image, 0, 0), sample.image)
    below = _less(sample.target, cover, sample.size, min_visible)
    return replace(sample, image=image, target=joined([below, pasted]))


def _less(target: Target, cover: RLE, size: Size, min_visible: float) -> Target:
    """The objects without the pixels that `cover` hides. Those that it does not touch stay as they are."""
    assert target.masks is not None
    boxes, masks = target.boxes.clone(), list(target.masks)
    kept = torch.ones(len(target), dtype=torch.bool)
    for number, mask in enumerate(masks):
        code = to_rle(mask, size)
        before, hidden = rle.area(code), rle.area(rle.intersection([code, cover]))
        if not hidden:
            continue
        left = rle.encode(rle.decode(code) & ~rle.decode(cover) & 1)
        masks[number], box = left, code_box(left)
        boxes[number] = torch.from_numpy(box)
        enough = before - hidden >= min_visible * before
        kept[number] = enough and bool((box[2:] - box[:2] >= MIN_SIDE).all())
    return replace(target, boxes=boxes, masks=masks)[kept]


def joined(targets: Sequence[Target]) -> Target:
    """The objects of all, in order."""
    first = targets[0]
    masks, surfaces = ([getattr(target, name) for target in targets] for name in ("masks", "surfaces"))
    return Target(
        boxes=torch.cat([target.boxes for target in targets]),
        labels=torch.cat([target.labels for target in targets]),
        masks=None if first.masks is None else list(chain(*masks)),
        label_map=first.label_map,
        surfaces=None if first.surfaces is None else list(chain(*surfaces)),
    )
