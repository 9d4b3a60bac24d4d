"""Heat maps in the pixels of the image: a peak lies where the detection that is made of it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from zoo.systems import narrow

from cvzoo.parts.heatmap.frame import Frame
from cvzoo.parts.heatmap.heat import hottest, on_original
from cvzoo.structures import Batch, Sample

CENTRE, CORNERS = "centernet_r18_512", "cornernet_hourglass104_511"
COLD, HOT = -12.0, 6.0


def middle(map_HW: Tensor) -> tuple[float, float]:
    """x and y of the middle of what is warm."""
    rows, columns = (torch.arange(side) + 0.5 for side in map_HW.shape)
    return float((map_HW.sum(0) * columns).sum() / map_HW.sum()), float((map_HW.sum(1) * rows).sum() / map_HW.sum())


@pytest.mark.parametrize("original", [(41, 53), (82, 159), (123, 53), (17, 19)])
def test_a_cell_lies_at_its_pixel_of_the_original(original: tuple[int, int]) -> None:
    """Cell 6, 5 of stride 4 has its middle at 26, 22 of the canvas: at 21, 15 of the image, which begins at 5, 7."""
    cells = torch.zeros(16, 24)
    cells[5, 6] = 1
    found = on_original(cells, (64, 96), (7, 5), (41, 53), original)
    assert found.shape == original
    x, y = 21 * original[1] / 53, 15 * original[0] / 41
    assert middle(found) == pytest.approx((x, y), abs=0.3)
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
    row, column = divmod(int(found.argmax()), original[1])
    assert (column, row) == pytest.approx((x - 0.5, y - 0.5), abs=2)


def test_no_peak_falls_between_the_pixels_of_a_small_original() -> None:
    cells = torch.zeros(64, 64)
    cells[::8, 3::8] = 1
    assert float(on_original(cells, (256, 256), (0, 0), (256, 256), (8, 8)).min()) > 0.01


def test_the_highest_class_counts_and_unused_outputs_do_not() -> None:
    logits = torch.tensor([0.0, 2.0, 5.0]).view(1, 3, 1, 1)
    assert hottest(logits, ()).tolist() == [[[pytest.approx(float(torch.tensor(5.0).sigmoid()))]]]
    assert hottest(logits, (0, 1, -1)).tolist() == [[[pytest.approx(float(torch.tensor(2.0).sigmoid()))]]]


def plant(model: Any, offsets: Callable[[Any], list[Tensor]], cells: dict[str, tuple[int, int, int]]) -> None:
    """Let the model see one peak in each kind of map, at an image, row and column, and points amid their cells."""
    real = model.raw

    def raw(images: Tensor) -> Any:
        found = real(images)
        for point, logits_NKHW in model.heat(found).items():
            n, row, column = cells[point]
            logits_NKHW.fill_(COLD)
            logits_NKHW[n, 1, row, column] = HOT
        for offset in offsets(found):
            offset.fill_(0.5)
        return found

    model.raw = raw


def batch_of_odd_sizes() -> Batch:
    """Two images that have been resized, the second one smaller than their canvas."""
    sizes, originals = [(75, 93), (61, 47)], [(150, 186), (183, 94)]
    images = (torch.randint(0, 256, (3, *size), dtype=torch.uint8) for size in sizes)
    return Batch.collate([Sample(image, original_size=original) for image, original in zip(images, originals)])


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("frame", [None, Frame(), Frame(mask=15, extra=0, around="mean")])
def test_a_detection_has_its_centre_in_the_heat(frame: Frame | None, fast: bool) -> None:
    model = narrow(CENTRE, frame=frame, clip=False).model.build().eval()
    model = model.for_inference() if fast else model
    plant(model, lambda raw: [raw.offsets], {"centre": (1, 9, 7)})
    batch = batch_of_odd_sizes()
    (cold,), (heat,) = model.heatmaps(batch)
    assert heat.point == "centre"
    assert heat.map_HW.shape == (183, 94)
    assert float(cold.map_HW.max()) < 0.01
    assert 0.7 < float(heat.map_HW.max()) < 1
    x1, y1, x2, y2 = model.predict(batch)[1].boxes[0].tolist()
    assert middle(heat.map_HW) == pytest.approx(((x1 + x2) / 2, (y1 + y2) / 2), abs=0.3)


def test_both_corners_lie_in_their_heat() -> None:
    model = narrow(CORNERS).model.build().eval()
    assert model.config.frame is not None
    batch = batch_of_odd_sizes()
    plant(model, lambda raw: [maps.offset[-1] for maps in raw], {"top_left": (1, 5, 6), "bottom_right": (1, 12, 9)})
    cold, heats = model.heatmaps(batch)
    assert [heat.point for heat in heats] == ["top_left", "bottom_right"]
    assert max(float(heat.map_HW.max()) for heat in cold) < 0.01
    box = model.predict(batch)[1].boxes[0].tolist()
    for heat, (x, y) in zip(heats, (box[:2], box[2:])):
        assert heat.map_HW.shape == (183, 94)
        assert middle(heat.map_HW) == pytest.approx((x, y), abs=0.3)
