"""Several data sets as one: from other folders, with image ids and category ids of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from data.conftest import Folder

from cvzoo.data.build import build_dataset, build_datasets
from cvzoo.data.check import check
from cvzoo.data.config import Split
from cvzoo.data.problems import DataError
from cvzoo.metrics.coco import evaluate_coco


def other_ids(content: dict[str, Any], cat: int, dog: int) -> dict[str, Any]:
    """The content with these ids for its two categories."""
    ids = {7: cat, 3: dog}
    content["categories"] = [{"id": cat, "name": "cat"}, {"id": dog, "name": "dog"}]
    content["annotations"] = [a | {"category_id": ids[a["category_id"]]} for a in content["annotations"]]
    return content


@pytest.fixture
def second(folder: Folder, tmp_path: Path) -> Folder:
    """A data set in another folder, whose ids of cat and dog are the other way round."""
    found = Folder(tmp_path / "second")
    found.write(other_ids(found.content(), cat=3, dog=7))
    return found


def together(folder: Folder, second: Folder, below: bool = False) -> Split:
    there = "../second" if below else str(second.root)
    return Split(images=f"train,{there}/train", annotations=f"train.json,{there}/train.json")


@pytest.mark.parametrize("below", [False, True])
def test_classes_are_matched_by_name_and_images_get_ids_of_their_own(
    folder: Folder, second: Folder, below: bool
) -> None:
    split = together(folder, second, below)
    train, val = build_datasets(folder.data(train=split, val=split))
    assert (train.classes, train.category_ids) == (["dog", "cat"], [3, 7])
    assert train.image_ids.tolist() == [*range(1, 5), *range(5, 9)]
    for index in range(4):
        assert train[index].target.labels.tolist() == train[index + 4].target.labels.tolist() == [0, 1]
        assert train.path(index + 4).samefile(second.root / "train" / f"{index + 1}.jpg")
    truth = val.ground_truth
    assert [image["id"] for image in truth["images"]] == val.image_ids.tolist()
    assert len({a["id"] for a in truth["annotations"]}) == 16
    dogs = [a["bbox"] for a in truth["annotations"] if a["category_id"] == 3]
    assert {x for x, *_ in dogs} == {0}  # the dogs lie at the left in both
    found = [{k: a[k] for k in ("image_id", "category_id", "bbox")} | {"score": 0.9} for a in truth["annotations"]]
    assert evaluate_coco(truth, found, "box").stats["box_AP"] == pytest.approx(1)


def test_splits_are_matched_by_name(folder: Folder) -> None:
    folder.write(other_ids(folder.content(), cat=1, dog=2), "val")
    train, val = build_datasets(folder.data())
    assert train.classes == val.classes == ["dog", "cat"]
    assert val.category_ids == [2, 1]
    assert train[0].target.labels.tolist() == val[0].target.labels.tolist() == [0, 1]
    assert not check(folder.data()).errors


def test_a_class_that_one_file_lacks_must_be_chosen(folder: Folder, second: Folder) -> None:
    content = other_ids(second.content(), cat=3, dog=8)
    content["categories"][0]["name"] = "Cat"
    second.write(content)
    split = together(folder, second)
    with pytest.raises(DataError) as caught:
        build_dataset(folder.data(train=split), "train")
    assert "set/train.json: its categories lack Cat, which the split's other files have" in str(caught.value)
    assert "second/train.json: its categories lack cat" in str(caught.value)
    assert [str(e) for e in check(folder.data(train=split)).errors][:2] == [str(p) for p in caught.value.problems]
    renamed = build_dataset(folder.data(train=split, rename=("Cat=cat",)), "train")
    assert (renamed.classes, renamed.category_ids) == (["dog", "cat"], [3, 7])
    assert renamed[5].target.labels.tolist() == [0, 1]
    chosen = build_dataset(folder.data(train=split, classes=("Cat", "dog")), "train")
    assert [chosen.labels(i).tolist() for i in (0, 4)] == [[1], [1, 0]]
    assert chosen.category_ids == [8, 3]


def test_an_image_has_one_file(folder: Folder) -> None:
    split = Split(images="train,train", annotations="train.json,val.json")
    with pytest.raises(DataError, match="the data has 4 problems") as caught:
        build_dataset(folder.data(train=split), "train")
    assert "val.json: the image" in str(caught.value)
    assert "train/1.jpg is of" in str(caught.value)
