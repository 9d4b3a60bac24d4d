"""Data that can be read, but are hardly meant."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from data.conftest import Folder

from cvzoo.data.check import check
from cvzoo.data.config import Data, Split

Content = dict[str, Any]


def checked(folder: Folder, **splits: Split) -> tuple[list[str], list[str]]:
    """Errors and warnings."""
    own = {name: Split(images=name, annotations=f"{name}.json") for name in ("train", "val")}
    report = check(Data(root=folder.root, workers=0, **(own | splits)))  # type: ignore[arg-type]
    return [str(problem) for problem in report.errors], [str(problem) for problem in report.warnings]


def changed(folder: Folder, change: Callable[[Content], None], *names: str) -> None:
    for name in names:
        path = next(folder.root.glob(f"{name}*.json"))
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))


def corners(content: Content) -> None:
    for annotation in content["annotations"]:
        x, y, w, h = annotation["bbox"]
        annotation["bbox"] = [x + 10, y, x + w + 20, y + h + 10]


def shares(content: Content) -> None:
    for annotation in content["annotations"]:
        annotation["bbox"] = [0.1, 0.2, 0.3, 0.4]


def crowds(content: Content) -> None:
    content["annotations"] = [
        {**a, "id": 10 * a["id"] + k, "iscrowd": k} for a in content["annotations"] for k in (0, 1)
    ]


def one_name(content: Content) -> None:
    for category in content["categories"]:
        category["name"] = "cat"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (corners, "boxes reach out of their image, as two corners x1, y1, x2, y2 would"),
        (shares, "all 8 boxes lie within 0..1, as shares of the image would"),
        (crowds, "8 of 16 objects are crowds"),
        (one_name, "several categories are called cat"),
    ],
)
def test_what_all_annotations_show_together(folder: Folder, change: Callable[[Content], None], message: str) -> None:
    assert not any("boxes" in warning for warning in checked(folder)[1])
    changed(folder, change, "train", "val")
    errors, warnings = checked(folder)
    assert not errors
    assert sum(message in warning for warning in warnings) == 2  # of each split


def test_few_objects_that_are_all_crowds(folder: Folder) -> None:
    """As training has it, which refuses the first; of the second every AP is -1."""

    def all_crowds(content: Content) -> None:
        for annotation in content["annotations"]:
            annotation["iscrowd"] = 1

    changed(folder, all_crowds, "train", "val")
    (error,), warnings = checked(folder)
    assert "train.json: no image has an object to learn (crowds do not count); annotate some" in error
    assert any("val.json: no image has an object to find" in warning for warning in warnings)
    changed(folder, lambda content: content["annotations"][0].update(iscrowd=0), "train", "val")
    errors, warnings = checked(folder)
    assert not errors
    assert not any("no image" in warning for warning in warnings)


@pytest.mark.parametrize(("y_first", "told"), [(False, 0), (True, 2)])
def test_outlines_with_y_before_x(folder: Folder, y_first: bool, told: int) -> None:
    def outline(content: Content) -> None:
        for annotation in content["annotations"]:
            annotation["bbox"] = x, y, w, h = [2, 20, 10, 8]
            points = [(x, y), (x + w, y), (x + w, y + h), (x, y + h)]
            annotation["segmentation"] = [[v for point in points for v in (point[::-1] if y_first else point)]]

    changed(folder, outline, "train", "val")
    splits = {name: Split(images=name, annotations=f"{name}.json") for name in ("train", "val")}
    report = check(Data(root=folder.root, workers=0, masks=True, **splits))  # type: ignore[arg-type]
    assert not report.errors
    assert sum("of 8 outlines lie for the most part outside" in str(problem) for problem in report.warnings) == told


def test_an_image_that_is_there_twice(folder: Folder) -> None:
    def twice(content: Content) -> None:
        first, second = content["images"][:2]
        second |= {name: first[name] for name in ("file_name", "width", "height")}

    assert not any("the file of another" in warning for warning in checked(folder)[1])
    changed(folder, twice, "val")
    (warning,) = (warning for warning in checked(folder)[1] if "the file of another" in warning)
    assert "val.json: 1 images have the file of another" in warning


def test_a_validation_that_is_the_training(folder: Folder) -> None:
    assert "the validation split is the training split" in checked(folder)[1][-1]  # as the fixture has it
    changed(folder, lambda content: content["annotations"].pop(), "val")
    assert not any("validation" in warning for warning in checked(folder)[1])


def test_other_categories_are_named(folder: Folder) -> None:
    changed(folder, lambda content: content["categories"].append({"id": 9, "name": "cow"}), "val")
    (error,) = checked(folder)[0]
    assert "its categories are not those of the training split (here / there: cow / -)" in error


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("iscrowd", None, "0 or 1"),
        ("iscrowd", "0", "0 or 1"),
        ("iscrowd", 2, "0 or 1"),
        ("area", "large", "a number of pixels"),
        ("area", -1, "a number of pixels"),
        ("area", None, "a number of pixels"),
        ("image_id", 2**63, "a whole number of at most 64 bits"),
        ("category_id", True, "a whole number of at most 64 bits"),
        ("bbox", [1, 2, 3, 10**400], "four numbers"),
        ("bbox", [1, 2, 3, True], "four numbers"),
    ],
)
def test_values_that_no_evaluation_could_read(folder: Folder, key: str, value: Any, expected: str) -> None:
    changed(folder, lambda content: content["annotations"][3].update({key: value}), "val")
    (error,) = checked(folder)[0]
    assert f"annotations[3] has {key} = " in error
    assert f"not {expected}" in error
    assert "val" in error
