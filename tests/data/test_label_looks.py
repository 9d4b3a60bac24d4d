"""Label maps are decoded once, and again when they change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from data.maps import Maps, save_image, save_map, some_map

from cvzoo.data import annotation_cache, label_looks
from cvzoo.data.build import build_dataset
from cvzoo.data.check import check
from cvzoo.data.config import LabelMaps
from cvzoo.data.images import read_numbers
from cvzoo.data.label_maps import LabelMapDataset


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The label maps that are decoded; files settle at once."""
    found: list[str] = []

    def read(path: Any) -> np.ndarray:
        found.append(path.name)
        return read_numbers(path)

    monkeypatch.setattr(annotation_cache, "SETTLED", -1.0)
    monkeypatch.setattr(label_looks, "read_numbers", read)
    return found


def pixels(maps: Maps, settings: LabelMaps | None = None, **changes: Any) -> list[list[int]]:
    dataset = build_dataset(maps.data(settings, **changes), "train")
    assert isinstance(dataset, LabelMapDataset)
    assert dataset.sizes.tolist() == [[30, 40]] * len(dataset)
    return dataset.pixels.tolist()


def test_each_is_decoded_once(maps: Maps, decoded: list[str]) -> None:
    first = pixels(maps)
    assert sorted(decoded) == ["a.png", "c.png", "d.png"]
    decoded.clear()
    assert pixels(maps) == first
    assert pixels(maps, LabelMaps(classes=("1", "2"), ignored=(0, 255), reduce_zero=True)) == [row[1:] for row in first]
    assert not decoded
    check(maps.data())
    assert len(decoded) == 6  # the check reads everything, of both splits


def test_what_changes_is_decoded_again(maps: Maps, decoded: list[str]) -> None:
    before = pixels(maps)
    decoded.clear()
    save_map(maps.map("d"), some_map(2))
    save_image(maps.image("e"))
    save_map(maps.map("e"), some_map(1))
    after = pixels(maps)
    assert sorted(decoded) == ["d.png", "e.png"]
    assert after == [*before[:2], [0, 0, 1200], [0, 1200, 0]]
    save_image(maps.image("a"), (30, 40))
    (problem,) = maps.problems()
    assert problem.startswith("train/labels/a.png: is 40 x 30 pixels, but its image")


def test_files_that_have_just_changed_are_not_remembered(maps: Maps, decoded: list[str], monkeypatch: Any) -> None:
    monkeypatch.setattr(annotation_cache, "SETTLED", 1000.0)
    pixels(maps)
    pixels(maps)
    assert len(decoded) == 6


def test_without_a_folder_for_the_cache(maps: Maps, decoded: list[str], monkeypatch: Any) -> None:
    wanted = pixels(maps)
    monkeypatch.setenv("CVZOO_CACHE", str(maps.root / "classes.txt" / "none"))
    assert pixels(maps) == wanted
    assert len(decoded) == 6
