"""torchvision's FCN in the row of FCN."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torchvision.models import segmentation
from weights.reading import loads

from cvzoo.parts.semantic.head import DILATED
from cvzoo.zoo.fcn.weights import TORCHVISION

ROW = "fcn_r50_d8_cityscapes"


@pytest.mark.parametrize("depth", [50, 101])
@pytest.mark.parametrize("aux", [True, False])
@pytest.mark.parametrize("classes", [21, 5])
def test_files_of_torchvision_get_their_options(depth: int, aux: bool, classes: int) -> None:
    """In a row with mmsegmentation's deep stem; their auxiliary head may be absent."""
    options = {"weights": None, "weights_backbone": None, "aux_loss": aux, "num_classes": classes}
    with torch.device("meta"):
        theirs = getattr(segmentation, f"fcn_resnet{depth}")(**options).state_dict()
    body = replace(DILATED, depth=depth)
    expected = replace(TORCHVISION, num_classes=classes, backbone=replace(body, deep_stem=False))
    assert loads(theirs, ROW, backbone=body) == (expected if aux else replace(expected, aux=None))
