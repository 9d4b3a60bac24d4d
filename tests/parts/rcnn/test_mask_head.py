"""The mask branch on made-up features."""

from __future__ import annotations

import pytest
import torch

from cvzoo.parts.rcnn.mask_head import MaskHead, MaskHeadConfig

CHANNELS, CLASSES = 12, 5


@pytest.mark.parametrize("convs", [0, 2])
@pytest.mark.parametrize("agnostic", [False, True])
def test_a_mask_is_of_its_class_or_of_all(agnostic: bool, convs: int) -> None:
    """With convolutions their channels may be others than those of the features."""
    head = MaskHead(MaskHeadConfig(convs=convs, channels=8, class_agnostic=agnostic), CHANNELS, CLASSES)
    regions, labels = torch.randn(4, CHANNELS, 7, 7), torch.tensor([0, 4, 2, 4])
    found = head(regions, labels)
    all_masks = head.out(head.hidden(regions))
    assert all_masks.shape == (4, 1 if agnostic else CLASSES, 14, 14)
    expected = all_masks[:, 0] if agnostic else all_masks[torch.arange(4), labels]
    torch.testing.assert_close(found, expected)
    found.sum().backward()
    assert all(p.grad is not None for p in head.parameters())
