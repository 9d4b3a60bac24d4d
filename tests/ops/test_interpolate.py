"""Images looked at through affine maps are those that torch and Pillow give."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from cvzoo.ops.interpolate import bilinear

MAPS = {
    "turned": [[0.9, 0.4, -3.3], [-0.4, 0.9, 10.1]],
    "larger": [[0.3, 0.0, 5.0], [0.0, 0.45, 1.0]],
    "slanted": [[1.1, 0.2, -4.0], [0.1, -1.2, 40.0]],
    "identity": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
}


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(256, size=(3, height, width), dtype=np.uint8)


@pytest.mark.parametrize("name", MAPS)
def test_as_pillow(name: str) -> None:
    image, back = noise(41, 57), np.array(MAPS[name])
    found = bilinear(image, back, (50, 60)).astype(int)
    pixels = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
    shown = pixels.transform((60, 50), Image.Transform.AFFINE, back.reshape(-1).tolist(), Image.Resampling.BILINEAR)
    reference = np.array(shown).transpose(2, 0, 1).astype(int)
    edge = (found == 0).all(0) != (reference == 0).all(0)
    assert edge.sum() <= 2, "a middle that lies just on the image's edge"
    assert abs(found - reference)[:, ~edge].max() <= 2


def test_as_grid_sample_within_the_image() -> None:
    image, back = noise(40, 40), np.array([[0.7, 0.3, 5.0], [-0.3, 0.7, 12.0]])
    y, x = torch.meshgrid(torch.arange(24) + 0.5, torch.arange(24) + 0.5, indexing="ij")
    grid = torch.stack([back[r, 0] * x + back[r, 1] * y + back[r, 2] for r in (0, 1)], -1) / 20 - 1
    reference = F.grid_sample(torch.from_numpy(image)[None].double(), grid[None].double(), align_corners=False)[0]
    assert float((torch.from_numpy(bilinear(image, back, (24, 24))) - reference).abs().max()) <= 2


def test_the_identity_and_flips_are_exact() -> None:
    image = noise(31, 45)
    assert np.array_equal(bilinear(image, np.array(MAPS["identity"]), (31, 45)), image)
    both = np.array([[-1.0, 0, 45], [0, -1.0, 31]])
    assert np.array_equal(bilinear(image, both, (31, 45)), image[:, ::-1, ::-1])
