"""What the loader, models and evaluation hand to each other."""

from dataclasses import replace

import torch

from cvzoo.structures import Target


def test_label_maps_stay_with_their_target() -> None:
    label_map = torch.randint(3, (6, 7), dtype=torch.uint8)
    target = replace(Target.empty(), label_map=label_map)
    assert target[torch.zeros(0, dtype=torch.int64)].label_map is label_map
    kept, moved = target.to("cpu").label_map, target.to("meta").label_map
    assert kept is not None
    assert moved is not None
    assert kept.equal(label_map)
    assert moved.device.type == "meta"
