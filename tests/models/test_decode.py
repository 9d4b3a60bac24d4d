import pytest
import torch

from cvzoo.parts.semantic.head import SemanticOutput
from cvzoo.parts.semantic.logits import decode, logits_of_images
from cvzoo.zoo.pspnet.model import PSPNetConfig


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_classes_one_after_the_other_give_the_same_map(align_corners, layout):
    logits = torch.randn(2, 7, 5, 6).round().contiguous(memory_format=layout)  # with ties
    places = [(33, 41), (40, 48)], [(66, 80), (40, 48)], (40, 48)
    found = decode(SemanticOutput(logits, None), *places, PSPNetConfig(align_corners=align_corners))
    for own, expected in zip(found, logits_of_images(logits.contiguous(), *places, align_corners), strict=True):
        assert own.labels.dtype == torch.uint8
        assert own.labels.equal(expected.argmax(dim=0).to(torch.uint8))
