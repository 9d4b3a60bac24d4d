"""Pasting masks into an image beside torchvision's `paste_masks_in_image`: time, agreement and memory.

    python benchmarks/paste_masks.py [--masks 100] [--height 800 --width 1333] [--rounds 15] [--device cuda]

Both sides get the same smooth masks under boxes of real COCO objects. Ours ends at thresholded run-length codes,
torchvision's at (D, 1, H, W) floats, which its caller has yet to threshold. Memory is what is used at the peak, beyond
what was in use before, for an image of 2000x3000.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import tyro
from common import alternate, ratios, report
from side_by_side import COCO, val_images
from torch import Tensor
from torchvision.models.detection.roi_heads import paste_masks_in_image

from cvzoo.data.shapes import draw
from cvzoo.engine.measure import peak_memory_gb, reset_peak_memory
from cvzoo.ops.boxes import scale_boxes
from cvzoo.ops.masks import paste_masks, to_bitmap
from cvzoo.structures import RLE, Size

LARGE = (2000, 3000)


def blobs(count: int, side: int = 28, seed: int = 0) -> Tensor:
    """(count, side, side) probabilities: one smooth outline each, as a trained head predicts them."""
    generator = torch.Generator().manual_seed(seed)
    place = (torch.arange(side) + 0.5) / side * 2 - 1
    radius, angle = torch.hypot(place[:, None], place), torch.atan2(place[:, None], place)
    wave = torch.arange(1, 6)[:, None, None, None]
    height, phase = torch.rand(2, 5, count, 1, 1, generator=generator)
    outline = 0.75 + (0.3 * (height - 0.5) / wave**0.5 * torch.cos(wave * angle + 2 * torch.pi * phase)).sum(0)
    return torch.sigmoid(12 * (outline - radius))


def boxes_in(size: Size, count: int, seed: int = 0) -> Tensor:
    """(count, 4): boxes of real objects, each moved as if its image were stretched to `size`."""
    if COCO.exists():
        images = val_images()
        boxes = [images.target(n).boxes for n in range(len(images))]
        sizes = [(int(height), int(width)) for height, width in images.sizes]
    else:
        drawn = [draw(256, 256, objects=8, seed=n) for n in range(count)]
        boxes, sizes = [sample.target.boxes for sample in drawn], [sample.size for sample in drawn]
    stretched = torch.cat([scale_boxes(b, old, size) for b, old in zip(boxes, sizes)])
    return stretched[torch.randperm(len(stretched), generator=torch.Generator().manual_seed(seed))[:count]]


def sides(masks: int, size: Size, device: torch.device) -> tuple[Callable[[], list[RLE]], Callable[[], Tensor]]:
    """Ours and torchvision's way of pasting that many masks into an image of `size`."""
    probabilities_DSS, boxes_D4 = blobs(masks).to(device), boxes_in(size, masks).to(device)
    return (
        lambda: paste_masks(probabilities_DSS, boxes_D4, size),
        lambda: paste_masks_in_image(probabilities_DSS[:, None], boxes_D4, size),
    )


def agreement(ours: list[RLE], theirs_D1HW: Tensor, size: Size) -> dict[str, float]:
    """The share of pixels that differ: of all, and of those set by either side."""
    differing, either = 0, 0
    for code, values_HW in zip(ours, theirs_D1HW[:, 0].cpu()):
        one, other = torch.from_numpy(to_bitmap(code, size)).bool(), values_HW >= 0.5
        differing += int((one ^ other).sum())
        either += int((one | other).sum())
    return {"differing_of_all": differing / theirs_D1HW.numel(), "differing_of_masks": differing / either}


def peak_mb(call: Callable[[], object], device: torch.device) -> float:
    """Memory a call needs at its peak, beyond what is in use before it."""
    reset_peak_memory(device)
    before = peak_memory_gb(device)
    call()
    return (peak_memory_gb(device) - before) * 1000


def main(
    masks: int = 100,
    height: int = 800,
    width: int = 1333,
    rounds: int = 15,
    device: Literal["cpu", "cuda"] = "cpu",
) -> None:
    on = torch.device(device)
    run_ours, run_theirs = sides(masks, (height, width), on)
    equality = agreement(run_ours(), run_theirs(), (height, width))
    times = alternate({"ours": run_ours, "torchvision": run_theirs}, rounds, device=on)
    ours_mb, theirs_mb = (peak_mb(side, on) for side in sides(masks, LARGE, on))
    report(
        "paste_masks",
        on,
        **ratios(times),
        **equality,
        masks=masks,
        size=[height, width],
        memory_size=LARGE,
        ours_peak_mb=ours_mb,
        torchvision_peak_mb=theirs_mb,
    )


if __name__ == "__main__":
    tyro.cli(main)
