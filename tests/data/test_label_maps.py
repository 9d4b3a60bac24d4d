"""Data sets of label maps: the layouts of public ones, and a real one."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from data.maps import CLASSES, Maps, label_maps, save_image, save_map, some_map

from cvzoo.data.build import build_dataset, build_datasets
from cvzoo.data.check import check
from cvzoo.data.config import LabelMaps, Split
from cvzoo.data.images import read_image
from cvzoo.data.label_maps import LabelMapDataset
from cvzoo.data.order import repeat_factors
from cvzoo.data.problems import DataError
from cvzoo.structures import IGNORE

REPOSITORY = Path(__file__).parents[2]


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
    assert train.path(1) == maps.image("b/c")
    sample = train[1]
    assert sample.target.label_map is not None
    assert sample.target.label_map.dtype == torch.uint8
    assert np.array_equal(sample.target.label_map, some_map(1, 2, 255))
    assert len(sample.target) == 0
    assert (sample.image_id, sample.original_size, sample.size) == (1, (30, 40), (30, 40))
    assert torch.equal(sample.image, read_image(maps.image("b/c")))


def test_parts_and_repeats(maps: Maps) -> None:
    dataset = build_dataset(maps.data(), "train")
    assert isinstance(dataset, LabelMapDataset)
    part = dataset.select(np.array([2, 1]))
    assert part.names == ["d", "b/c"]
    assert part.image_ids.tolist() == [2, 1]
    assert part[1].image_id == 1
    assert part.labels(0).tolist() == [0]
    factors = repeat_factors(dataset, threshold=0.75)
    np.testing.assert_allclose(factors, np.sqrt([0.75 * 3 / 2, 0.75 * 3, 0.75 * 3 / 2]))  # sky is in one image of three


def test_limit_takes_the_first_of_the_training_split(maps: Maps) -> None:
    maps.map("d").write_bytes(b"")  # is not looked at
    train, val = build_datasets(maps.data(limit=2))
    assert isinstance(val, LabelMapDataset)
    assert len(train) == len(val) == 2
    assert val.path(0) == maps.image("a", "train")
    with pytest.raises(DataError, match=r"there are only 3 images; lower --data\.limit"):
        build_datasets(Maps(maps.root / "other").data(limit=4))


def test_cityscapes(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for name in ("ulm/ulm_0_1", "aachen/aachen_5_6"):
            save_image(tmp_path / "leftImg8bit" / split / f"{name}_leftImg8bit.png")
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
        save_image(tmp_path / "images" / split / "ADE_1.jpg")
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
        save_image(tmp_path / "JPEGImages" / f"{name}.jpg")
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
    [
        "train/a b.jpg\ttrainannot/a b.png",
        "/train/a.jpg  /trainannot/a.png",
        "a.jpg a.png",
        "\ufeffa.jpg",
        "../x/train/a.jpg a.png",
    ],
)
def test_lists(tmp_path: Path, line: str) -> None:
    """Pairs relative to the root or the folders, tabs, slashes in front, names with suffix, a byte order mark."""
    root = tmp_path / "x"
    for name in ("a", "a b"):
        save_image(root / "train" / f"{name}.jpg")
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
    classes = ["sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist"]
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
