"""Masks moved, cropped to boxes and pasted back, against bitmaps and against the dense computation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cvzoo.ops.masks import (
    _pasted_at_once,
    crop_mask,
    flip_mask,
    mask_json,
    mask_targets,
    paste_masks,
    scale_mask,
    to_bitmap,
    to_rle,
)
from cvzoo.ops.rle import encode, from_counts
from cvzoo.ops.unpack import unpack
from cvzoo.structures import Mask, Polygons, Size

DATA = Path(os.environ.get("CVZOO_DATA", Path(__file__).parents[3] / "shared" / "data")) / "coco"
SIDES = st.integers(1, 40)


def bitmap(height: int, width: int, seed: int, share: float = 0.5) -> np.ndarray:
    return (np.random.default_rng(seed).random((height, width)) < share).astype(np.uint8)


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / max((one | other).sum(), 1))


@pytest.fixture(scope="module")
def outlines() -> list[tuple[Polygons, Size]]:
    """Every fifth object of COCO's val that is at least 1000 pixels large."""
    path = DATA / "annotations" / "instances_val.json"
    if not path.exists():
        pytest.skip(f"{path} is absent; set CVZOO_DATA")
    content = json.loads(path.read_text())
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    large = [a for a in content["annotations"] if not a["iscrowd"] and a["area"] >= 1000][::5]
    return [([np.array(p) for p in a["segmentation"]], sizes[a["image_id"]]) for a in large]


# Codes


@given(SIDES, SIDES, st.integers(0, 1000), st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_codes_keep_every_pixel(height: int, width: int, seed: int, share: float) -> None:
    pixels = bitmap(height, width, seed, share)
    code = encode(pixels)
    assert np.array_equal(to_bitmap(code, (height, width)), pixels)
    assert json.loads(json.dumps(mask_json(code))) == {"size": [height, width], "counts": code["counts"].decode()}


def test_no_polygon_is_no_pixel() -> None:
    assert to_bitmap([], (4, 5)).shape == (4, 5)
    assert not to_bitmap([], (4, 5)).any()


def test_polygons_fill_as_coco_does() -> None:
    square = np.array([1.0, 1, 4, 1, 4, 3, 1, 3])
    other = square + 3.0
    expected = np.zeros((8, 8), np.uint8)
    expected[1:3, 1:4] = expected[4:6, 4:7] = 1
    assert np.array_equal(to_bitmap([square, other], (8, 8)), expected)
    assert mask_json([square]) == [square.tolist()]


# Geometry


@given(SIDES, SIDES, st.integers(0, 1000))
def test_flips_of_bitmaps(height: int, width: int, seed: int) -> None:
    pixels = bitmap(height, width, seed)
    flipped = flip_mask(encode(pixels), width)
    assert np.array_equal(to_bitmap(flipped, (height, width)), pixels[:, ::-1])
    assert flip_mask(flipped, width) == encode(pixels)


@given(SIDES, SIDES, st.integers(0, 1000), st.data())
def test_crops_of_bitmaps(height: int, width: int, seed: int, data: st.DataObject) -> None:
    pixels = bitmap(height, width, seed)
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    size = data.draw(st.integers(1, height - top)), data.draw(st.integers(1, width - left))
    cropped = to_bitmap(crop_mask(encode(pixels), top, left, size), size)
    assert np.array_equal(cropped, pixels[top : top + size[0], left : left + size[1]])


@given(SIDES, SIDES, st.integers(0, 1000), st.integers(1, 4))
def test_bitmaps_grow_by_whole_factors(height: int, width: int, seed: int, factor: int) -> None:
    pixels, size = bitmap(height, width, seed), (height * factor, width * factor)
    grown = scale_mask(encode(pixels), (height, width), size)
    assert np.array_equal(to_bitmap(grown, size), pixels.repeat(factor, 0).repeat(factor, 1))
    assert scale_mask(grown, size, (height, width)) == encode(pixels)


@given(st.lists(st.integers(0, 1000), max_size=5), SIDES, SIDES)
def test_codes_unpacked_together(seeds: list[int], height: int, width: int) -> None:
    """Begun with 0 or 1, ended with 0 or 1; empty and full ones among them."""
    pixels = [bitmap(height, width, seed) for seed in seeds]
    pixels += [np.zeros((height, width), np.uint8), *pixels[::-1], np.ones((height, width), np.uint8)]
    codes = [encode(one) for one in pixels]
    found = unpack([*codes, from_counts([0, 0, height * width], (height, width))], (height, width), torch.device("cpu"))
    assert np.array_equal(found.numpy(), np.stack([*pixels, pixels[0] * 0]))


def test_polygons_move_with_their_pixels(outlines: list[tuple[Polygons, Size]]) -> None:
    """The rasteriser rounds, so that a border pixel may differ; the outline itself moves exactly."""
    for polygons, size in outlines:
        height, width = size
        pixels = to_bitmap(polygons, size)
        flipped = flip_mask(polygons, width)
        assert iou(to_bitmap(flipped, size), pixels[:, ::-1]) > 0.9
        twice = flip_mask(flipped, width)
        assert isinstance(twice, list)
        for one, other in zip(twice, polygons):
            np.testing.assert_allclose(one, other, atol=1e-9)
        doubled = (2 * height, 2 * width)
        assert iou(to_bitmap(scale_mask(polygons, size, doubled), doubled), pixels.repeat(2, 0).repeat(2, 1)) > 0.9
        window, top, left = (height // 2, width // 2), height // 4, width // 4
        inside = pixels[top : top + window[0], left : left + window[1]]
        if inside.sum() > 500:
            assert iou(to_bitmap(crop_mask(polygons, top, left, window), window), inside) > 0.9


# Targets


@pytest.mark.parametrize("kind", ["binary", "soft"])
def test_targets_of_polygons_and_bitmaps_agree(outlines: list[tuple[Polygons, Size]], kind: str) -> None:
    for polygons, size in outlines[:20]:
        rows, columns = np.nonzero(to_bitmap(polygons, size))
        box = torch.tensor([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]).float()
        masks: list[Mask] = [to_rle(polygons, size), polygons]
        where = np.array([1, 0, 1]), box.repeat(3, 1).numpy(), 28, box.device
        first, code, again = mask_targets(masks, [size] * 2, *where, kind)()  # pyright: ignore
        assert torch.equal(first, again)
        assert iou(first.numpy() >= 0.5, code.numpy() >= 0.5) > 0.8
        assert 0 <= first.min() <= first.max() <= 1


def test_a_box_that_leaves_half_the_mask_out() -> None:
    square = [np.array([10.0, 10, 30, 10, 30, 30, 10, 30])]
    boxes = torch.tensor([[20.0, 10.0, 40.0, 30.0], [60.0, 60.0, 70.0, 70.0], [15.0, 15.0, 15.0, 15.0]])
    for mask in (square, to_rle(square, (80, 80))):
        half, none, point = mask_targets([mask], [(80, 80)], np.zeros(3, int), boxes.numpy(), 14, boxes.device)()
        assert half[:, :7].all()
        assert not half[:, 7:].any()
        assert not none.any()
        assert point.isfinite().all()


def test_no_boxes_no_targets() -> None:
    found = mask_targets([], [], np.zeros(0, int), np.zeros((0, 4)), 28, torch.device("cpu"))()
    assert found.shape == (0, 28, 28)


# Pasting


def dense(mask_SS: Tensor, box: Tensor, size: Size) -> Tensor:
    """(H, W) values over the whole image, as detectron2 samples them."""
    x0, y0, x1, y1 = box.tolist()
    y = (torch.arange(size[0]) + 0.5 - y0) / (y1 - y0) * 2 - 1
    x = (torch.arange(size[1]) + 0.5 - x0) / (x1 - x0) * 2 - 1
    grid = torch.stack([x.expand(size), y[:, None].expand(size)], -1)
    return F.grid_sample(mask_SS[None, None], grid[None], align_corners=False)[0, 0]


def assert_pasted(mask_SS: Tensor, box: Tensor, size: Size) -> None:
    """Equal to the dense paste, but where a value lies on the threshold within rounding."""
    values = dense(mask_SS, box, size)
    for code in paste_masks(mask_SS[None], box[None], size) + _pasted_at_once(mask_SS[None], box[None], size, 0.5):
        different = torch.from_numpy(to_bitmap(code, size)).bool() != (values >= 0.5)
        assert not (different & ((values - 0.5).abs() > 1e-4)).any()


def boxes_in(size: Size) -> st.SearchStrategy[Tensor]:
    """Within the image, touching its borders, filling it, beyond them; down to a hundredth of a pixel."""

    def side(length: int) -> st.SearchStrategy[tuple[float, float]]:
        place = st.one_of(st.floats(-length, 2 * length), st.sampled_from([0.0, float(length)]))
        extent = st.one_of(st.floats(0.01, 2 * length), st.sampled_from([1.0, float(length)]))
        return st.tuples(place, extent).map(lambda pair: (pair[0], pair[0] + pair[1]))

    return st.tuples(side(size[1]), side(size[0])).map(
        lambda sides: torch.tensor([sides[0][0], sides[1][0], sides[0][1], sides[1][1]])
    )


@settings(max_examples=300)
@given(st.data(), SIDES, SIDES, st.sampled_from([1, 14, 28]), st.integers(0, 1000))
def test_pasting_equals_the_dense_paste(data: st.DataObject, height: int, width: int, side: int, seed: int) -> None:
    mask = torch.rand(side, side, generator=torch.Generator().manual_seed(seed))
    assert_pasted(mask, data.draw(boxes_in((height, width))), (height, width))


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize(
    "box",
    [
        [0, 0, 30, 20],
        [0, 5, 30, 15],
        [5, 0, 15, 20],
        [0, 0, 12, 20],
        [18, 0, 30, 20],
        [-10, -10, 50, 50],
        [3.5, 4.5, 3.6, 4.6],
        [29, 19, 60, 60],
        [0.5, 0.5, 1.5, 1.5],
    ],
)
def test_runs_over_the_borders(box: list[float], value: float) -> None:
    assert_pasted(torch.full((28, 28), value), torch.tensor(box, dtype=torch.float32), (20, 30))


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "box",
    [[5, 5, 5, 9], [5, 5, 9, 5], [7, 7, 3, 3], [-9, -9, -5, -5], [99, 99, 120, 120], [NAN, 0, 5, 5], [-INF, 0, INF, 5]],
)
def test_boxes_without_extent_or_outside_have_empty_masks(box: list[float]) -> None:
    one = torch.ones(1, 28, 28), torch.tensor([box]), (20, 30)
    for code in paste_masks(*one) + _pasted_at_once(*one, 0.5):
        assert code["size"] == [20, 30]
        assert not to_bitmap(code, (20, 30)).any()


def test_masks_pasted_at_once_are_those_pasted_one_by_one() -> None:
    masks, boxes = torch.rand(7, 14, 14), torch.rand(7, 4) * 20 - 5
    boxes[:, 2:] += boxes[:, :2] + 6
    masks[3] = 0
    with torch.autocast("cpu", torch.bfloat16):  # a bf16 model's
        together = _pasted_at_once(masks, boxes, (20, 30), 0.4)
    alone = paste_masks(masks, boxes, (20, 30), 0.4)
    assert [to_bitmap(code, (20, 30)).tolist() for code in together] == [to_bitmap(c, (20, 30)).tolist() for c in alone]


@pytest.mark.gpu
def test_masks_on_a_gpu_are_those_on_the_cpu() -> None:
    masks, boxes = torch.rand(120, 28, 28), torch.rand(120, 4) * 400
    boxes[:, 2:] += boxes[:, :2]
    size = (600, 700)
    for one, other in zip(paste_masks(masks.cuda(), boxes.cuda(), size), paste_masks(masks, boxes, size), strict=True):
        assert (to_bitmap(one, size) != to_bitmap(other, size)).mean() < 1e-4


def test_no_detections() -> None:
    assert paste_masks(torch.zeros(0, 28, 28), torch.zeros(0, 4), (20, 30)) == []


MEMORY = """
import resource, torch
from cvzoo.ops.masks import paste_masks
torch.set_num_threads(1)
def paste(count, box):
    return paste_masks(torch.rand(count, 28, 28), torch.tensor([box]).repeat(count, 1), (2000, 3000))
paste(1, [0.0, 0.0, 30.0, 30.0])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert len(paste(100, [0.0, 0.0, 3000.0, 2000.0])) == 100
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def test_a_hundred_large_masks_take_the_memory_of_one() -> None:
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 300  # MB; 600 as bytes, 2400 as floats
