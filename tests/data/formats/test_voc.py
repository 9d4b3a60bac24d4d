"""Pascal VOC: recognised in its layouts, read to the pixel, with its own words where something is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from data.formats.folders import BCCD, CLASSES, drawings, voc_xml, write_image, write_list, write_voc

import cvzoo
from cvzoo.data.build import build_dataset, build_datasets
from cvzoo.data.check import check
from cvzoo.data.config import Data
from cvzoo.data.formats.recognise import recognise
from cvzoo.data.problems import DataError
from cvzoo.recipes.folder import recognised


def data_in(root: Path) -> Data:
    return recognised(Data(root=root, keep_empty=True), None)[0]


def write_devkit(root: Path) -> None:
    five = drawings(5)
    write_voc(root, five)
    for part, names in {"train": five[:3], "val": five[3:4], "test": five[4:]}.items():
        write_list(root / f"ImageSets/Main/{part}.txt", [drawing.name for drawing in names])


def test_devkit_is_read_to_the_pixel(tmp_path: Path) -> None:
    write_devkit(tmp_path)
    found = recognise(tmp_path)
    assert found.source == "voc"
    assert (found.train.lists, found.val.lists) == (("ImageSets/Main/train.txt",), ("ImageSets/Main/val.txt",))
    assert "--data.val.lists ImageSets/Main/test.txt" in str(found)
    train, val = build_datasets(data_in(tmp_path))
    assert train.classes == val.classes == sorted(CLASSES)  # though the one image of val need not have them all
    assert (len(train), len(val)) == (3, 1)
    for index, drawing in enumerate(drawings(5)[:3]):
        target = train[index].target
        assert [train.classes[label] for label in target.labels] == list(drawing.labels)
        assert target.boxes.tolist() == [list(box) for box in drawing.boxes]
        assert train[index].original_size == drawing.size


@pytest.mark.parametrize(("images", "annotations"), [("{}", "{}"), ("images/{}", "xml/{}"), ("{}/img", "{}/labels")])
def test_parts_by_folders(tmp_path: Path, images: str, annotations: str) -> None:
    root = tmp_path / "download"  # data sets come in a folder of their own
    write_voc(root, drawings(5)[:3], images.format("train"), annotations.format("train"))
    write_voc(root, drawings(5)[3:], images.format("valid"), annotations.format("valid"))
    train, val = build_datasets(data_in(tmp_path))
    assert (len(train), len(val)) == (3, 2)


def test_a_flat_folder_is_split_once_and_for_all(tmp_path: Path) -> None:
    write_voc(tmp_path, drawings(10), ".", ".")
    said = str(recognise(tmp_path))
    assert f"{tmp_path}/splits holds lists that split it into 8 and 2 images" in said
    train, val = build_datasets(data_in(tmp_path))
    names = [{dataset.path(i).name for i in range(len(dataset))} for dataset in (train, val)]  # type: ignore[attr-defined]
    assert (len(names[0]), len(names[1]), names[0] & names[1]) == (8, 2, set())
    write_list(tmp_path / "splits/val.txt", ["image 0.v1.jpg"])  # the user's to edit
    assert len(build_dataset(data_in(tmp_path), "val")) == 1


def test_the_split_of_the_same_names_is_the_same_elsewhere(tmp_path: Path) -> None:
    for place in ("a", "b"):
        write_voc(tmp_path / place, drawings(10), ".", ".")
        recognise(tmp_path / place)
    assert (tmp_path / "a/splits/val.txt").read_text() == (tmp_path / "b/splits/val.txt").read_text()


def test_a_test_part_is_no_validation(tmp_path: Path) -> None:
    write_voc(tmp_path, drawings(6), "train", "train")
    write_voc(tmp_path, drawings(3, seed=1), "test", "test")
    found = recognise(tmp_path)
    assert found.train.annotations == found.val.annotations == "train"
    assert "no training sees the test part" in str(found)
    assert sum(len(build_dataset(data_in(tmp_path), part)) for part in ("train", "val")) == 6


def test_difficult_objects_are_neither_learnt_nor_asked_for(tmp_path: Path) -> None:
    write_devkit(tmp_path)
    first = drawings(5)[0]
    (tmp_path / f"Annotations/{first.name}.xml").write_text(voc_xml(first, difficult=1))
    dataset = build_dataset(data_in(tmp_path), "train")
    assert len(dataset.labels(0)) == 0
    crowds = [one["iscrowd"] for one in dataset.ground_truth["annotations"]]  # type: ignore[attr-defined]
    assert sum(crowds) == len(first.labels)


def test_problems_name_the_xml(tmp_path: Path) -> None:
    write_devkit(tmp_path)
    names = [drawing.name for drawing in drawings(5)]
    box = "<bndbox><xmin>{}</xmin><ymin>5</ymin><xmax>{}</xmax><ymax>9</ymax></bndbox>"
    objects = {0: (9, 4), 1: (7, 7), 2: (500, 600)}
    for number, corners in objects.items():
        text = voc_xml(drawings(5)[number]).replace(
            "</annotation>", f"<object><name>dog</name>{box.format(*corners)}</object></annotation>"
        )
        (tmp_path / f"Annotations/{names[number]}.xml").write_text(text)
    (tmp_path / f"Annotations/{names[3]}.xml").write_text("<annotation>")
    write_image(tmp_path / "JPEGImages/bare.jpg", (8, 8))
    write_list(tmp_path / "ImageSets/Main/train.txt", [*names[:3], "bare", "gone"])
    report = check(data_in(tmp_path))
    said = "\n".join(map(str, report.errors))
    assert f"{names[0]}.xml: object 4 (dog) ends before it begins: its corners are 8, 4, 4, 9" in said
    assert f"{names[2]}.xml: object" in said
    assert "lies outside its image" in said
    assert f"{names[3]}.xml: is not valid XML" in said
    assert "ImageSets/Main/train.txt: line 5 names gone, of which there is no image" in said
    assert len(report.errors) == 4
    (skipped, bare) = sorted(map(str, report.warnings), key=lambda line: "bare" in line)
    assert "has no area: its corners are 7, 5, 7, 9; it is skipped" in skipped
    assert "bare.jpg" in bare


def test_what_changes_is_read_again_and_warnings_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_devkit(tmp_path)
    monkeypatch.setattr("cvzoo.data.formats.converted.is_settled", lambda state: True)
    first = drawings(5)[0]
    file = tmp_path / f"Annotations/{first.name}.xml"
    file.write_text(voc_xml(first).replace(f"<xmax>{first.boxes[0][2]}<", f"<xmax>{first.boxes[0][0] + 1}<"))
    warned = [str(problem) for problem in check(data_in(tmp_path)).warnings]
    assert len(warned) == 1
    assert [str(problem) for problem in check(data_in(tmp_path)).warnings] == warned
    file.write_text(voc_xml(first) + " ")
    assert check(data_in(tmp_path)).warnings == []


def test_unknown_folders_say_what_was_looked_for(tmp_path: Path) -> None:
    for name in (*(f"{number}.jpg" for number in range(9)), "notes.txt"):  # images tell least, and come last
        (tmp_path / name).write_text("")
    with pytest.raises(DataError, match=r"searched for COCO, .*Pascal VOC.*, but it holds notes.txt, 0.jpg"):
        recognise(tmp_path)


def test_a_row_takes_what_is_in_the_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_devkit(tmp_path)
    caplog.set_level("INFO", "cvzoo")
    here = {"data.root": str(tmp_path)}
    for row in ("retinanet_r50_fpn_1x", "retinanet_r18_fpn_shapes"):
        data = cvzoo.recipe(row, here).data
        assert (data.source, data.val.lists) == ("voc", ("ImageSets/Main/val.txt",))
        assert "is taken for Pascal VOC" in caplog.messages.pop()
        caplog.clear()
    literal = cvzoo.recipe("retinanet_r50_fpn_1x", here | {"data.val.images": "val2017"})
    assert (literal.data.source, literal.data.train.images) == ("coco", "train2017")
    own = cvzoo.recipe("fcos_lite0_fpn_320_bccd", here)
    assert own.data.train == cvzoo.recipe("fcos_lite0_fpn_320_bccd").data.train
    assert not caplog.messages


@pytest.mark.skipif(not BCCD.exists(), reason="no bccd")
def test_real_cells() -> None:
    data = cvzoo.recipe("fcos_lite0_fpn_320_bccd").data
    counts = {}
    for name in ("train", "val", "test"):
        split = replace(data.val, lists=(f"ImageSets/Main/{name}.txt",))
        dataset = build_dataset(replace(data, root=BCCD, val=split), "val")
        labels = [dataset.classes[label] for i in range(len(dataset)) for label in dataset.labels(i)]
        counts[name] = (len(dataset), {label: labels.count(label) for label in sorted(set(labels))})
    assert {name: count for name, (count, _) in counts.items()} == {"train": 205, "val": 87, "test": 72}
    totals = {label: sum(found[label] for _, found in counts.values()) for label in ("Platelets", "RBC", "WBC")}
    assert totals == {"Platelets": 361, "RBC": 4153, "WBC": 372}  # two of 4155 have no area
