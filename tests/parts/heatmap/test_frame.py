"""Images in the middle of a larger canvas."""

from __future__ import annotations

import pytest
import torch

from cvzoo.parts.heatmap.frame import begun_at, framed, framed_in_graph


@pytest.mark.parametrize(
    ("mask", "extra", "side", "canvas"), [(31, 1, 480, 512), (31, 1, 512, 544), (31, 1, 511, 512), (127, 0, 640, 767)]
)
def test_canvas_and_middle(mask: int, extra: int, side: int, canvas: int) -> None:
    images = torch.randint(1, 256, (1, 3, side, 40), dtype=torch.uint8)
    found, ((top, left),) = framed(images, [(side, 40)], mask, extra)
    assert found.shape[-2] == canvas
    assert top == canvas // 2 - side // 2
    assert torch.equal(found[:, :, top : top + side, left : left + 40], images)
    assert int(found.count_nonzero()) == images.numel()
    boxes = begun_at(torch.tensor([[[left, top, left + 40, top + side]]]).float(), torch.tensor([[top, left]]))
    assert boxes.tolist() == [[[0, 0, 40, side]]]


def test_each_image_lies_where_it_would_lie_alone() -> None:
    images = torch.randint(1, 256, (2, 3, 70, 90), dtype=torch.uint8)
    found, corners = framed(images, [(70, 90), (40, 33)], 31, 1)
    alone, ((top, left),) = framed(images[1:, :, :40, :33], [(40, 33)], 31, 1)
    assert corners[1] == (top, left)
    assert torch.equal(found[1, :, : alone.shape[2], : alone.shape[3]], alone[0])


@pytest.mark.parametrize(("mask", "extra"), [(31, 1), (127, 0)])
def test_a_graph_places_images_as_the_program_does(mask: int, extra: int) -> None:
    images, sizes = torch.randint(1, 256, (3, 3, 70, 90), dtype=torch.uint8), [(70, 90), (40, 33), (69, 32)]
    expected, corners = framed(images, sizes, mask, extra)
    found, begins = framed_in_graph(images, torch.tensor(sizes), mask, extra)
    assert torch.equal(found, expected)
    assert begins.tolist() == [list(corner) for corner in corners]
