"""Each problem of a folder of label maps gives file, reason and remedy; all problems at once; before any training."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from data.maps import CLASSES, Maps, save_image, save_map, some_map
from PIL import Image

from cvzoo.cli import main
from cvzoo.data.build import build_dataset, build_datasets
from cvzoo.data.check import check
from cvzoo.data.config import LabelMaps, Split
from cvzoo.data.label_maps import OFTEN
from cvzoo.data.problems import DataError


def turn(maps: Maps) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    save_image(maps.image("a"), exif=exif)


def test_turned_images_have_upright_label_maps(maps: Maps) -> None:
    turn(maps)
    save_map(maps.map("a"), some_map(0, height=40, width=30))
    dataset = build_dataset(maps.data(), "train")
    assert dataset.sizes[0].tolist() == [40, 30]
    assert dataset[0].size == (40, 30)


SPOILT: dict[str, tuple[Callable[[Maps], Any], str]] = {
    "missing": (lambda m: m.map("a").unlink(), "a.png: the label map of .*/a.jpg is missing; put it there, or name"),
    "unknown": (
        lambda m: save_map(m.map("a"), some_map(0, 7)),
        r"a.png: holds the number 7, but there are 3 classes \(0 to 2\); name it in --data.label-maps.ignored, or",
    ),
    "several": (lambda m: save_map(m.map("a"), some_map(3, 7)), "a.png: holds the numbers 3, 7, but"),
    "many": (lambda m: save_map(m.map("a"), some_map(*range(40))), r"holds the numbers 3, 4, .*, 12, \.\.\., but"),
    "colours": (lambda m: Image.new("RGBA", (40, 30)).save(m.map("a")), r"a.png: is an image \(RGBA\), not class"),
    "size": (lambda m: save_image(m.image("a"), (41, 30)), "a.png: is 40 x 30 pixels, .*a.jpg is 41 x 30 once"),
    "turned": (turn, "a.png: is 40 x 30 pixels, .*a.jpg is 30 x 40 once upright"),
    "empty": (lambda m: m.map("a").write_bytes(b""), "a.png: the file is empty"),
    "cut": (lambda m: m.map("a").write_bytes(m.map("a").read_bytes()[:60]), "a.png: cannot be decoded"),
    "text": (lambda m: m.image("a").write_text("x"), "a.jpg: is not an image in a known format"),
    "no name": (lambda m: (m.root / "classes.txt").write_text(" \n"), "classes.txt: names no class"),
    "no classes": (lambda m: (m.root / "classes.txt").unlink(), "classes.txt: the file is missing; .*maps.classes"),
    "binary": (lambda m: (m.root / "classes.txt").write_bytes(b"\xff\xfe\xff"), "classes.txt: cannot be read as text"),
    "twice": (lambda m: (m.root / "classes.txt").write_text("a\nb\na"), "the classes a are named more than once"),
    "256": (lambda m: (m.root / "classes.txt").write_text("\n".join(map(str, range(256)))), "but only 255 fit into"),
    "labels": (lambda m: shutil.rmtree(m.root / "train" / "labels"), "train/labels: the folder is missing; put it"),
    "images": (lambda m: shutil.rmtree(m.root / "train" / "images"), "train/images: the folder is missing; put it"),
    "nothing": (
        lambda m: [file.unlink() for file in m.root.glob("train/images/**/*.jpg")],
        "train/images: the folder holds no file that ends in '.jpg', but nothing at all; correct",
    ),
    "other ending": (
        lambda m: [file.rename(file.with_suffix(".bmp")) for file in m.root.glob("train/images/**/*.jpg")],
        r"holds no file that ends in '.jpg', but 3 in \.bmp; .*--data.label-maps.image-suffix",
    ),
    "ignored": (
        lambda m: [save_map(file, some_map(255)) for file in m.root.glob("train/labels/**/*.png")],
        "train/labels: no pixel of any label map has a class; correct --data.label-maps.ignored",
    ),
}


@pytest.mark.parametrize("name", SPOILT)
def test_each_problem_is_explained(maps: Maps, name: str) -> None:
    spoil, message = SPOILT[name]
    spoil(maps)
    (problem,) = maps.problems()
    assert re.search(message, problem)
    if name != "no classes":  # which a check can do without
        assert problem in str(check(maps.data())).replace(f"{maps.root}/", "")


def test_classes_must_fit(maps: Maps) -> None:
    names = tuple(map(str, range(255)))
    assert len(build_dataset(maps.data(LabelMaps(classes=names)), "train").classes) == 255
    assert "but only 254 fit" in maps.problems(classes=names, reduce_zero=True)[0]
    assert "255 classes" not in maps.problems(classes=("a",))[0]


def test_all_problems_at_once(maps: Maps) -> None:
    for name in ("missing", "text", "no classes"):
        SPOILT[name][0](maps)
    save_map(maps.map("d", "val"), some_map(0, height=31))
    shutil.rmtree(maps.root / "val" / "labels" / "b")
    problems = maps.problems()
    parts = (
        "classes.txt: the file",
        "train/images/a.jpg",
        "train/labels/a.png",
        "val/labels/b/c.png",
        "val/labels/d.png",
    )
    assert [problem.startswith(part) for problem, part in zip(problems, parts, strict=True)] == [True] * 5
    report = check(maps.data())
    assert (len(report.errors), len(report.warnings)) == (4, 1)  # names of classes are no error of a check
    assert report.summary == []


def test_a_number_of_many_label_maps_is_one_problem(maps: Maps) -> None:
    for number in range(OFTEN + 1):
        save_image(maps.image(f"x{number}"))
        save_map(maps.map(f"x{number}"), some_map(3, 4 if number == 5 else 0))
    assert [problem.split(", but")[0] for problem in maps.problems()] == [
        "train/labels/x0.png: holds the number 3, as do 10 other label maps",
        "train/labels/x5.png: holds the number 4",
    ]


def test_label_maps_without_image_are_skipped_with_a_warning(maps: Maps, caplog: pytest.LogCaptureFixture) -> None:
    maps.image("a").unlink()
    (maps.root / "train" / "images" / "._d.jpg").write_bytes(b"")  # what macOS leaves on foreign disks
    with caplog.at_level(logging.WARNING):
        assert len(build_dataset(maps.data(), "train")) == 2
    assert "train/labels/a.png: is skipped, since it has no image; its image would be a.jpg" in caplog.text
    assert "d.jpg" not in caplog.text


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (None, ["l.txt: the file is missing; put it there, or name another one with --data.train.lists"]),
        (" \n\n", ["l.txt: the list is empty; name an image in each line"]),
        ("a\na b c", ["l.txt: line 2 has 3 columns; give a name, or image and label map"]),
        ("a\nd\n\na.jpg", ["l.txt: line 4 names a once more; remove the line"]),
        ("e", ["images/e.jpg: the image is missing; put it there", "labels/e.png: the label map of"]),
        ("train/images/a.jpg train/e.png", ["train/e.png: the label map of"]),
    ],
)
def test_bad_lists(maps: Maps, text: str | None, messages: list[str]) -> None:
    if text is not None:
        (maps.root / "l.txt").write_text(text)
    data = maps.data(train=Split(images="train/images", annotations="train/labels", lists=("l.txt",)))
    with pytest.raises(DataError) as caught:
        build_dataset(data, "train")
    assert len(caught.value.problems) == len(messages)
    assert all(message in str(caught.value) for message in messages)


def test_two_lists_must_not_overlap(maps: Maps) -> None:
    (maps.root / "l.txt").write_text("a")
    data = maps.data(train=Split(images="train/images", annotations="train/labels", lists=("l.txt", "l.txt", "m.txt")))
    with pytest.raises(DataError, match=r"line 1 names a once more.*\n.*m\.txt: the file is missing"):
        build_dataset(data, "train")


def test_files_that_change_after_the_check(maps: Maps) -> None:
    dataset = build_dataset(maps.data(), "train")
    save_image(maps.image("a"), (50, 30))
    maps.map("d").unlink()
    with pytest.raises(DataError, match=r"a\.png: is 40 x 30 pixels, but its image .* is 50 x 30"):
        dataset[0]
    with pytest.raises(DataError, match=r"d\.png: cannot be read"):
        dataset[2]


def test_missing_root(maps: Maps, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: the folder of the data set is missing; .*--data\.root") as caught:
        build_datasets(maps.data(root=tmp_path / "nowhere"))
    assert len(caught.value.problems) == 1


def test_check_reads_the_images_too(maps: Maps) -> None:
    report = check(maps.data())
    assert report.errors == []
    assert str(report).count("images: 3 images, 3 classes, 10.8% of the pixels without a class") == 2
    Image.effect_noise((40, 30), sigma=90).save(maps.image("a"))
    maps.image("a").write_bytes(maps.image("a").read_bytes()[:-200])
    build_datasets(maps.data())  # the header is sound
    assert [problem.file for problem in check(maps.data()).errors] == [maps.image("a")]
    names = (*CLASSES, "dog")
    report = check(maps.data(LabelMaps(classes=names)))
    assert "4 classes (without a pixel: dog)" in str(report)
    assert any("no pixel of the classes dog, which cannot be learnt" in str(problem) for problem in report.warnings)


def test_command(maps: Maps, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["data", "check", str(maps.root), "--source", "label_maps"]
    for split in ("train", "val"):
        command += [f"--{split}.images", f"{split}/images", f"--{split}.annotations", f"{split}/labels"]
    assert main(command) == 0
    assert "3 images, 3 classes" in capsys.readouterr().out
    assert main([*command, "--label-maps.classes", "road", "car", "--label-maps.ignored", "9"]) == 2
    assert "2 errors:" in capsys.readouterr().out


def test_label_maps_without_names_are_checked_by_their_numbers(maps: Maps) -> None:
    (maps.root / "classes.txt").unlink()
    save_map(maps.map("d", "val"), some_map(0, 7))
    report = check(maps.data())
    assert report.errors == []
    assert [line.partition("3 images, ")[2] for line in report.summary] == [
        "the numbers 0, 1, 2, 10.8% of the pixels without a class",
        "the numbers 0, 1, 2, 7, 10.8% of the pixels without a class",
    ]
    assert [(problem.file.name, "label-maps.classes" in problem.remedy) for problem in report.warnings] == [
        ("classes.txt", True)
    ]
    assert [split.classes for split in report.splits.values()] == [["0", "1", "2", "7"]] * 2
    assert "the numbers 0, 2, 7" in check(maps.data(LabelMaps(ignored=(1, 255)))).summary[1]
    save_image(maps.image("a"), (41, 30))
    assert "40 x 30 pixels" in str(check(maps.data()))
    with pytest.raises(DataError, match="classes"):
        build_datasets(maps.data())  # there is a name for what is trained


def test_label_maps_are_not_converted(maps: Maps, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["data", "convert", str(maps.root), str(maps.root / "out"), "--to", "coco"]
    assert main([*command, "--source", "label_maps"]) == 2
    assert "label maps have no objects to convert" in capsys.readouterr().err
    assert not (maps.root / "out").exists()
