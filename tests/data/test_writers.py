"""Converted data sets, read by other means than ours: pycocotools, and formats taken apart by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from data.conftest import Folder
from data.formats.folders import CLASSES, Drawing, drawings, write_voc
from data.formats.test_every_format import plain
from PIL import Image
from pycocotools.coco import COCO

from cvzoo.cli import main
from cvzoo.data.build import build_dataset, build_datasets
from cvzoo.data.config import Data, Split
from cvzoo.data.formats.recognise import recognise

WHERE = (
    "--train.images",
    "train",
    "--train.annotations",
    "train.json",
    "--val.images",
    "val",
    "--val.annotations",
    "val.json",
)


@pytest.fixture
def odd(folder: Folder) -> Folder:
    """With a crowd, an image without objects, fractions, a name with an accent, and one name in two subfolders."""
    content = folder.content()
    content["categories"][0]["name"] = "čat & <dog>"
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] != 3]
    content["annotations"][0]["bbox"] = [1.4, 2.6, 30.25, 20.5]
    content["annotations"][-1]["iscrowd"] = 1
    for number, sub in ((2, "a"), (4, "b")):
        (folder.root / "train" / sub).mkdir()
        (folder.root / "train" / f"{number}.jpg").rename(folder.root / "train" / sub / "same.jpg")
        content["images"][number - 1]["file_name"] = f"{sub}/same.jpg"
    other = folder.content() | {"categories": content["categories"]}
    for annotation in [*content["annotations"], *other["annotations"]]:
        x, y, w, h = annotation["bbox"]
        annotation["segmentation"] = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    folder.write(content)
    folder.write(other, "val")
    return folder


def converted(folder: Folder, to: str, *options: str) -> Path:
    out = folder.root.parent / f"as_{to}"
    assert main(["data", "convert", str(folder.root), str(out), "--to", to, *WHERE, *options]) == 0
    return out


def truth(folder: Folder) -> dict[str, dict[str, list[Any]]]:
    """By split, and file name as it is written: label, then box as xyxy."""
    train, val = build_datasets(folder.data(keep_empty=True))
    names = {"train": ["1.jpg", "same.jpg", "3.jpg", "same_2.jpg"], "val": ["1_2.jpg", "2.jpg", "3_2.jpg", "4.jpg"]}
    found = {}
    for split, dataset in (("train", train), ("val", val)):
        targets = [dataset[i].target for i in range(4)]
        boxes = [list(zip(t.labels.tolist(), t.boxes.tolist())) for t in targets]
        found[split] = dict(zip(names[split], boxes))
    return found


def same(found: list[Any], wanted: list[Any], within: float) -> None:
    assert [label for label, _ in found] == [label for label, _ in wanted]
    for (_, box), (_, other) in zip(found, wanted):
        np.testing.assert_allclose(box, other, atol=within)


def test_coco(odd: Folder) -> None:
    out = converted(odd, "coco", "--masks")
    for split, images in truth(odd).items():
        reference = COCO(str(out / f"annotations/instances_{split}.json"))
        assert {image["file_name"] for image in reference.imgs.values()} == set(images)
        assert [c["name"] for c in reference.loadCats([3, 7])] == ["dog", "čat & <dog>"]
        for number, image in reference.imgs.items():
            assert Image.open(out / split / image["file_name"]).size == (image["width"], image["height"])
            annotations = reference.loadAnns(reference.getAnnIds([number], iscrowd=False))
            boxes = [((3, 7).index(a["category_id"]), np.add(a["bbox"], [0, 0, *a["bbox"][:2]])) for a in annotations]
            same(boxes, images[image["file_name"]], 1e-4)
            assert all(reference.annToMask(a).any() for a in annotations)
    content = json.loads((out / "annotations/instances_train.json").read_text())
    assert sum(a["iscrowd"] for a in content["annotations"]) == 1
    mini = Split(images="train", annotations="annotations/instances_train.json")
    again, _ = build_datasets(Data(root=out, train=mini, val=mini, masks=True))
    assert len(again) == 3


@pytest.mark.parametrize("masks", [False, True])
def test_yolo(odd: Folder, masks: bool, capsys: pytest.CaptureFixture[str]) -> None:
    out = converted(odd, "yolo", *(["--masks"] if masks else []))
    assert "left out: 1 crowd" in capsys.readouterr().out
    settings = yaml.safe_load((out / "data.yaml").read_text())
    assert settings == {"train": "images/train", "val": "images/val", "names": {0: "dog", 1: "čat & <dog>"}}
    for split, images in truth(odd).items():
        assert {path.name for path in (out / settings[split]).iterdir()} == set(images)
        for name, wanted in images.items():
            label_file = Path(str(out / settings[split] / name).replace("/images/", "/labels/")).with_suffix(".txt")
            found = []
            for label, *numbers in map(str.split, label_file.read_text().splitlines()):
                values = np.array(numbers, float).reshape(-1, 2)
                assert (values >= 0).all()
                assert (values <= 1).all()
                assert len(values) == (4 if masks else 2)
                values *= (40, 30)
                corners = (
                    (values.min(0), values.max(0)) if masks else (values[0] - values[1] / 2, values[0] + values[1] / 2)
                )
                found.append((int(label), np.concatenate(corners)))
            same(found, wanted, 1e-3)


def test_voc(odd: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    out = converted(odd, "voc")
    assert "1 crowds are marked as difficult" in capsys.readouterr().out
    for split, images in truth(odd).items():
        stems = (out / f"ImageSets/Main/{split}.txt").read_text().split()
        assert stems == [name.removesuffix(".jpg") for name in images]
        for stem, wanted in zip(stems, images.values()):
            tree = ElementTree.parse(out / f"Annotations/{stem}.xml")
            image = Image.open(out / "JPEGImages" / str(tree.findtext("filename")))
            assert [tree.findtext(f"size/{side}") for side in ("width", "height", "depth")] == ["40", "30", "3"]
            assert image.size == (40, 30)
            found = []
            for one in tree.iter("object"):
                x1, y1, x2, y2 = (int(one.findtext(f"bndbox/{c}", "")) for c in ("xmin", "ymin", "xmax", "ymax"))
                assert 1 <= x1 <= x2 <= 40
                assert 1 <= y1 <= y2 <= 30
                label = ["dog", "čat & <dog>"].index(one.findtext("name", ""))
                if one.findtext("difficult") == "0":
                    found.append((label, (x1 - 1, y1 - 1, x2, y2)))
            same(found, wanted, 0.5)
    assert (out / "JPEGImages/1.jpg").read_bytes() == (odd.root / "train/1.jpg").read_bytes()


def test_nothing_is_overwritten(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    out = converted(folder, "voc", "--classes", "tom", "--rename", "cat=tom")
    capsys.readouterr()
    before = sorted(out.rglob("*"))
    assert "<name>tom</name>" in (out / "Annotations/1.xml").read_text()
    assert "dog" not in (out / "Annotations/1.xml").read_text()
    assert main(["data", "convert", str(folder.root), str(out), "--to", "yolo", *WHERE]) == 2
    assert f"there is something in {out} already" in capsys.readouterr().err
    assert sorted(out.rglob("*")) == before
    broken = folder.content()
    broken["annotations"][0]["bbox"] = [0, 0, -1, 4]
    folder.write(broken)
    assert main(["data", "convert", str(folder.root), str(out.with_name("new")), "--to", "yolo", *WHERE]) == 2
    assert "negative size" in capsys.readouterr().err
    assert not out.with_name("new").exists()


@pytest.mark.parametrize("to", ["coco", "yolo", "voc"])
def test_the_test_part_comes_along(tmp_path: Path, to: str) -> None:
    """With a class that no other part shows; labels mean the same in all parts."""
    only = Drawing("only", (50, 60), ("ape", "red car"), [(1, 2, 30, 40), (5, 6, 20, 20)])
    for part, own in (("train", drawings(3)), ("val", drawings(2, seed=1)), ("test", [only])):
        write_voc(tmp_path / "own", own, part, part)
    assert main(["data", "convert", str(tmp_path / "own"), str(tmp_path / "out"), "--to", to]) == 0
    found = recognise(tmp_path / "out")
    assert found.test is not None
    data = Data(source=found.source, root=tmp_path / "out", train=found.train, val=found.test)
    train, test = build_datasets(data)
    assert train.classes == ["ape", *CLASSES]
    assert [train.classes[label] for label in test[0].target.labels] == list(only.labels)
    np.testing.assert_allclose(test[0].target.boxes, only.boxes, atol=1e-3)
    val = build_dataset(Data(source=found.source, root=tmp_path / "out", train=found.train, val=found.val), "val")
    assert len(train) + len(val) == 5


def test_a_test_part_of_other_classes_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part in ("train", "val", "test"):
        plain(tmp_path / "own", part, drawings(2))
    file = tmp_path / "own/annotations/instances_test2017.json"
    file.write_text(file.read_text().replace('"dog"', '"wolf"'))
    assert main(["data", "convert", str(tmp_path / "own"), str(tmp_path / "out"), "--to", "yolo"]) == 2
    assert "instances_test2017.json: its categories are not those of the training split" in capsys.readouterr().err
