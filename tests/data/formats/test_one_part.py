"""What is evaluated may be one part alone: it is taken whole, and may lack classes that the weights know."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from data.formats.folders import Drawing, drawings
from data.formats.test_every_format import csv_of_retinanet, labelme, voc

from cvzoo.data.build import build_dataset, build_datasets, with_absent
from cvzoo.data.coco import CocoDataset
from cvzoo.data.config import Data
from cvzoo.data.formats.recognise import recognise
from cvzoo.data.problems import DataError
from cvzoo.recipes.folder import divided, recognised


def of_what_is_evaluated(root: Path) -> Data:
    return recognised(Data(root=root), None, evaluates=True)[0]


def test_a_folder_that_was_never_split_is_evaluated_whole(tmp_path: Path) -> None:
    labelme(tmp_path, "", drawings(5))
    assert len(build_dataset(of_what_is_evaluated(tmp_path), "val")) == 5
    assert "an evaluation takes all of it" in str(recognise(tmp_path, evaluates=True))
    before = of_what_is_evaluated(tmp_path)
    assert not (tmp_path / "splits").exists()
    train, val = build_datasets(divided(before)[0])  # what it has learnt is no longer evaluated
    assert (len(train), len(val)) == (4, 1)
    for data in (of_what_is_evaluated(tmp_path), divided(before, evaluates=True)[0]):
        assert len(build_dataset(data, "val")) == 1


def test_a_test_part_alone_is_not_trained_on(tmp_path: Path) -> None:
    labelme(tmp_path, "test", drawings(5))
    with pytest.raises(DataError, match=r"there is a test part .*, but nothing to train on"):
        divided(of_what_is_evaluated(tmp_path))


@pytest.mark.parametrize("part", ["valid", "test"])
def test_a_part_alone_is_evaluated_whole(part: str, tmp_path: Path) -> None:
    labelme(tmp_path, part, drawings(5))
    assert len(build_dataset(of_what_is_evaluated(tmp_path), "val")) == 5


@pytest.mark.parametrize("write", [voc, labelme, csv_of_retinanet], ids=lambda write: write.__name__)
def test_a_part_alone_may_lack_classes(write: Any, tmp_path: Path) -> None:
    write(tmp_path, "train", drawings(3))
    write(tmp_path, "val", [Drawing("alone", (50, 60), ("red car", "cat"), [(1, 2, 30, 40), (5, 6, 20, 20)])])
    data = recognised(Data(root=tmp_path), None)[0]
    for folder in {data.train.images, data.train.annotations.removesuffix("/annotations.csv")}:
        shutil.rmtree(tmp_path / folder)
    alone = build_dataset(data, "val")
    assert alone.classes == ["cat", "red car"]
    known = ["red car", "dog", "cat"]
    whole = with_absent(alone, data, known)
    assert isinstance(whole, CocoDataset)
    assert (whole.classes, whole.category_ids) == (known, [1, 2, 3])
    assert whole.labels(0).tolist() == [0, 2]
    truth = whole.ground_truth
    assert {one["id"]: one["name"] for one in truth["categories"]} == {1: "red car", 2: "dog", 3: "cat"}
    assert [one["category_id"] for one in truth["annotations"]] == [1, 3]
    assert whole.in_order(["cat", "dog", "red car"]).labels(0).tolist() == [2, 0]
    assert with_absent(alone, data, ["dog", "cat"]) is alone  # of other classes: that is told
