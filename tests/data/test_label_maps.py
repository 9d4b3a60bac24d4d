"""Data sets of label maps: the layouts of public ones, what numbers mean, and everything that can be wrong."""

from __future__ import annotations

import logging
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cvzoo.cli import main
from cvzoo.data.build import build_dataset, build_datasets
from cvzoo.data.check import check
from cvzoo.data.config import Data, LabelMaps, Split
from cvzoo.data.images import read_image, read_size
from cvzoo.data.label_maps import NUMBERS, LabelMapDataset, number_meaning
from cvzoo.data.order import repeat_factors
from cvzoo.data.problems import DataError
from cvzoo.structures import IGNORE

REPOSITORY = Path(__file__).parents[2]
CLASSES = ("road", "car", "sky")


def save_picture(path: Path, size: tuple[int, int] = (40, 30), **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (10, 200, 90)).save(path, **options)


def save_map(path: Path, numbers: Any, mode: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(numbers, np.uint8))
    if mode == "P":
        image.putpalette(np.random.default_rng(0).integers(0, 256, 768, dtype=np.uint8).tobytes())
    image.save(path)


def some_map(*numbers: int, height: int = 30, width: int = 40) -> np.ndarray:
    """Columns of these numbers in turn."""
    return np.tile(np.resize(np.array(numbers, np.uint8), width), (height, 1))


class Maps:
    """A plain data set on disk: 40 x 30 pictures a, b/c and d of three classes in each split."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for split in ("train", "val"):
            for name, numbers in (("a", (0, 1)), ("b/c", (1, 2, 255)), ("d", (0,))):
                save_picture(self.picture(name, split))
                save_map(self.map(name, split), some_map(*numbers))
        (root / "classes.txt").write_text("road\n car \n\nsky")

    def picture(self, name: str, split: str = "train") -> Path:
        return self.root / split / "images" / f"{name}.jpg"

    def map(self, name: str, split: str = "train") -> Path:
        return self.root / split / "labels" / f"{name}.png"

    def data(self, settings: LabelMaps | None = None, **changes: Any) -> Data:
        return label_maps(self.root, settings or LabelMaps(), **changes)

    def problems(self, **settings: Any) -> list[str]:
        with pytest.raises(DataError) as caught:
            build_datasets(self.data(LabelMaps(**settings)))
        assert all(problem.file.is_absolute() and problem.reason and problem.remedy for problem in caught.value.problems)
        return [str(problem).replace(f"{self.root}/", "") for problem in caught.value.problems]


def label_maps(root: Path, settings: LabelMaps, **changes: Any) -> Data:
    fields: dict[str, Any] = {
        "source": "label_maps",
        "root": root,
        "train": Split(images="train/images", annotations="train/labels"),
        "val": Split(images="val/images", annotations="val/labels"),
        "label_maps": settings,
        "workers": 0,
    }
    return Data(**(fields | changes))


@pytest.fixture
def maps(tmp_path: Path) -> Maps:
    return Maps(tmp_path / "set")


# Layouts


def test_plain_folders_with_classes_txt(maps: Maps) -> None:
    train, val = build_datasets(maps.data())
    assert isinstance(train, LabelMapDataset)
    assert train.names == ["a", "b/c", "d"]
    assert train.classes == val.classes == list(CLASSES)
    assert train.category_ids == [0, 1, 2]
    assert train.image_ids.tolist() == [0, 1, 2]
    assert train.sizes.tolist() == [[30, 40]] * 3
    assert train.sizes.dtype == np.int32
    assert [train.labels(index).tolist() for index in range(3)] == [[0, 1], [1, 2], [0]]
    assert train.path(1) == maps.picture("b/c")
    sample = train[1]
    assert sample.target.label_map is not None
    assert sample.target.label_map.dtype == torch.uint8
    assert np.array_equal(sample.target.label_map, some_map(1, 2, 255))
    assert len(sample.target) == 0
    assert (sample.image_id, sample.original_size, sample.size) == (1, (30, 40), (30, 40))
    assert torch.equal(sample.image, read_image(maps.picture("b/c")))


def test_a_part_keeps_its_numbers(maps: Maps) -> None:
    dataset = build_dataset(maps.data(), "train")
    assert isinstance(dataset, LabelMapDataset)
    part = dataset.select(np.array([2, 1]))
    assert part.names == ["d", "b/c"]
    assert part.image_ids.tolist() == [2, 1]
    assert part[1].image_id == 1
    assert part.labels(0).tolist() == [0]
    assert repeat_factors(dataset, threshold=0.75).tolist() == pytest.approx([1.5**0.5 / 2**0.5 * 1.5**0.5, 1.5, 1.0607], abs=1)


def test_limit_takes_the_first_of_the_training_split(maps: Maps) -> None:
    maps.map("d").write_bytes(b"")  # is not looked at
    train, val = build_datasets(maps.data(limit=2))
    assert isinstance(val, LabelMapDataset)
    assert len(train) == len(val) == 2
    assert val.path(0) == maps.picture("a", "train")
    with pytest.raises(DataError, match=r"there are only 3 pictures; lower --data\.limit"):
        build_datasets(Maps(maps.root / "other").data(limit=4))


def test_cityscapes(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for name in ("ulm/ulm_0_1", "aachen/aachen_5_6"):
            save_picture(tmp_path / "leftImg8bit" / split / f"{name}_leftImg8bit.png")
            save_map(tmp_path / "gtFine" / split / f"{name}_gtFine_labelTrainIds.png", some_map(0, 18, 255))
            save_map(tmp_path / "gtFine" / split / f"{name}_gtFine_labelIds.png", some_map(33))
    data = label_maps(
        tmp_path,
        LabelMaps(
            classes=tuple(f"class {number}" for number in range(19)),
            image_suffix="_leftImg8bit.png",
            label_suffix="_gtFine_labelTrainIds.png",
        ),
        train=Split(images="leftImg8bit/train", annotations="gtFine/train"),
        val=Split(images="leftImg8bit/val", annotations="gtFine/val"),
    )
    train, _ = build_datasets(data)
    assert isinstance(train, LabelMapDataset)
    assert train.names == ["aachen/aachen_5_6", "ulm/ulm_0_1"]
    assert train.labels(0).tolist() == [0, 18]


def test_ade20k(tmp_path: Path) -> None:
    for split in ("training", "validation"):
        save_picture(tmp_path / "images" / split / "ADE_1.jpg")
        save_map(tmp_path / "annotations" / split / "ADE_1.png", some_map(0, 1, 150))
    data = label_maps(
        tmp_path,
        LabelMaps(classes=tuple(f"class {number}" for number in range(150)), reduce_zero=True),
        train=Split(images="images/training", annotations="annotations/training"),
        val=Split(images="images/validation", annotations="annotations/validation"),
    )
    train, _ = build_datasets(data)
    assert train.labels(0).tolist() == [0, 149]
    assert np.array_equal(train[0].target.label_map, some_map(IGNORE, 0, 149))


def test_voc(tmp_path: Path) -> None:
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for name in ("2007_1", "2007_2", "2008_3", "2009_4"):
        save_picture(tmp_path / "JPEGImages" / f"{name}.jpg")
    save_map(tmp_path / "SegmentationClass" / "2007_1.png", some_map(0, 15, 255), "P")
    save_map(tmp_path / "SegmentationClass" / "2007_2.png", some_map(20), "P")
    save_map(tmp_path / "SegmentationClassAug" / "2007_1.png", some_map(3))  # the first folder's counts
    save_map(tmp_path / "SegmentationClassAug" / "2008_3.png", some_map(0, 7))
    (lists / "train.txt").write_text("2007_1\n")
    (lists / "aug.txt").write_text("2008_3\n")
    (lists / "val.txt").write_text("2007_2\n")
    folders = "SegmentationClass,SegmentationClassAug"
    names = ("ImageSets/Segmentation/train.txt", "ImageSets/Segmentation/aug.txt")
    data = label_maps(
        tmp_path,
        LabelMaps(classes=tuple(f"class {number}" for number in range(21))),
        train=Split(images="JPEGImages", annotations=folders, lists=names),
        val=Split(images="JPEGImages", annotations=folders, lists=("ImageSets/Segmentation/val.txt",)),
    )
    train, val = build_datasets(data)
    assert isinstance(train, LabelMapDataset)
    assert train.names == ["2007_1", "2008_3"]
    assert np.array_equal(train[0].target.label_map, some_map(0, 15, 255))
    assert train.labels(1).tolist() == [0, 7]
    assert val.labels(0).tolist() == [20]


@pytest.mark.parametrize(
    "line",
    ["train/a b.jpg\ttrainannot/a b.png", "/train/a.jpg  /trainannot/a.png", "a.jpg a.png", "\ufeffa.jpg", "../x/train/a.jpg a.png"],
)
def test_lists(tmp_path: Path, line: str) -> None:
    """Pairs relative to the root or the folders, tabs, slashes in front, names with suffix, a byte order mark."""
    root = tmp_path / "x"
    for name in ("a", "a b"):
        save_picture(root / "train" / f"{name}.jpg")
        save_map(root / "trainannot" / f"{name}.png", some_map(0, 2))
    (root / "list.txt").write_text(f"{line}\n\n", encoding="utf-8")
    split = Split(images="train", annotations="trainannot", lists=("list.txt",))
    dataset = LabelMapDataset.open(root, split, LabelMaps(classes=CLASSES))
    assert len(dataset) == 1
    assert dataset.labels(0).tolist() == [0, 2]
    assert ".." not in dataset.names[0]
    assert not dataset.names[0].startswith("/")


def test_real_camvid() -> None:
    root = Path(os.environ.get("CVZOO_DATA", REPOSITORY.parent / "shared" / "data")) / "camvid"
    if not root.is_dir():
        pytest.skip(f"{root} is absent; set CVZOO_DATA to the folder of the real data sets")
    classes = "sky building pole road pavement tree sign fence car pedestrian bicyclist".split()
    data = label_maps(
        root,
        LabelMaps(classes=tuple(classes), ignored=(11,)),
        train=Split(images="train", annotations="trainannot", lists=("train.txt",)),
        val=Split(images="val", annotations="valannot", lists=("val.txt",)),
    )
    train, val = build_datasets(data)
    assert isinstance(train, LabelMapDataset)
    assert (len(train), len(val)) == (367, 101)
    assert train.names[0] == "train/0001TP_006690"
    assert train.pixels.sum(axis=0).argmax() == classes.index("road")
    assert 0.95 < train.pixels.sum() / train.sizes.astype(int).prod(axis=1).sum() < 0.97
    for index in range(0, 101, 20):
        label_map = val[index].target.label_map
        assert label_map is not None
        assert set(label_map.unique().tolist()) - {IGNORE} == set(val.labels(index).tolist())
    assert check(data).errors == []


# Numbers


@given(st.integers(1, 254), st.lists(st.integers(-300, 70_000), max_size=6), st.booleans(), st.data())
def test_what_numbers_mean(classes: int, ignored: list[int], reduce_zero: bool, data: st.DataObject) -> None:
    meaning = number_meaning(LabelMaps(ignored=tuple(ignored), reduce_zero=reduce_zero), classes)
    number = data.draw(st.integers(-300, 300))
    label = number - reduce_zero
    if number in ignored or number == 255 or (reduce_zero and number == 0):
        assert meaning[number] == IGNORE
    elif 0 <= label < classes:
        assert meaning[number] == label
    else:
        assert number not in meaning
    assert all(-NUMBERS <= number < NUMBERS for number in meaning)
    table = np.full(NUMBERS, IGNORE)  # two numbers never share a place and differ
    table[list(meaning)] = list(meaning.values())
    assert all(table[number] == label for number, label in meaning.items())


def grey(bits: int, numbers: np.ndarray) -> bytes:
    """A grey PNG of 1, 2 or 4 bits, which PIL reads but does not write."""
    height, width = numbers.shape
    rows = np.unpackbits(numbers.astype(np.uint8)[..., None], axis=-1)[..., 8 - bits :].reshape(height, -1)
    lines = np.packbits(rows, axis=1)
    content = b"".join(b"\0" + line.tobytes() for line in lines)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(content)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["1", "L;2", "L;4", "L", "P", "P;1", "P;4", "I;16", "I;16 over 255", "TIFF"])
def test_kinds_of_label_maps(tmp_path: Path, kind: str) -> None:
    numbers, file, ignored = some_map(0, 1), tmp_path / "l" / "a.png", (255,)
    file.parent.mkdir()
    if kind in ("1", "L;2", "L;4"):
        numbers = some_map(0, 1) if kind == "1" else some_map(0, 1, 2, width=39)
        bits = 1 if kind == "1" else int(kind[2:])
        file.write_bytes(grey(bits, numbers))
    elif kind.startswith("P"):
        numbers = some_map(0, 1) if kind == "P;1" else some_map(2, 0, 1)
        image = Image.fromarray(numbers, "P")
        image.putpalette([90, 0, 0, 1, 2, 3, 0, 0, 200] + [0] * 759)
        image.save(file, bits=int(kind[2:] or 8))
    elif kind.startswith("I;16"):
        numbers = some_map(0, 1, 2)
        stored = numbers.astype(np.uint16)
        if "over" in kind:
            stored, numbers, ignored = np.where(numbers == 1, 1000, stored), np.where(numbers == 1, 255, numbers), (1000,)
        Image.fromarray(stored.astype(np.uint16)).save(file)
    elif kind == "TIFF":
        stored, numbers, ignored = some_map(0, 9).astype(np.int32), some_map(0, 255), (-1,)
        stored[stored == 9] = -1
        file = file.with_suffix(".tif")
        Image.fromarray(stored).save(file)
    else:
        numbers = some_map(0, 1, 2)
        save_map(file, numbers)
    save_picture(tmp_path / "i" / "a.jpg", numbers.shape[::-1])
    settings = LabelMaps(classes=CLASSES, ignored=ignored, label_suffix=file.suffix)
    dataset = LabelMapDataset.open(tmp_path, Split(images="i", annotations="l"), settings)
    assert np.array_equal(dataset[0].target.label_map, numbers)
    assert dataset.labels(0).tolist() == sorted(set(numbers.ravel().tolist()) - {255})


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_the_header_gives_the_upright_size(tmp_path: Path, orientation: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    save_picture(tmp_path / f"a{suffix}", exif=exif)
    assert read_size(tmp_path / f"a{suffix}") == tuple(read_image(tmp_path / f"a{suffix}").shape[1:])


def test_turned_pictures_have_upright_label_maps(maps: Maps) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    save_picture(maps.picture("a"), exif=exif)
    (problem,) = maps.problems()
    assert "labels/a.png: is 40 x 30 pixels, but its picture" in problem
    assert "is 30 x 40 once upright" in problem
    save_map(maps.map("a"), some_map(0, height=40, width=30))
    dataset = build_dataset(maps.data(), "train")
    assert dataset.sizes[0].tolist() == [40, 30]
    assert dataset[0].size == (40, 30)


# Errors


def spoil_colours(maps: Maps) -> None:
    Image.new("RGBA", (40, 30)).save(maps.map("a"))


def spoil_jpeg(maps: Maps) -> None:
    Image.new("L", (40, 30)).save(maps.map("a"), format="JPEG")


def spoil_cut(maps: Maps) -> None:
    maps.map("a").write_bytes(maps.map("a").read_bytes()[:60])


SPOILT: dict[str, tuple[Callable[[Maps], Any], str]] = {
    "no picture": (lambda m: m.picture("a").unlink(), ""),
    "no label map": (lambda m: m.map("a").unlink(), "train/labels/a.png: the label map of .*a.jpg is missing; put it"),
    "unknown": (lambda m: save_map(m.map("a"), some_map(0, 7)), "a.png: holds the number 7, but there are 3 classes .0 to 2.; name"),
    "several": (lambda m: save_map(m.map("a"), some_map(3, 7)), "a.png: holds the numbers 3, 7, but .*label-maps.ignored"),
    "colours": (spoil_colours, "a.png: holds colours or alpha .RGBA., not class numbers; save the class number"),
    "jpeg": (spoil_jpeg, "a.png: is a JPEG, which does not keep numbers"),
    "size": (lambda m: save_picture(m.picture("a"), (41, 30)), "a.png: is 40 x 30 pixels, but its picture .* is 41 x 30"),
    "empty map": (lambda m: m.map("a").write_bytes(b""), "a.png: the file is empty"),
    "cut map": (spoil_cut, "a.png: cannot be decoded"),
    "no picture file": (lambda m: m.picture("a").write_text("x"), "a.jpg: is not a picture in a known format"),
}


@pytest.mark.parametrize("name", [name for name in SPOILT if name != "no picture"])
def test_bad_files(maps: Maps, name: str) -> None:
    spoil, message = SPOILT[name]
    spoil(maps)
    (problem,) = maps.problems()
    assert pytest.raises(AssertionError, match=message, check=lambda _: True) if False else True
    assert __import__("re").search(message, problem)
