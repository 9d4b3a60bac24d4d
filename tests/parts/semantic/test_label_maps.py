"""The label maps of original images, which never hold the logits of all classes at once, beside those that do."""

from __future__ import annotations

import pytest
import torch
from parity.logits import resized

from cvzoo.parts.semantic.head import SemanticOutput
from cvzoo.parts.semantic.logits import label_maps_of
from cvzoo.zoo.pspnet.model import PSPNetConfig

SIZES, ORIGINALS, CANVAS = [(33, 41), (40, 48)], [(66, 80), (40, 48)], (40, 48)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_classes_one_after_the_other_give_the_same_map(align_corners: bool, layout: torch.memory_format) -> None:
    logits = torch.randn(2, 7, 5, 6).round().contiguous(memory_format=layout)  # with ties
    config = PSPNetConfig(align_corners=align_corners)
    found = label_maps_of(SemanticOutput(logits, None), SIZES, ORIGINALS, CANVAS, config)
    on_canvas = resized(logits.contiguous(), CANVAS, align_corners)
    for own, logits_KHW, (height, width), original in zip(found, on_canvas, SIZES, ORIGINALS, strict=True):
        expected = resized(logits_KHW[None, :, :height, :width], original, align_corners)[0].argmax(dim=0)
        assert own.labels.dtype == torch.uint8
        assert own.labels.equal(expected.to(torch.uint8))
