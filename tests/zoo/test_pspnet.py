"""PSPNet of other sizes than its rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from weights.reading import loads, manifest
from zoo.pspnet import R50

from cvzoo.parts.semantic.head import DILATED
from cvzoo.weights.errors import WeightsError
from cvzoo.zoo import ROWS

CITYSCAPES = ROWS[R50].recipe().model


def test_parameter_count_on_resnet_101() -> None:
    """Spec segmentation.md, section 1."""
    with torch.device("meta"):
        model = replace(CITYSCAPES, backbone=replace(DILATED, depth=101)).build()
    assert sum(p.numel() for p in model.parameters()) == 67_967_622
    assert all(p.requires_grad for p in model.parameters())


def test_how_fine_the_pyramid_is_no_file_tells(golden: Path) -> None:
    state = manifest(golden / "manifests", "mmlab/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024")
    assert loads(state, R50).bins == (1, 2, 3, 6)
    three = {key: x for key, x in state.items() if "psp_modules.3" not in key}
    with pytest.raises(WeightsError, match=r"does not fit the model.* missing: head\.pyramid\.branches\.3"):
        loads(three, R50)
