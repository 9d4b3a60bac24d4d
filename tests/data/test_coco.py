"""COCO-format data sets: boxes, classes, crowds, what training sees and what evaluation sees."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO

from cvzoo.data.build import build_dataset, build_datasets
from cvzoo.data.coco import CocoDataset
from cvzoo.data.coco_json import read_index
from cvzoo.data.coco_objects import CHUNK, ObjectReader
from cvzoo.data.config import Data
from cvzoo.data.problems import Findings


def test_classes_follow_ascending_category_ids(folder: Any) -> None:
    dataset = build_dataset(folder.data(), "train")
    assert dataset.classes == ["dog", "cat"]
    assert dataset.category_ids == [3, 7]
    sample = dataset[0]
    assert sample.image_id == 1
    assert sample.original_size == sample.size == (30, 40)
    assert sample.target.labels.tolist() == dataset.labels(0).tolist() == [0, 1]
    assert sample.target.boxes.tolist() == [[0, 2, 10, 11], [5, 2, 15, 11]]


def test_boxes_are_clipped_in_silence(folder: Any, caplog: Any) -> None:
    content = folder.content()
    content["annotations"][0]["bbox"] = [-3.5, -2, 20, 100]
    folder.write(content)
    assert build_dataset(folder.data(), "train")[0].target.boxes[0].tolist() == [0, 0, 16.5, 30]
    assert not caplog.records


def test_crowds_and_empty_images(folder: Any) -> None:
    content = folder.content()
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] != 2]  # image 2 has none at all
    for annotation in content["annotations"]:
        annotation["iscrowd"] = int(annotation["image_id"] == 3 or annotation["id"] == 10)
    for split in ("train", "val"):
        folder.write(content, split)
    train, val = build_datasets(folder.data())
    assert train.image_ids.tolist() == [1, 4]
    assert train[0].target.labels.tolist() == [1]
    assert val.image_ids.tolist() == [1, 2, 3, 4]
    assert len(val.ground_truth["annotations"]) == 6  # crowds count for the evaluation
    everything = build_dataset(folder.data(keep_empty=True), "train")
    assert [len(everything[i].target) for i in range(4)] == [1, 0, 0, 2]
    assert everything[1].target.boxes.shape == (0, 4)


def test_ground_truth_is_that_of_the_images_used(folder: Any) -> None:
    dataset = build_dataset(folder.data(limit=2), "val")
    truth = dataset.ground_truth
    assert [image["id"] for image in truth["images"]] == dataset.image_ids.tolist() == [1, 2]
    assert {a["image_id"] for a in truth["annotations"]} == {1, 2}
    assert truth["annotations"][0]["area"] == 90
    assert truth["annotations"][0]["iscrowd"] == 0


def test_limit_trains_and_evaluates_on_the_same_images(folder: Any) -> None:
    content = folder.content()
    content["annotations"].pop(0)  # image 1 is left with one box
    folder.write(content)
    train, val = build_datasets(folder.data(limit=2))
    assert train.image_ids.tolist() == val.image_ids.tolist() == [2, 3]


def test_real_annotations_equal_pycocotools(real_coco: Data) -> None:
    train, val = build_datasets(real_coco)
    assert (len(train), len(val)) == (282, 114)
    assert len(train.classes) == 80
    assert isinstance(val, CocoDataset)
    for split, dataset in (("train", train), ("val", val)):
        reference = COCO(str(real_coco.root / getattr(real_coco, split).annotations))
        for index, image_id in enumerate(dataset.image_ids.tolist()):
            wanted = reference.loadAnns(reference.getAnnIds([image_id], iscrowd=False))
            boxes = np.array([a["bbox"] for a in wanted], np.float32).reshape(-1, 4)
            boxes[:, 2:] += boxes[:, :2]
            assert isinstance(dataset, CocoDataset)
            np.testing.assert_allclose(dataset.target(index).boxes.numpy(), boxes, atol=0.02)
            assert [dataset.category_ids[i] for i in dataset.labels(index)] == [a["category_id"] for a in wanted]


def test_real_images(real_coco: Data) -> None:
    dataset = build_dataset(real_coco, "train")
    for index in range(0, len(dataset), 40):
        sample = dataset[index]
        assert sample.size == tuple(dataset.sizes[index])
        assert sample.image.dtype == torch.uint8


@pytest.mark.parametrize(
    ("name", "url", "file"),
    [
        ("000000391895.jpg", "http://images.cocodataset.org/train2017/000000391895.jpg", "000000391895.jpg"),
        ("COCO_val2014_000000391895.jpg", "", "COCO_val2014_000000391895.jpg"),
        ("COCO_val2014_7.jpg", "http://images.cocodataset.org/val2014/COCO_val2014_7.jpg", "COCO_val2014_7.jpg"),
        ("", "http://images.cocodataset.org/train2017/7.jpg", "train2017/7.jpg"),  # LVIS
        ("COCO_val2014_7.jpg", "http://images.cocodataset.org/train2017/7.jpg", "train2017/7.jpg"),  # its version 0.5
    ],
)
def test_lvis_names_images_by_their_addresses(folder: Any, name: str, url: str, file: str) -> None:
    content = folder.content()
    content["images"][0] |= {"file_name": name, "coco_url": url}
    if not name:
        del content["images"][0]["file_name"]
    place = folder.root / "train" / file
    place.parent.mkdir(exist_ok=True)
    (folder.root / "train" / "1.jpg").rename(place)
    folder.write(content)
    assert build_dataset(folder.data(), "train").path(0) == place


def test_what_has_been_read_of_a_file_leaves_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a file of many gigabytes would stay in it as a whole while its arrays are made."""
    monkeypatch.setenv("CVZOO_CACHE", str(tmp_path / "cache"))
    images = [{"id": i, "width": 64, "height": 64, "file_name": f"{i}.jpg"} for i in range(10)]
    body = '"image_id": 3, "category_id": 1, "iscrowd": 0, "area": 9.0, "bbox": [1.0, 2.0, 3.0, 3.0]'
    records = ", ".join(f'{{"id": {i}, {body}, "comment": "{"-" * 1000}"}}' for i in range(3 * CHUNK))
    file = tmp_path / "train.json"
    file.write_text(
        f'{{"images": {json.dumps(images)}, "annotations": [{records}], "categories": [{{"id": 1, "name": "a"}}]}}'
    )
    held: list[int] = []
    refuse_repeats = ObjectReader._refuse_repeats

    def noted(self: ObjectReader, records: list[Any]) -> Any:
        """Called when all has been read, and nothing been let go of."""
        mapping = Path("/proc/self/smaps").read_text().partition(str(file))[2]
        line = next(line for line in mapping.splitlines() if line.startswith("Rss"))
        held.append(int(line.split()[1]) * 1024)
        return refuse_repeats(self, records)

    monkeypatch.setattr(ObjectReader, "_refuse_repeats", noted)
    index = read_index([(file, tmp_path)], Findings())
    assert index is not None
    assert len(index.boxes) == 3 * CHUNK
    assert len(held) == 1
    assert held[0] < 0.1 * file.stat().st_size
