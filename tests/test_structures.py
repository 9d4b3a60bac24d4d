"""What the loader, models and evaluation hand to each other."""

from dataclasses import replace

import torch

from cvzoo.structures import Batch, Prediction, Sample, Surface, Target


def test_label_maps_stay_with_their_target() -> None:
    label_map = torch.randint(3, (6, 7), dtype=torch.uint8)
    target = replace(Target.empty(), label_map=label_map)
    assert target[torch.zeros(0, dtype=torch.int64)].label_map is label_map
    batch = Batch.collate([Sample(torch.zeros(3, 6, 7, dtype=torch.uint8), target)])
    kept, moved = (batch.to(device).targets[0].label_map for device in ("cpu", "meta"))
    assert kept is not None
    assert moved is not None
    assert kept.equal(label_map)
    assert moved.device.type == "meta"


def test_surfaces_stay_with_their_people() -> None:
    people = [
        Surface((0, 0, n, n), torch.zeros(n, 2), torch.ones(n, dtype=torch.int64), torch.zeros(n, 2)) for n in (1, 2)
    ]
    surfaces = [people[0], None, people[1]]
    target = Target(torch.zeros(3, 4), torch.zeros(3, dtype=torch.int64), surfaces=surfaces)
    assert target[torch.tensor([False, True, True])].surfaces == [None, people[1]]
    assert target[torch.tensor([2, 0])].surfaces == people[::-1]
    assert target[1:].surfaces == surfaces[1:]
    batch = Batch.collate([Sample(torch.zeros(3, 4, 4, dtype=torch.uint8), target)])
    assert batch.to("meta").targets[0].surfaces == surfaces


def test_predicted_surfaces_are_chosen_and_moved_with_their_boxes() -> None:
    maps = [torch.full((3, n, n + 1), n, dtype=torch.uint8) for n in (1, 2, 3)]
    found = Prediction(torch.rand(3, 4), torch.rand(3), torch.zeros(3, dtype=torch.int64), surfaces=maps)
    for index, kept in ((slice(1, None), [1, 2]), (torch.tensor([2, 0]), [2, 0]), (torch.tensor([False] * 3), [])):
        chosen = found[index].surfaces
        assert chosen is not None
        assert [int(surface[0, 0, 0]) - 1 for surface in chosen] == kept
    moved = found.to("meta")
    assert moved.boxes.device.type == "meta"
    assert moved.surfaces is not None
    assert all(
        surface.device.type == "meta" and surface.shape == maps[n].shape for n, surface in enumerate(moved.surfaces)
    )
    assert found[:1].to("cpu").masks is None
