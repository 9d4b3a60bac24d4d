"""Graphs compiled by AOTInductor answer as they did before."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from export.pairs import Pair
from torch import Tensor, nn
from torch.export import Dim

from cvzoo.export.formats import write
from cvzoo.runtime.formats import open_exported


class OfThose(nn.Module):
    """A convolution of the images that are wanted: how many there are is known when it runs, as of a mask head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 1)

    def forward(self, images: Tensor, sizes: Tensor) -> dict[str, Tensor]:
        wanted = torch.where(sizes[:, 0] > 0)[0]
        return {"sums": F.relu(self.conv(images[wanted].float())).flatten(2).sum(1)}


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_convolutions_of_as_many_regions_as_were_found(retinanet: Pair, tmp_path: Path) -> None:
    model = OfThose().eval().requires_grad_(False)
    images, sizes = torch.randint(256, (4, 3, 12, 16), dtype=torch.uint8), torch.tensor([12, 0, 12, 16])[:, None]
    batch = Dim("batch", min=1)
    graph = torch.export.export(model, (images, sizes), dynamic_shapes={"images": {0: batch}, "sizes": {0: batch}})
    path = tmp_path / "model.aoti.pt2"
    write(graph, retinanet.file.facts, path, "aoti")
    _, run = open_exported(path)
    for count in (4, 3):
        found, expected = run(images[:count], sizes[:count]), model(images[:count], sizes[:count])
        torch.testing.assert_close(found["sums"], expected["sums"], rtol=1e-4, atol=1e-3)
