"""What a folder is taken for where that is not plain; what is wrong with files of any format, in their own words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data.formats.folders import CLASSES, Drawing, drawings, write_voc
from data.formats.test_every_format import (
    coco,
    csv_of_retinanet,
    csv_of_tensorflow,
    jpg,
    label_studio,
    labelme,
    plain,
    roboflow,
    write_images,
    write_json,
    yolo,
    yolo_poses,
)
from PIL import Image

import cvzoo
from cvzoo.cli import main
from cvzoo.data.build import build_dataset, build_datasets
from cvzoo.data.check import check
from cvzoo.data.config import Data, Split
from cvzoo.data.formats.recognise import recognise
from cvzoo.data.problems import DataError
from cvzoo.recipes.folder import recognised


def data_in(root: Path, **changed: Any) -> Data:
    return recognised(Data(root=root, keep_empty=True, **changed), None)[0]


def errors_in(root: Path, **changed: Any) -> list[str]:
    return [str(problem) for problem in check(data_in(root, **changed)).errors]


def label_maps(root: Path, part: str, wanted: Sequence[Drawing]) -> None:
    write_images(root / part / "images", wanted)
    (root / part / "masks").mkdir(parents=True, exist_ok=True)
    for drawing in wanted:
        Image.fromarray(np.ones(drawing.size, np.uint8)).save(root / part / "masks" / f"{drawing.name}.png")


def test_two_formats_are_told_and_one_can_be_named(tmp_path: Path) -> None:
    plain(tmp_path, "train", drawings(3))
    plain(tmp_path, "val", drawings(2))
    write_voc(tmp_path, drawings(4))
    with pytest.raises(DataError, match=r"could be COCO \(.*\) and Pascal VOC \(.*\); name one with --data.source"):
        recognise(tmp_path)
    assert recognise(tmp_path, "coco").source == "coco"
    assert recognise(tmp_path, "voc").source == "voc"


def test_several_files_of_one_part_are_told(tmp_path: Path) -> None:
    for year in ("2014", "2017"):
        write_images(tmp_path / f"train{year}", drawings(2))
        write_json(tmp_path / f"annotations/instances_train{year}.json", coco(drawings(2), jpg))
    with pytest.raises(DataError, match=r"several COCO-format files for train: .*train2014.json, .*train2017.json"):
        recognise(tmp_path)


def test_one_json_is_split_by_lists(tmp_path: Path) -> None:
    write_images(tmp_path / "images/default", drawings(10))
    write_json(tmp_path / "annotations/instances_default.json", coco(drawings(10), jpg))
    data = data_in(tmp_path)
    assert (data.source, data.train.lists) == ("coco_export", ("splits/train.txt",))
    train, val = build_datasets(data)
    assert (len(train), len(val)) == (8, 2)
    assert not set(train.image_ids) & set(val.image_ids)  # the file's own ids


def test_only_folders_that_can_be_written_hold_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labelme(tmp_path / "data", "", drawings(5))
    (tmp_path / "data/splits").write_text("in the way")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    data = data_in(tmp_path / "data")
    assert data.train.lists == (str(tmp_path / "work/splits/data/train.txt"),)
    assert [len(dataset) for dataset in build_datasets(data)] == [4, 1]


def test_label_maps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    label_maps(tmp_path, "", drawings(5))
    (tmp_path / "classes.txt").write_text("ground\nsky\n")
    train, val = build_datasets(data_in(tmp_path))
    assert (train.classes, len(train), len(val)) == (["ground", "sky"], 4, 1)
    assert main(["train", "retinanet_r18_fpn_shapes", "--data.root", str(tmp_path), "--device", "cpu"]) == 2
    said = capsys.readouterr().err
    assert "is taken for label maps" in said
    assert "choose a row of semantic segmentation" in said


def test_masks_are_asked_of_boxes_once(tmp_path: Path) -> None:
    labelme(tmp_path, "train", drawings(4))
    labelme(tmp_path, "val", drawings(2))
    errors = errors_in(tmp_path, masks=True)
    assert len(errors) == 2  # one for each part
    assert f"{tmp_path}/train: none of its " in errors[0]
    assert "train a row that finds boxes alone (`cvzoo list --task detection`)" in errors[0]


def test_problems_of_yolo_name_file_and_line(tmp_path: Path) -> None:
    wrong = {
        "9 .5 .5 .1 .1": "line 1 has the class 9, but there are 3",
        "0 .5 .5 .1 .1 .9": "six numbers, the last perhaps the score",
        "0 .5 .5 .1": "line 1 has 3 numbers after the class",
        "0 40 50 10 10": "line 1 has numbers outside of 0..1",
        "cat .5 .5 .1 .1": "line 1 holds 'cat .5 .5 .1 .1', which are no numbers",
    }
    yolo(tmp_path, "train", drawings(len(wrong)))
    yolo(tmp_path, "val", drawings(2))
    for line, drawing in zip(wrong, drawings(len(wrong))):
        (tmp_path / f"labels/train/{drawing.name}.txt").write_text(line)
    errors = errors_in(tmp_path)
    assert len(errors) == len(wrong)
    for error, drawing, reason in zip(errors, drawings(len(wrong)), wrong.values()):
        assert f"labels/train/{drawing.name}.txt: " in error
        assert reason in error


def test_key_points_are_left_out_with_a_word(tmp_path: Path) -> None:
    of_coco, of_yolo = tmp_path / "coco", tmp_path / "yolo"
    for part, wanted in (("train", drawings(3)), ("val", drawings(5)[3:])):
        plain(of_coco, part, wanted)
        file = of_coco / f"annotations/instances_{part}2017.json"
        content = json.loads(file.read_text())
        content["categories"][0]["keypoints"] = ["nose"]
        write_json(file, content)
        yolo_poses(of_yolo, part, wanted)
    for root, reason in ((of_coco, "holds key points, too"), (of_yolo, r"3 key points of each object (kpt_shape)")):
        found = check(data_in(root))
        assert not found.errors
        assert [reason in str(warning) for warning in found.warnings] == [True, True]
    (next((of_yolo / "labels/train").iterdir())).write_text("0 .5 .5 .1 .1 .1 .2 2\n")
    assert "line 1 has 7 numbers" in errors_in(of_yolo)[0]


def test_yolo_images_without_text_show_nothing(tmp_path: Path) -> None:
    yolo(tmp_path, "train", drawings(3))
    yolo(tmp_path, "val", drawings(2))
    (tmp_path / f"labels/train/{drawings(3)[1].name}.txt").unlink()
    dataset = build_dataset(data_in(tmp_path), "train")
    assert [len(dataset.labels(index)) == 0 for index in range(3)] == [False, True, False]


def test_problems_of_labelme_name_file_and_shape(tmp_path: Path) -> None:
    labelme(tmp_path, "train", drawings(2))
    labelme(tmp_path, "val", drawings(2))
    first, second = (tmp_path / f"train/{drawing.name}.json" for drawing in drawings(2))
    shapes = [
        {"label": "cat", "points": [[3, 3], [9, 9]], "shape_type": "circle"},
        {"label": "cat", "points": [[3, 3]], "shape_type": "rectangle"},
        {"label": "", "points": [[3, 3], [9, 9]], "shape_type": "rectangle"},
    ]
    write_json(first, {"shapes": shapes, "imagePath": ""})
    second.write_text("{")
    report = check(data_in(tmp_path))
    said = "\n".join(map(str, report.errors))
    assert f"{first}: shape 2 (cat) has no points of a rectangle" in said
    assert f"{first}: shape 3 has no label" in said
    assert f"{second}: is not valid JSON" in said
    assert [f"{first}: shape 1 (cat) is a circle" in str(problem) for problem in report.warnings] == [True]


def test_pieces_of_one_group_are_one_object(tmp_path: Path) -> None:
    labelme(tmp_path, "train", drawings(2))
    labelme(tmp_path, "val", drawings(2))
    triangles = [[[0, 0], [8, 0], [0, 8]], [[20, 20], [28, 20], [20, 28]]]
    shapes = [{"label": "cat", "points": points, "shape_type": "polygon", "group_id": 1} for points in triangles]
    write_json(tmp_path / f"train/{drawings(2)[0].name}.json", {"shapes": shapes, "imagePath": ""})
    target = build_dataset(data_in(tmp_path), "train")[0].target
    assert target.boxes.tolist() == [[0, 0, 28, 28]]


def test_problems_of_tables_name_the_line(tmp_path: Path) -> None:
    csv_of_retinanet(tmp_path, "train", drawings(2))
    csv_of_retinanet(tmp_path, "val", drawings(2))
    table = tmp_path / "train/annotations.csv"
    count = len(table.read_text().splitlines())
    table.write_text(
        table.read_text() + "\ngone.jpg,1,2,3,4,cat\nimage 1.v1.jpg,1,x,3,4,cat\nimage 1.v1.jpg,9,9,3,4,cat\n"
    )
    errors = errors_in(tmp_path)
    assert [error.partition(": ")[0] for error in errors] == [str(table)] * 3
    said = "\n".join(errors)
    assert f"line {count + 1} names gone.jpg, of which there is no image" in said
    assert f"line {count + 2} (cat) has the corners 1, x, 3, 4, which are no numbers" in said
    assert f"line {count + 3} (cat) ends before it begins" in said


def test_an_export_keeps_its_ids_and_its_file(tmp_path: Path) -> None:
    content = coco(drawings(3), lambda drawing: f"images\\{drawing.name}.jpg")
    content["annotations"][1]["bbox"] = [500, 500, 5, 5]
    write_images(tmp_path / "images", drawings(3))
    write_json(tmp_path / "result.json", content)
    write_json(tmp_path / "splits/none.json", [])
    (tmp_path / "splits/train.txt").write_text("".join(f"{drawing.name}\n" for drawing in drawings(3)[:2]))
    (tmp_path / "splits/val.txt").write_text(drawings(3)[2].name)
    (error,) = errors_in(tmp_path)
    assert error.startswith(f"{tmp_path}/result.json: image 1: annotation 2: the box [500, 500, 5, 5] lies outside")


@pytest.mark.parametrize("row", ["retinanet_r18_fpn_shapes", "fcos_lite0_fpn_320_bccd"])
def test_a_run_keeps_what_was_recognised(tmp_path: Path, row: str, capsys: pytest.CaptureFixture[str]) -> None:
    yolo(tmp_path, "train", drawings(3))
    yolo(tmp_path, "val", drawings(2))
    assert main(["show", row, "--data.root", str(tmp_path)]) == 0
    recipe, _ = json.JSONDecoder().raw_decode(capsys.readouterr().out)
    assert recipe["data"]["source"] == "yolo"
    assert recipe["data"]["train"] == {"images": "images/train", "annotations": "labels/train", "lists": []}
    assert cvzoo.recipe(row).data.source != "yolo"


def test_classes_of_yolo_keep_their_numbers(tmp_path: Path) -> None:
    yolo(tmp_path, "train", drawings(3))
    yolo(tmp_path, "val", drawings(2))
    train, _ = build_datasets(data_in(tmp_path))
    assert (train.classes, train.category_ids) == (list(CLASSES), [0, 1, 2])


@pytest.mark.parametrize("kind", ["labelme", "csv"])
def test_annotations_of_another_size_are_told(kind: str, tmp_path: Path) -> None:
    """An image that was scaled since: its boxes would lie elsewhere."""
    for part in ("train", "val"):
        (labelme if kind == "labelme" else csv_of_tensorflow)(tmp_path, part, drawings(2))
    drawing = drawings(2)[0]
    height, width = drawing.size
    if kind == "labelme":
        file = tmp_path / f"train/{drawing.name}.json"
        write_json(file, json.loads(file.read_text()) | {"imageHeight": height, "imageWidth": width})
        assert not errors_in(tmp_path)
    (folder,) = {path.parent for path in tmp_path.rglob(f"{drawing.name}.jpg") if path.parent.name != "val"}
    Image.new("RGB", (2 * width, 2 * height)).save(folder / f"{drawing.name}.jpg")
    errors = errors_in(tmp_path)
    assert f"of {width} x {height} pixels, which has {2 * width} x {2 * height} once upright" in errors[0]


def test_maps_in_colours_are_told(tmp_path: Path) -> None:
    write_images(tmp_path / "images", drawings(2))
    write_images(tmp_path / "masks", drawings(2))
    for file in list((tmp_path / "masks").iterdir()):
        Image.open(file).save(file.with_suffix(".png"))
        file.unlink()
    with pytest.raises(DataError, match=r"masks/image 0.v1.png: is no label map: its pixels are colours"):
        recognise(tmp_path)


def test_files_of_one_part_must_number_classes_alike(tmp_path: Path) -> None:
    roboflow(tmp_path, "train", drawings(2))
    roboflow(tmp_path, "val", drawings(2))
    own = data_in(tmp_path)
    other = json.loads((tmp_path / "train/_annotations.coco.json").read_text())
    other["categories"][1]["name"] = "fish"
    write_json(tmp_path / "train/more.json", other)
    both = Split(images="train,train", annotations="train/_annotations.coco.json,train/more.json")
    assert "more.json: calls category 1 fish, which the files before it call cat" in str(
        check(replace(own, train=both)).errors[0]
    )


def test_numbers_of_an_export_may_differ_from_split_to_split(tmp_path: Path) -> None:
    """A class is its name: number 1 is cat here, and dog there, which has no third class."""
    roboflow(tmp_path, "train", drawings(3))
    roboflow(tmp_path, "val", drawings(3))
    file = tmp_path / "valid/_annotations.coco.json"
    content = json.loads(file.read_text())
    numbers = {1: 5, 2: 1, 3: 2}
    for record in content["categories"]:
        record["id"] = numbers.get(record["id"], record["id"])
    for record in content["annotations"]:
        record["category_id"] = numbers[record["category_id"]]
    write_json(file, content)
    train, val = build_datasets(data_in(tmp_path))
    assert train.classes == val.classes
    assert [train.labels(index).tolist() for index in range(3)] == [val.labels(index).tolist() for index in range(3)]


def test_unknown_classes_are_told_of_the_users_own_files(tmp_path: Path) -> None:
    labelme(tmp_path, "train", drawings(2))
    labelme(tmp_path, "val", drawings(2))
    with pytest.raises(DataError, match="the data has 2 problems") as told:
        build_datasets(data_in(tmp_path, classes=("cat", "horse")))
    assert [problem.file for problem in told.value.problems] == [tmp_path / "train", tmp_path / "val"]


@pytest.mark.parametrize(
    "write", [labelme, csv_of_retinanet, label_studio, label_maps], ids=lambda write: write.__name__
)
def test_images_that_came_after_the_split_are_told(write: Any, tmp_path: Path) -> None:
    write(tmp_path, "", drawings(5))
    for _ in range(2):
        assert "none of the lists" not in str(recognise(tmp_path))
    write(tmp_path, "", [*drawings(5), replace(drawings(1)[0], name="later")])
    assert recognise(tmp_path).notes[-1].startswith("1 annotated image is in none of the lists (")
    assert "later.jpg)" in str(recognise(tmp_path))


@pytest.mark.parametrize(
    ("part", "changed"),
    [("categories", {"id": [1]}), ("categories", {"name": None}), ("annotations", {"id": 1, "category_id": [1]})],
)
def test_unsound_records_of_an_export_are_told(part: str, changed: dict[str, Any], tmp_path: Path) -> None:
    roboflow(tmp_path, "train", drawings(2))
    roboflow(tmp_path, "val", drawings(2))
    data, file = data_in(tmp_path), tmp_path / "train/_annotations.coco.json"
    content = json.loads(file.read_text())
    content[part][1] |= changed
    write_json(file, content)
    assert str(file) in str(check(data).errors[0])
