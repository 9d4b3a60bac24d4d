"""Masks of objects: polygons and run-length codes moved, cropped to boxes, and pasted back into images.

A mask is unpacked into pixels only under a box (training), for one object at a time, or on a GPU for a few, so that a
hundred masks of a large image never lie in memory together.
Shape suffixes: F boxes with a mask each, D detections, S side of a mask in its box, H W pixels of an image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import roi_align

from cvzoo.ops import rle
from cvzoo.ops.transfer import on_device
from cvzoo.structures import RLE, Mask, Polygons, Size

MaskTarget = Literal["binary", "bitmap", "soft"]
"""How a true mask is resampled under a box; see `mask_targets`."""
VALUES_AT_ONCE = 2**25
"""Of masks pasted or unpacked at once, which bounds what that needs: 128 MB of numbers, and as much again."""
MIN_SIDE = 0.1
"""Boxes are taken to be at least this wide when a polygon is scaled to them (detectron2)."""


def to_bitmap(mask: Mask, size: Size) -> np.ndarray:
    """(H, W) uint8 of 0 and 1: a mask of an image of `size` in pixels, polygons as COCO's rasteriser fills them."""
    return rle.decode(to_rle(mask, size))


def to_rle(mask: Mask, size: Size) -> RLE:
    """The run-length code of a mask of an image of `size`."""
    if isinstance(mask, dict):
        return mask
    return rle.from_polygons(mask, size) if mask else rle.encode(np.zeros(size, np.uint8))


def mask_json(mask: Mask) -> Any:
    """The mask as COCO's JSON files hold it: lists of numbers, or a run-length code whose counts are text."""
    if isinstance(mask, dict):
        return {"size": list(mask["size"]), "counts": mask["counts"].decode()}
    return [polygon.tolist() for polygon in mask]


def flip_mask(mask: Mask, width: int) -> Mask:
    """Mirrored left and right in an image of that width."""
    if isinstance(mask, dict):
        return rle.encode(rle.decode(mask)[:, ::-1])
    return [_mapped(polygon, (-1, 1), (width, 0)) for polygon in mask]


def upend_mask(mask: Mask, height: int) -> Mask:
    """Mirrored up and down in an image of that height."""
    if isinstance(mask, dict):
        return rle.encode(rle.decode(mask)[::-1])
    return [_mapped(polygon, (1, -1), (0, height)) for polygon in mask]


def scale_mask(mask: Mask, size: Size, new_size: Size) -> Mask:
    """In the pixels of the image resized from `size` to `new_size`; bitmaps by nearest neighbour."""
    if isinstance(mask, dict):
        bitmap = torch.from_numpy(rle.decode(mask))[None, None]
        return rle.encode(F.interpolate(bitmap, new_size, mode="nearest-exact")[0, 0].numpy())
    return [_mapped(polygon, (new_size[1] / size[1], new_size[0] / size[0]), (0, 0)) for polygon in mask]


def crop_mask(mask: Mask, top: int, left: int, size: Size) -> Mask:
    """In the pixels of a window of the image. Polygons may reach beyond it."""
    if isinstance(mask, dict):
        return rle.encode(rle.decode(mask)[top : top + size[0], left : left + size[1]])
    return [_mapped(polygon, (1, 1), (-left, -top)) for polygon in mask]


def pad_mask(mask: Mask, top: int, left: int, size: Size) -> Mask:
    """In the pixels of a larger image of `size`, of which the mask's begins there."""
    if isinstance(mask, dict):
        return _encode_window(rle.decode(mask).T, left, top, size)
    return [_mapped(polygon, (1, 1), (left, top)) for polygon in mask]


def _mapped(polygon: np.ndarray, factors: tuple[float, float], shifts: tuple[float, float]) -> np.ndarray:
    return (polygon.reshape(-1, 2) * factors + shifts).reshape(-1)


def mask_targets(
    masks: Sequence[Mask],
    sizes: Sequence[Size],
    index_F: np.ndarray,
    boxes_F4: np.ndarray,
    side: int,
    device: torch.device,
    kind: MaskTarget = "binary",
    canvas: Size | None = None,
) -> Callable[[], Tensor]:
    """Begins to find what a mask head should predict in each box, from mask `index_F` of a batch's.

    A thread draws polygons, without Python's lock, while the program tells the device what to compute.

    Returns: what waits for the thread and gives (F, side, side) float32.

    `binary` rasterises polygons shifted and scaled to the box, and thresholds bitmaps that RoIAlign has resampled
    (detectron2). `bitmap` makes bitmaps of polygons, too, and fills them up from the size of each mask's image to that
    of the network's input, `canvas` (mmdetection). `soft` keeps RoIAlign's values, half a pixel off (torchvision).
    Bitmaps are unpacked and resampled on the device.
    """
    outlines = [[] if isinstance(mask, dict) else mask for mask in masks]
    drawing = _in_thread(_drawn_in, outlines, index_F, boxes_F4, side) if kind == "binary" and any(outlines) else None

    def finish() -> Tensor:
        if drawing is None:
            targets = torch.zeros(len(index_F), side, side, device=device)
        else:
            targets = on_device(drawing.result(), device).float()
        unpacked = [n for n in np.unique(index_F).tolist() if kind != "binary" or isinstance(masks[n], dict)]
        for size, numbers in _few_of_a_size(unpacked, sizes, device):
            bitmaps_KHW = _bitmaps([to_rle(masks[number], size) for number in numbers], size, device)
            if kind == "bitmap" and canvas is not None:
                bitmaps_KHW = F.pad(bitmaps_KHW, (0, canvas[1] - size[1], 0, canvas[0] - size[0]))
            row_R = np.flatnonzero(np.isin(index_F, numbers))
            number_R1 = np.searchsorted(numbers, index_F[row_R])[:, None]
            regions_R5 = on_device(np.concatenate([number_R1, boxes_F4[row_R]], axis=1), device, torch.float32)
            cropped = roi_align(bitmaps_KHW[:, None], regions_R5, side, 1.0, -1, aligned=kind != "soft")[:, 0]
            targets[on_device(row_R, device)] = cropped if kind == "soft" else (cropped >= 0.5).float()
        return targets

    return finish


def _few_of_a_size(numbers: list[int], sizes: Sequence[Size], device: torch.device) -> Iterator[tuple[Size, list[int]]]:
    """Rising numbers of masks whose images are of one size: on a CPU one, in its cache, elsewhere as many as may be."""
    for size in {sizes[number]: None for number in numbers}:
        own = [number for number in numbers if sizes[number] == size]
        few = 1 if device.type == "cpu" else max(VALUES_AT_ONCE // (size[0] * size[1]), 1)
        yield from ((size, own[start : start + few]) for start in range(0, len(own), few))


def _bitmaps(codes: list[RLE], size: Size, device: torch.device) -> Tensor:
    """(K, H, W) float32 of 0 and 1."""
    from cvzoo.ops.unpack import unpack  # Numba takes a while: only training on masks pays for it

    return unpack(codes, size, device).to(torch.float32, memory_format=torch.contiguous_format)


def _in_thread(function: Callable[..., np.ndarray], *arguments: Any) -> Future[np.ndarray]:
    """The result to come of a function that has begun to run."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(function, *arguments)
    pool.shutdown(wait=False)  # the thread ends with its work
    return future


def _drawn_in(outlines: Sequence[Polygons], index_F: np.ndarray, boxes_F4: np.ndarray, side: int) -> np.ndarray:
    """(F, side, side) uint8: the polygons of an object each, shifted and scaled to a box."""
    from cvzoo.ops.polygons import draw_polygons  # Numba takes a while: only training on masks pays for it

    origin_F2, end_F2 = np.split(boxes_F4.astype(np.float64), 2, axis=1)
    return draw_polygons(outlines, index_F, origin_F2, side / np.maximum(end_F2 - origin_F2, MIN_SIDE), side)


def paste_masks(
    probabilities_DSS: Tensor | Sequence[Tensor], boxes_D4: Tensor, size: Size, threshold: float = 0.5
) -> list[RLE]:
    """The masks in an image of `size`: sampled bilinearly at pixel centres, set where `threshold` is reached.

    They may differ in their side S.

    Where they lie on a GPU, masks of one side are pasted there, many at once. On the CPU one after the other, and under
    the boxes only (1703.06870; detectron2's paste_masks_in_image, which samples the whole image).
    """
    if isinstance(probabilities_DSS, Tensor) and probabilities_DSS.device.type != "cpu":
        at_once = max(1, VALUES_AT_ONCE // (size[0] * size[1]))
        parts = zip(probabilities_DSS.split(at_once), boxes_D4.split(at_once))
        return [code for masks, boxes in parts for code in _pasted_at_once(masks, boxes, size, threshold)]
    pasted = []
    masks = probabilities_DSS.float() if isinstance(probabilities_DSS, Tensor) else probabilities_DSS
    for mask_SS, box in zip(masks, boxes_D4.float().cpu()):
        values_WH, left, top = paste_values(mask_SS.float().cpu(), box, size)
        pasted.append(_encode_window((values_WH >= threshold).numpy(), left, top, size))
    return pasted


def _pasted_at_once(masks_DSS: Tensor, boxes_D4: Tensor, size: Size, threshold: float) -> list[RLE]:
    """Masks sampled at all pixels of the image. The program waits for where their runs begin and end."""
    x1_D1, y1_D1, x2_D1, y2_D1 = boxes_D4.float().unsqueeze(-1).unbind(1)
    pixels, side = [torch.arange(length, device=boxes_D4.device) for length in size], masks_DSS.shape[-1]
    x_DWS, y_DHS = _bilinear(pixels[1], x1_D1, x2_D1, side), _bilinear(pixels[0], y1_D1, y2_D1, side)
    with torch.autocast(masks_DSS.device.type, enabled=False):
        values_DWH = x_DWS @ masks_DSS.float().mT @ y_DHS.mT
    real_D11 = ((x2_D1 > x1_D1) & (y2_D1 > y1_D1)).unsqueeze(-1)
    inside_DWH = (values_DWH >= threshold) & real_D11
    before_DP = F.pad(inside_DWH.flatten(1), (1, 0))  # column by column, after an empty pixel
    mask_E, edge_E = (before_DP[:, 1:] ^ before_DP[:, :-1]).nonzero().cpu().numpy().T
    first, last = np.zeros(1, np.int64), np.full(1, size[0] * size[1])
    edges = np.split(edge_E, np.searchsorted(mask_E, np.arange(1, len(masks_DSS))))
    return [rle.from_counts(np.diff(np.concatenate([first, own, last])).tolist(), size) for own in edges]


def paste_values(mask_SS: Tensor, box_4: Tensor, size: Size) -> tuple[Tensor, int, int]:
    """One mask sampled at the pixels its box covers: (W', H') values, column by column, with the left and top pixel.

    Bilinear sampling is a matrix product along each axis. Outside of the mask's cells it is blended with zero.
    """
    x1, y1, x2, y2 = box_4.tolist()
    columns, rows = _covered(x1, x2, size[1]), _covered(y1, y2, size[0])
    side = mask_SS.shape[-1]
    x_WS = _bilinear(torch.arange(columns.start, columns.stop), x1, x2, side)
    y_HS = _bilinear(torch.arange(rows.start, rows.stop), y1, y2, side)
    return x_WS @ mask_SS.T @ y_HS.T, columns.start, rows.start


def _covered(start: float, end: float, length: int) -> range:
    """The pixels along one axis that a box covers, and one more at each end; none for a box without extent."""
    if not end > start:  # NaN too
        return range(0)
    return range(int(min(max(start - 1, 0), length)), math.ceil(min(max(end + 1, 0), length)))


def _bilinear(pixels_P: Tensor, start: float | Tensor, end: float | Tensor, side: int) -> Tensor:
    """(..., P, side): the weight of each of a mask's cells at the centre of each pixel, along one axis of its box."""
    place_P = (pixels_P + 0.5 - start) / (end - start) * side - 0.5
    return (1 - (place_P.unsqueeze(-1) - torch.arange(side, device=place_P.device)).abs()).clamp(min=0)


def _encode_window(bitmap_WH: np.ndarray, left: int, top: int, size: Size) -> RLE:
    """The run-length code of an image that is empty outside of a window, without unpacking the image."""
    height, width = size
    window_width, window_height = bitmap_WH.shape
    padded = np.zeros((window_width, window_height + 2), np.int8)
    padded[:, 1:-1] = bitmap_WH
    column, row = np.nonzero(np.diff(padded, axis=1))
    edges = (left + column) * height + top + row  # runs begin and end in turn
    if window_height == height:  # a run that reaches the lower border goes on at the top of the next column
        ends = edges[1:-1:2]
        starts = edges[2::2]
        joined = np.flatnonzero(ends == starts) * 2 + 1
        edges = np.delete(edges, np.concatenate([joined, joined + 1]))
    counts = np.diff(np.concatenate([[0], edges, [height * width]])).tolist()
    return rle.from_counts(counts, size)
