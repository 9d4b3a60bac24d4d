"""What is counted of a data set, and what is worth a look in it."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pytest
from data.conftest import Folder
from data.maps import Maps, save_map, some_map

from cvzoo.data.build import build_datasets
from cvzoo.data.coco import CocoDataset
from cvzoo.data.facts import CELLS, facts_of
from cvzoo.data.label_maps import LabelMapDataset
from cvzoo.data.suspicions import Item, rare_classes, suspicions


def datasets(data: Any) -> dict[str, Any]:
    return dict(zip(("train", "val"), build_datasets(data)))


def found(data: Any) -> dict[str, list[Item]]:
    splits = datasets(data)
    return {one.title: one.items for one in suspicions(splits, {name: facts_of(own) for name, own in splits.items()})}


@pytest.fixture
def plain(folder: Folder) -> Folder:
    """Without suspicions: the two splits have other images."""
    for i in range(1, 5):
        with (folder.root / "val" / f"{i}.jpg").open("ab") as file:
            file.write(b"another")
    return folder


def test_counts_are_those_of_the_file(folder: Folder) -> None:
    content = folder.content()
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] != 2][1:]
    folder.write(content)
    train = datasets(folder.data(keep_empty=True))["train"]
    assert isinstance(train, CocoDataset)
    facts = facts_of(train)
    assert train.classes == ["dog", "cat"]
    assert (facts.amounts_K.tolist(), facts.images_K.tolist(), facts.empty) == ([2, 3], [2, 3], 1)
    assert facts.rows_G.tolist() == [0, 2, 2, 3, 3]
    assert facts.sides_G2.tolist() == [[10, 9], [10, 11], [10, 11], [10, 12], [10, 12]]
    assert rare_classes(train, facts, 3) == ["dog: 2 objects"]


def test_coverage_counts_the_boxes_over_each_cell(folder: Folder) -> None:
    train = datasets(folder.data())["train"]
    facts = facts_of(train)
    wanted = np.zeros((CELLS, CELLS))
    for x1, y1, x2, y2 in facts.boxes_G4 * np.tile(CELLS / np.array([40, 30]), 2):
        for row in range(CELLS):
            for column in range(CELLS):
                wanted[row, column] += x1 < column + 1 and x2 > column and y1 < row + 1 and y2 > row
    np.testing.assert_allclose(facts.coverage(), wanted / 8, atol=1e-9)


def test_nothing_is_said_of_sound_objects(plain: Folder) -> None:
    assert found(plain.data()) == {}


def test_boxes_that_are_hardly_meant(plain: Folder) -> None:
    content = plain.content()
    boxes = {0: [5, 5, 3.5, 20], 3: [0, 0, 40, 29], 4: [0, 3, 40, 1.5], 6: [1, 1, 20, 20], 7: [1.2, 1, 20, 20]}
    for number, box in boxes.items():
        content["annotations"][number]["bbox"] = box
    plain.write(content)
    assert found(plain.data()) == {
        "Boxes that lie on each other": [Item("train", 3, [0, 1], "2 boxes")],
        "Tiny boxes": [Item("train", 0, [0], ""), Item("train", 2, [0], "")],
        "Boxes of the whole image": [Item("train", 1, [1], "")],
        "Long boxes": [Item("train", 2, [0], "")],
    }


def test_images_of_both_splits_come_first_among_equal_ones(plain: Folder) -> None:
    shutil.copyfile(plain.root / "train" / "1.jpg", plain.root / "train" / "2.jpg")
    shutil.copyfile(plain.root / "val" / "3.jpg", plain.root / "train" / "4.jpg")
    (items,) = found(plain.data()).values()
    assert [item.note for item in items] == ["train: 4.jpg = val: 3.jpg", "train: 1.jpg = train: 2.jpg"]


def test_label_maps(maps: Maps) -> None:
    save_map(maps.map("d"), some_map(255))
    train = datasets(maps.data())["train"]
    assert isinstance(train, LabelMapDataset)
    facts = facts_of(train)
    wanted = np.concatenate([np.asarray(train[i].target.label_map).flatten() for i in range(3)])
    assert facts.amounts_K.tolist() == np.bincount(wanted, minlength=256)[:3].tolist()
    assert (facts.images_K.tolist(), facts.empty) == ([1, 2, 1], 1)
    assert rare_classes(train, facts, 2) == ["road: 1 images", "sky: 1 images"]
    assert list(found(maps.data())) == ["Images that are there several times"]  # all are of one colour
