"""The drawn images are exactly annotated and reproducible."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from cvzoo.data.build import build_dataset, build_datasets
from cvzoo.data.config import Data, Shapes
from cvzoo.data.problems import DataError
from cvzoo.data.shapes import CLASSES, MIN_VISIBLE, ShapesDataset, draw, paint
from cvzoo.metrics.coco import evaluate_coco
from cvzoo.ops.masks import mask_json, to_bitmap
from cvzoo.structures import IGNORE


def test_a_image_is_a_function_of_split_and_index() -> None:
    train, again, val = (ShapesDataset(Shapes(), split) for split in ("train", "train", "val"))
    again[5]
    for index in (0, 17):
        assert torch.equal(train[index].image, again[index].image)
        assert torch.equal(train[index].target.boxes, again[index].target.boxes)
        assert not torch.equal(train[index].image, val[index].image)
    assert train[0].size == (128, 128)


@pytest.mark.parametrize("seed", range(20))
def test_boxes_are_those_of_the_visible_pixels(seed: int) -> None:
    """Paint twice, with and without the last object: what changes are that object's pixels, none of them hidden."""
    painting = paint(96, 128, 4, np.random.default_rng(seed))
    full, less = painting.image, paint(96, 128, 3, np.random.default_rng(seed)).image
    rows, columns = np.nonzero((full != less).any(0))
    label, mask = painting.objects()[-1]
    assert 0 <= label < len(CLASSES)
    assert np.array_equal(np.argwhere(mask), np.argwhere((full != less).any(0)))
    box = draw(96, 128, 4, seed).target.boxes[-1].tolist()
    assert box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    colours = full[:, mask]
    assert (colours == colours[:, :1]).all()


def test_hidden_objects_are_not_annotated() -> None:
    shown = [len(draw(64, 64, 40, seed).target) for seed in range(5)]
    assert all(0 < count < 40 for count in shown)
    masks = np.stack([mask for _, mask in paint(64, 64, 40, np.random.default_rng(0)).objects()])
    assert masks.sum(0).max() == 1  # a pixel shows one object
    assert 0 < MIN_VISIBLE < 1


def test_ground_truth_agrees_with_the_samples() -> None:
    dataset = ShapesDataset(Shapes(val_images=20), "val")
    truth = dataset.ground_truth
    assert [c["name"] for c in truth["categories"]] == dataset.classes == ["rectangle", "ellipse", "triangle"]
    assert [image["id"] for image in truth["images"]] == dataset.image_ids.tolist()
    assert min(a["id"] for a in truth["annotations"]) == 1
    for index in range(20):
        sample = dataset[index]
        annotations = [a for a in truth["annotations"] if a["image_id"] == sample.image_id]
        assert [a["category_id"] - 1 for a in annotations] == sample.target.labels.tolist()
        assert len(annotations) >= 1
        for annotation, (x1, y1, x2, y2) in zip(annotations, sample.target.boxes.tolist()):
            assert annotation["bbox"] == [x1, y1, x2 - x1, y2 - y1]
            assert 0 < annotation["area"] <= annotation["bbox"][2] * annotation["bbox"][3]


def test_masks_are_the_visible_pixels() -> None:
    for seed in range(5):
        sample = draw(96, 128, 4, seed, masks=True)
        objects = paint(96, 128, 4, np.random.default_rng(seed)).objects()
        assert sample.target.masks is not None
        for code, (_, mask) in zip(sample.target.masks, objects, strict=True):
            assert np.array_equal(to_bitmap(code, (96, 128)), mask)


def test_ground_truth_has_masks_when_asked() -> None:
    _, val = build_datasets(Data(source="shapes", masks=True, shapes=Shapes(val_images=5)))
    truth = val.ground_truth
    found = [{**annotation, "score": 1.0} for annotation in truth["annotations"]]
    assert evaluate_coco(truth, json.loads(json.dumps(found)), "mask").stats["mask_AP"] == pytest.approx(1)
    codes = [mask_json(mask) for index in range(5) for mask in val[index].target.masks or []]
    assert codes == [annotation["segmentation"] for annotation in truth["annotations"]]
    some = build_dataset(Data(source="shapes", masks=True, limit=3), "train")
    assert all(len(some[index].target.masks or []) >= 2 for index in range(3))
    _, without = build_datasets(Data(source="shapes", shapes=Shapes(val_images=5)))
    assert without[0].target.masks is None
    assert torch.equal(without[0].image, val[0].image)
    assert not any("segmentation" in annotation for annotation in without.ground_truth["annotations"])


def test_task_is_as_described() -> None:
    samples = [ShapesDataset(Shapes(), "train")[i] for i in range(200)]
    counts = [len(sample.target) for sample in samples]
    assert min(counts) == 1
    assert max(counts) == 5
    boxes = torch.cat([sample.target.boxes for sample in samples])
    sides = (boxes[:, 2:] - boxes[:, :2]).flatten()
    assert ((sides >= 16) & (sides <= 64)).float().mean() > 0.85
    labels = torch.cat([sample.target.labels for sample in samples]).bincount(minlength=3)
    assert labels.min() > 0.25 * labels.sum()


@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 470), (800, 1333)])
def test_any_size(height: int, width: int) -> None:
    sample = draw(height, width, 7, 0)
    assert sample.size == sample.original_size == (height, width)
    assert sample.image.dtype == torch.uint8
    assert 1 <= len(sample.target) <= 7
    assert (sample.target.boxes <= torch.tensor([width, height, width, height])).all()


def test_built_from_a_recipe() -> None:
    train, val = build_datasets(Data(source="shapes"))
    assert (len(train), len(val)) == (20_000, 100)
    few = build_dataset(Data(source="shapes", limit=4), "val")
    assert len(few) == 4
    assert all(len(few[i].target) >= 2 for i in range(4))
    assert torch.equal(few[0].image, train[int(few.image_ids[0])].image)


# Label maps


def test_label_maps_show_what_the_masks_show() -> None:
    """The visible pixels of an annotated object have its class, those of a hidden one none, the rest is background."""
    ignored = 0
    for seed in range(10):
        objects, pixels = draw(64, 80, 30, seed, masks=True), draw(64, 80, 30, seed, label_maps=True)
        assert torch.equal(objects.image, pixels.image)
        assert len(pixels.target) == 0
        owner = paint(64, 80, 30, np.random.default_rng(seed)).owner
        expected = np.where(owner > 0, IGNORE, 0)
        for label, code in zip(objects.target.labels.tolist(), objects.target.masks or [], strict=True):
            expected[to_bitmap(code, (64, 80)).astype(bool)] = label + 1
        assert pixels.target.label_map is not None
        assert pixels.target.label_map.dtype == torch.uint8
        assert np.array_equal(pixels.target.label_map, expected)
        ignored += np.count_nonzero(expected == IGNORE)
    assert ignored > 0


def test_label_maps_from_a_recipe() -> None:
    settings = Shapes(val_images=5, label_maps=True)
    data = Data(source="shapes", shapes=settings)
    train, val = build_datasets(data)
    assert isinstance(val, ShapesDataset)
    assert val.classes == train.classes == ["background", "rectangle", "ellipse", "triangle"]
    assert val.category_ids == [0, 1, 2, 3]
    assert val.names == [f"val_{number}" for number in range(5)]
    _, objects = build_datasets(replace(data, shapes=Shapes(val_images=5)))
    for index in range(5):
        sample = val[index]
        assert sample.target.label_map is not None
        assert sample.target.label_map.shape == sample.size == sample.original_size
        assert torch.equal(sample.image, objects[index].image)
        assert set(val.labels(index).tolist()) == {0, *(objects.labels(index) + 1).tolist()}
    few = build_dataset(replace(data, limit=4), "val")
    assert few.image_ids.tolist() == [0, 1, 2, 3]
    assert torch.equal(few[1].image, train[1].image)
    with pytest.raises(DataError, match=r"there are only 20000 images; lower --data\.limit"):
        build_dataset(replace(data, limit=20_001), "train")
