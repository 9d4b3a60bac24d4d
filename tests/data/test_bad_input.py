"""Each bad input gives file, ids, reason and remedy; all problems at once; before any training."""

from __future__ import annotations

import json
import logging
import pickle
import shutil
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from cvzoo.data.build import build_dataset, build_datasets
from cvzoo.data.check import check
from cvzoo.data.loader import training_batches
from cvzoo.data.problems import PRINTED, DataError, Problem

Content = dict[str, Any]


def annotation(**changes: Any) -> Callable[[Content], None]:
    """Change the second annotation (id 11, image 1)."""
    return lambda content: content["annotations"][1].update(changes)


def without(part: str, key: str) -> Callable[[Content], None]:
    return lambda content: content[part][1].pop(key)


def same_id(part: str) -> Callable[[Content], None]:
    return lambda content: content[part][1].update(id=content[part][0]["id"])


RECORDS: dict[str, tuple[Callable[[Content], Any], str]] = {
    "negative": (annotation(bbox=[1, 2, -3, 4]), "image 1: annotation 11: the box .* has a negative size"),
    "outside": (annotation(bbox=[41, 2, 3, 4]), "image 1: annotation 11: .* outside its image of 40 x 30 pixels"),
    "left of": (annotation(bbox=[-9, 2, 3, 4]), "image 1: annotation 11: .* outside"),
    "nan": (annotation(bbox=[1, float("nan"), 3, 4]), "image 1: annotation 11: .* not finite"),
    "infinite": (annotation(bbox=[1, 2, float("inf"), 4]), "image 1: annotation 11: .* not finite"),
    "three numbers": (annotation(bbox=[1, 2, 3]), "image 1: annotation 11: .* not four numbers"),
    "text box": (annotation(bbox="1 2 3 4"), "image 1: annotation 11: .* not four numbers"),
    "no box": (without("annotations", "bbox"), r"annotations\[1\] has no 'bbox'"),
    "no image id": (without("annotations", "image_id"), r"annotation 11: annotations\[1\] has no 'image_id'"),
    "unknown image": (annotation(image_id=99), "image 99: annotation 11: the image id 99 is unknown"),
    "unknown category": (annotation(category_id=4), "annotation 11: the category id 4 is unknown; .* 3..7"),
    "text category": (annotation(category_id="cat"), "category_id = 'cat', not a whole number"),
    "duplicate annotation": (same_id("annotations"), "annotation 10: .* repeats the id 10"),
    "duplicate image": (same_id("images"), r"image 1: images\[1\] repeats the id 1"),
    "duplicate category": (same_id("categories"), r"categories\[1\] repeats the id 7"),
    "no name": (without("categories", "name"), r"categories\[1\] has no 'name'"),
    "no height": (without("images", "height"), r"image 2: images\[1\] has no 'height'"),
    "flat image": (lambda c: c["images"][1].update(width=0), "image 2: .* width = 0, not a positive"),
    "number for a record": (lambda c: c["annotations"].append(3), r"annotations\[8\] is a int, not an object"),
    "missing image": (
        lambda c: c["images"][1].update(file_name="x/9.jpg"),
        r"9\.jpg: image 2: the image is missing",
    ),
    "no box at all": (lambda c: c.update(annotations=[]), "there is not a single box in it"),
}


@pytest.mark.parametrize("name", RECORDS)
def test_bad_records(folder: Any, name: str) -> None:
    change, message = RECORDS[name]
    content = folder.content()
    change(content)
    folder.write(content)
    for split in ("train", "val"):
        folder.write(content, split)
        with pytest.raises(DataError, match=message) as caught:
            build_dataset(folder.data(), split)
        for problem in caught.value.problems:
            assert problem.file.is_absolute()
            assert problem.reason
            assert problem.remedy


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not valid JSON"),
        ("{", "is not valid JSON"),
        ("\x00\x01", "is not valid JSON"),
        ("[]", "a list of 0 entries"),
        ('[{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 0.5}]', "COCO results"),
        ("3", "a single int"),
        ("{}", "without 'images', 'annotations', 'categories'"),
        ('{"images": [], "categories": []}', "image_info"),
        ('{"shapes": [], "imagePath": "a.jpg"}', "LabelMe"),
        ('{"type": "FeatureCollection", "features": []}', "GeoJSON"),
        ('{"images": {}, "annotations": [], "categories": []}', "'images' must be lists"),
        ('{"images": [], "annotations": [{"segments_info": []}], "categories": []}', "panoptic"),
    ],
)
def test_not_coco(folder: Any, text: str, message: str) -> None:
    (folder.root / "train.json").write_text(text)
    with pytest.raises(DataError, match=rf"train\.json: .*{message}"):
        build_dataset(folder.data(), "train")


def test_missing_root_file_and_folder(folder: Any, tmp_path: Any) -> None:
    with pytest.raises(DataError, match=r"nowhere: the folder of the data set is missing; .*--data\.root") as caught:
        build_datasets(folder.data(root=tmp_path / "nowhere"))
    assert len(caught.value.problems) == 1
    (folder.root / "train.json").unlink()
    shutil.rmtree(folder.root / "val")
    with pytest.raises(DataError) as caught:
        build_datasets(folder.data())
    assert "train.json: the annotation file is missing" in str(caught.value)
    assert "val: the folder of the images is missing" in str(caught.value)


def test_all_problems_at_once_in_both_splits(folder: Any) -> None:
    content = folder.content()
    for name in ("negative", "duplicate image", "duplicate category", "missing image"):
        RECORDS[name][0](content)
    folder.write(content)
    other = folder.content()
    other["annotations"][3]["image_id"] = 77
    folder.write(other, "val")
    with pytest.raises(DataError) as caught:
        build_datasets(folder.data())
    message = str(caught.value)
    for part in ("negative size", "images[1] repeats", "categories[1] repeats", "val.json: image 77"):
        assert part in message


def test_a_long_list_is_cut(folder: Any) -> None:
    content = folder.content()
    content["annotations"] = [
        {"id": i, "image_id": 1, "category_id": 3, "bbox": [0, 0, -1, 1]} for i in range(PRINTED + 7)
    ]
    folder.write(content)
    with pytest.raises(DataError, match=f"the data has {PRINTED + 7} problems") as caught:
        build_dataset(folder.data(), "train")
    assert str(caught.value).count("\n") == PRINTED + 1
    assert str(caught.value).endswith("... and 7 more")


def test_boxes_without_area_are_skipped_with_a_warning(folder: Any, caplog: pytest.LogCaptureFixture) -> None:
    content = folder.content()
    content["annotations"][0]["bbox"] = [3, 4, 0, 5]
    content["annotations"][1]["bbox"] = [40 - 1e-7, 4, 5, 5]
    folder.write(content)
    with caplog.at_level(logging.WARNING):
        dataset = build_dataset(folder.data(), "train")
    assert dataset.image_ids.tolist() == [2, 3, 4]
    assert "image 1: annotation 10: the box [3, 4, 0, 5] has no area; it is skipped" in caplog.text
    assert "annotation 11" in caplog.text


def test_nothing_left_to_train_on_or_to_find(folder: Any, caplog: pytest.LogCaptureFixture) -> None:
    content = folder.content()
    for record in content["annotations"]:
        record["iscrowd"] = 1
    folder.write(content)
    with pytest.raises(DataError, match=r"no image has an object to learn .*--data\.keep-empty"):
        build_dataset(folder.data(), "train")
    assert len(build_dataset(folder.data(keep_empty=True), "train")) == 4
    folder.write(content, "val")
    build_dataset(folder.data(), "val")
    assert "val.json: no image has an object to find (crowds do not count)" in caplog.text


def test_splits_disagree_on_categories(folder: Any) -> None:
    content = folder.content()
    content["categories"][0]["name"] = "horse"
    folder.write(content, "val")
    with pytest.raises(DataError, match=r"val\.json: its categories are not those of the training split"):
        build_datasets(folder.data())


def test_limit_above_what_there_is(folder: Any) -> None:
    with pytest.raises(DataError, match=r"only 4 images have 2 to 12 objects; lower --data\.limit"):
        build_datasets(folder.data(limit=5))


def damage(folder: Any) -> None:
    (folder.root / "train" / "2.jpg").write_bytes(b"")
    content = (folder.root / "train" / "3.jpg").read_bytes()
    (folder.root / "train" / "3.jpg").write_bytes(content[:300])
    Image.new("RGB", (30, 40)).save(folder.root / "train" / "4.jpg")


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("cache", [False, True])
def test_damaged_images_in_training(folder: Any, workers: int, cache: bool) -> None:
    damage(folder)
    data = folder.data(workers=workers, cache=cache)
    dataset = build_dataset(data, "train")
    with pytest.raises(DataError, match=r"train/\d\.jpg: ") as caught:
        list(training_batches(dataset, data, batch=4, seed=0, start_step=0, steps=1))
    assert "Traceback" not in str(caught.value)


def test_check_reads_everything(folder: Any) -> None:
    assert check(folder.data()).errors == []
    assert "4 images (0 without objects), 8 objects, 2 classes" in str(check(folder.data()))
    damage(folder)
    content = folder.content()
    content["annotations"][0]["bbox"] = [3, 4, 0, 5]
    content["annotations"][1]["category_id"] = 5
    folder.write(content)
    report = check(folder.data(workers=2))
    reasons = [problem.reason for problem in report.errors]
    assert len(reasons) == 4
    assert "category id 5" in reasons[0]
    assert "empty" in reasons[1]
    assert "cannot be decoded" in reasons[2]
    assert reasons[3] == "is 30 x 40 pixels once upright, its annotations are for 40 x 30"
    assert len(report.warnings) == 1
    assert "4 errors:" in str(report)


def test_check_of_missing_parts(folder: Any, tmp_path: Any) -> None:
    assert "missing" in str(check(folder.data(root=tmp_path / "nowhere")))
    shutil.rmtree(folder.root / "train")
    (folder.root / "val.json").write_text(json.dumps([]))
    assert [problem.file.name for problem in check(folder.data()).errors] == ["train", "val.json"]


def test_errors_cross_processes(tmp_path: Any) -> None:
    error = DataError([Problem(tmp_path, "a", "b", 1, 2)])
    assert str(pickle.loads(pickle.dumps(error))) == str(error) == f"{tmp_path}: image 1: annotation 2: a; b"
