"""Annotations are read once; whoever opens them later maps the same arrays, and nobody another data set's."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import pickle
import resource
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data.conftest import Folder
from torch.utils.data import DataLoader

from cvzoo.data import annotation_cache, coco_objects
from cvzoo.data.annotation_cache import cache_folder
from cvzoo.data.build import build_dataset
from cvzoo.data.coco import CocoDataset
from cvzoo.data.problems import DataError
from cvzoo.ops.masks import mask_json

SQUARE = [5.0, 5, 15, 5, 15, 10, 5, 10]
CODE = {"size": [30, 40], "counts": [100, 50, 1050]}


def opened(folder: Folder, split: Any = "train", **changes: Any) -> CocoDataset:
    dataset = build_dataset(folder.data(**changes), split)
    assert isinstance(dataset, CocoDataset)
    return dataset


def outlined(folder: Folder, copies: int = 1) -> None:
    """Masks of both kinds, and an image without objects."""
    content = folder.content()
    for record in content["annotations"]:
        record["segmentation"] = CODE if record["id"] == 20 else [SQUARE, SQUARE]
    images = [{**image, "id": image["id"] + 100 * copy} for copy in range(1, copies) for image in content["images"]]
    content["images"] += images
    content["annotations"] += [
        {**content["annotations"][0], "id": 1000 + number, "image_id": image["id"]}
        for number, image in enumerate(images)
        if number % 3
    ]
    content["images"].append({"id": 99, "file_name": "1.jpg", "height": 30, "width": 40})
    folder.write(content)


def everything(dataset: CocoDataset) -> list[Any]:
    targets = [dataset.target(index) for index in range(len(dataset))]
    return [
        *(dataset.classes, dataset.category_ids, dataset.digest, dataset.image_ids.tolist(), dataset.sizes.tolist()),
        [dataset.path(index) for index in range(len(dataset))],
        [(target.boxes.tolist(), target.labels.tolist()) for target in targets],
        [[mask_json(mask) for mask in target.masks or ()] for target in targets],
    ]


def kept(kind: str = "boxes") -> list[Path]:
    return sorted(cache_folder().glob(f"{kind}*.safetensors"))


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder for a cache."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("CVZOO_CACHE", str(tmp_path / "file" / "cache"))


@pytest.mark.parametrize("masks", [False, True])
def test_a_later_open_maps_what_the_first_has_read(folder: Folder, masks: bool) -> None:
    outlined(folder)
    first = everything(opened(folder, masks=masks))
    (file,) = kept()
    written = file.stat().st_mtime_ns
    again = opened(folder, masks=masks)
    assert again._index.file == file == kept()[0]
    assert file.stat().st_mtime_ns == written
    assert everything(again) == first
    assert len(kept("boxes-masks")) == int(masks)


def test_without_a_folder_for_the_cache(folder: Folder, nowhere: None) -> None:
    outlined(folder)
    dataset = opened(folder, masks=True)
    assert dataset._index.file is None
    assert everything(pickle.loads(pickle.dumps(dataset))) == everything(dataset)
    assert len(dataset) == 4


def test_a_full_disk_keeps_nothing_and_stops_nobody(folder: Folder) -> None:
    outlined(folder)
    expected = everything(opened(folder))
    shutil.rmtree(cache_folder())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))  # refused as on a full disk
    try:
        assert everything(opened(folder)) == expected
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(cache_folder().glob("*.safetensors*"))


def test_the_same_with_a_cache_as_without(folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outlined(folder)
    mapped = everything(opened(folder, masks=True))
    monkeypatch.setenv("CVZOO_CACHE", str(tmp_path / "set" / "train.json" / "none"))
    assert everything(opened(folder, masks=True)) == mapped


def test_changed_content_is_read_again(folder: Folder) -> None:
    """Even if it has the size and the time of before, long ago."""
    file = folder.root / "train.json"
    os.utime(file, ns=(10**18, 10**18))
    assert opened(folder)[0].target.boxes[0].tolist() == [0, 2, 10, 11]
    content = folder.content()
    content["annotations"][0]["bbox"] = [1, 2, 10, 9]
    size = file.stat().st_size
    folder.write(content)
    os.utime(file, ns=(10**18, 10**18))
    assert file.stat().st_size == size
    assert opened(folder)[0].target.boxes[0].tolist() == [1, 2, 11, 11]
    assert len(kept()) == 2


def test_a_settled_file_is_not_hashed_again(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annotation_cache, "SETTLED", -1.0)
    opened(folder)
    (memory,) = [json.loads(file.read_text()) for file in cache_folder().glob("*.json")]
    assert memory["path"] == str(folder.root / "train.json")
    (file,) = cache_folder().glob("*.json")
    file.write_text(json.dumps(memory | {"digest": "of other data"}))
    opened(folder)
    assert len(kept()) == 2  # it took the word of what was remembered
    os.utime(folder.root / "train.json")
    opened(folder)
    assert len(kept()) == 2


def test_another_version_is_not_trusted(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(folder)
    monkeypatch.setattr(annotation_cache, "makers", lambda: "another")
    opened(folder)
    assert len(kept()) == 2


def test_what_nobody_has_opened_for_months_is_removed(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(folder)
    (used,) = kept()
    long_ago = time.time() - 61 * 86_400
    names = ("boxes-old.safetensors", "boxes-old.lock", "voc-old-train.json", "mine.txt", "read-lately.json")
    old, lock, converted, mine, read = (cache_folder() / name for name in names)
    for file in (old, lock, converted, mine, read):
        file.touch()
    for file in (used, old, lock, converted, mine):
        os.utime(file, (long_ago, long_ago))
    os.utime(read, (time.time(), long_ago))
    written = used.stat().st_mtime_ns
    opened(folder)  # a use, at which nothing is kept
    assert old.exists()
    monkeypatch.setattr(annotation_cache, "makers", lambda: "another")
    opened(folder)
    assert not any(file.exists() for file in (old, lock, converted))
    assert mine.exists()
    assert read.exists()
    assert used in kept()
    assert used.stat().st_mtime_ns == written


def test_a_broken_file_is_replaced(folder: Folder) -> None:
    before = everything(opened(folder))
    (file,) = kept()
    for content in (b"", b"\0" * 64, file.read_bytes()[:-1]):
        file.write_bytes(content)
        assert everything(opened(folder)) == before
        assert kept() == [file]


def test_what_has_errors_is_not_kept(folder: Folder) -> None:
    content = folder.content()
    content["annotations"][0]["bbox"] = [1, 2, -3, 4]
    folder.write(content)
    for _ in range(2):
        with pytest.raises(DataError, match="negative size"):
            opened(folder)
    assert not kept()


def test_missing_images_are_found_at_every_open(folder: Folder) -> None:
    opened(folder)
    (folder.root / "train" / "3.jpg").unlink()
    with pytest.raises(DataError, match=r"train/3\.jpg: image 3: the image is missing"):
        opened(folder)


def test_warnings_come_at_every_open_and_name_the_file_at_hand(
    folder: Folder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = folder.content()
    content["annotations"][0]["bbox"] = [3, 4, 0, 5]
    folder.write(content)
    shutil.copytree(folder.root, tmp_path / "other")
    for root in (folder.root, folder.root, tmp_path / "other"):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            opened(folder, root=root)
        assert f"{root / 'train.json'}: image 1: annotation 10: the box [3, 4, 0, 5] has no area" in caplog.text
    assert len(kept()) == 1  # of equal content


def test_processes_at_once(folder: Folder) -> None:
    outlined(folder)
    context = multiprocessing.get_context("fork")
    with context.Pool(3) as pool:
        found = pool.starmap(_everything_of, [(folder.root, True)] * 6, chunksize=1)
    assert len(kept()) == 1
    assert all(one == found[0] for one in found)
    assert not list(cache_folder().glob("*.tmp"))


def _everything_of(root: Path, masks: bool) -> list[Any]:
    torch.set_num_threads(1)
    folder = Folder.__new__(Folder)
    folder.root = root
    return everything(opened(folder, masks=masks))


def test_paths_are_pickled_and_not_arrays(folder: Folder) -> None:
    outlined(folder, copies=400)
    train, val = opened(folder, masks=True), opened(folder, masks=True, keep_empty=True)
    assert len(train) < len(val) == 1601
    reordered = train.in_order(train.classes[::-1])
    twice = train.select(np.array([2, 0, 2]))
    for dataset in (train, val, reordered, twice):
        pickled = pickle.dumps(dataset)
        assert len(pickled) < 2500
        assert everything(pickle.loads(pickled)) == everything(dataset)
    (file,) = kept()
    pickled = pickle.dumps(train)
    file.unlink()
    with pytest.raises(DataError, match="is gone, though it is in use; repeat the command"):
        pickle.loads(pickled)


def test_spawned_workers(folder: Folder) -> None:
    outlined(folder)
    dataset: Any = opened(folder, masks=True)
    loader = DataLoader(dataset, batch_size=None, num_workers=1, multiprocessing_context="spawn")
    for sample, wanted in zip(loader, [dataset[index] for index in range(len(dataset))], strict=True):
        assert torch.equal(sample.image, wanted.image)
        assert torch.equal(sample.target.boxes, wanted.target.boxes)


def test_the_digest_of_runs_made_before_there_was_a_cache(folder: Folder) -> None:
    assert opened(folder).digest == "aca515450c48120c"


def test_text_that_nobody_reads_must_be_text(folder: Folder) -> None:
    content = json.dumps({"info": "?", **folder.content()}).encode()
    (folder.root / "train.json").write_bytes(content.replace(b"?", b"\xff"))
    with pytest.raises(DataError, match=r"train\.json: is not valid JSON \('utf-8' codec"):
        opened(folder)


def test_plain_records_are_judged_as_single_ones(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """On drawn records of which some are odd, in chunks of every size."""
    found = []
    for singly in (False, True):
        if singly:
            monkeypatch.setattr(coco_objects.ObjectReader, "_read_plain", lambda _, start, chunk: np.arange(len(chunk)))
        for seed in range(40):
            monkeypatch.setattr(coco_objects, "CHUNK", (1, 3, 1000)[seed % 3])
            shutil.rmtree(cache_folder(), ignore_errors=True)
            folder.write(drawn(folder, np.random.default_rng(seed)))
            try:
                found.append(everything(opened(folder, masks=bool(seed % 2), keep_empty=True)))
            except DataError as error:
                found.append(str(error))
    assert found[:40] == found[40:]
    assert {type(one) for one in found} == {list, str}


def drawn(folder: Folder, rng: np.random.Generator) -> dict[str, Any]:
    """A file with a fault or two, or none."""
    content = folder.content()
    content["annotations"] = [
        {
            **{"id": number, "image_id": int(rng.integers(1, 5)), "category_id": int(rng.choice([3, 7]))},
            "bbox": rng.uniform(0, 25, 4).round(int(rng.integers(0, 17))).tolist(),
            "segmentation": [rng.uniform(0, 30, 2 * int(rng.integers(2, 6))).tolist() for _ in range(2)],
            **({"iscrowd": int(rng.integers(2))} if rng.random() < 0.3 else {}),
            **({"area": 3} if rng.random() < 0.3 else {}),
        }
        for number in rng.permutation(20).tolist()
    ]
    odd: list[tuple[str, Any]] = [
        *(("bbox", [3, 4, 0, 5]), ("bbox", [-3, -0.0, 90, 5]), ("bbox", [2**60, 0, 1, 1]), ("bbox", [1, 2, 3, True])),
        *(("id", 3), ("image_id", 9), ("category_id", 4), ("id", 2**63), ("iscrowd", True), ("iscrowd", 2)),
        *(("area", 2**53), ("area", None), ("segmentation", CODE), ("segmentation", []), ("segmentation", [[1, 2]])),
        *(("segmentation", [[1, 2, 3, 4, 5, True]]), ("segmentation", [[1, 2, 3, 4, 5, 441]]), ("segmentation", "x")),
    ]
    for _ in range(int(rng.integers(3))):
        key, value = odd[int(rng.integers(len(odd)))]
        content["annotations"][int(rng.integers(20))][key] = value
    return content
