"""Segmentations: what is read, what is refused, what training and evaluation see of them."""

from __future__ import annotations

import json
import logging
import pickle
import re
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from metrics.detections import perturbed_masks
from pycocotools import mask as coco
from pycocotools.coco import COCO

from cvzoo.cli import main
from cvzoo.data.build import build_dataset, build_datasets
from cvzoo.data.check import check
from cvzoo.data.coco import CocoDataset
from cvzoo.data.config import Data
from cvzoo.data.loader import EvaluationBatches, training_batches
from cvzoo.data.problems import DataError
from cvzoo.data.segments import decompress, pack
from cvzoo.metrics.coco import evaluate_coco
from cvzoo.ops.masks import mask_json, to_bitmap
from cvzoo.ops.rle import encode
from cvzoo.structures import Mask

SQUARE = [5.0, 5, 15, 5, 15, 10, 5, 10]
SIZE = (30, 40)


def plain(pixels: np.ndarray) -> dict[str, Any]:
    """COCO's uncompressed run-length code."""
    runs = [(value, len(list(run))) for value, run in groupby(pixels.T.reshape(-1).tolist())]
    first = [0] if runs[0][0] else []  # the first run is of zeros
    return {"size": list(pixels.shape), "counts": first + [length for _, length in runs]}


PIXELS = np.zeros(SIZE, np.uint8)
PIXELS[3:9, 2:20] = 1
JSON = [("annotations", ".json")]
CODE = mask_json(encode(PIXELS))


def outlined(folder: Any) -> dict[str, Any]:
    """The folder's annotations, each with a polygon."""
    content = folder.content()
    for record in content["annotations"]:
        record["segmentation"] = [SQUARE]
    return content


def changed(folder: Any, **values: Any) -> dict[str, Any]:
    """With other values in the second annotation (id 11, image 1)."""
    content = outlined(folder)
    content["annotations"][1].update(values)
    return content


def counts(value: Any) -> dict[str, Any]:
    return {"size": list(SIZE), "counts": value}


BAD: dict[str, tuple[Any, str]] = {
    "null": (None, "it has no segmentation; give it polygons"),
    "empty": ([], "it has no segmentation"),
    "text": ("abc", "its segmentation is a str"),
    "flat": (SQUARE, "its polygon 0 is not a list of numbers"),
    "nested": ([[[1, 2], [3, 4]]], "its polygon 0 is not a list of numbers"),
    "ragged": ([[[1, 2], [3]]], "its polygon 0 is not a list of numbers"),
    "words": ([["1"] * 6], "its polygon 0 is not a list of numbers"),
    "odd": ([SQUARE, SQUARE[:7]], "its polygon 1 has an odd length, 7"),
    "nan": ([[*SQUARE[:7], float("nan")]], "its polygon 0 is not finite"),
    "infinite": ([[*SQUARE[:7], float("inf")]], "its polygon 0 is not finite"),
    "far": ([[*SQUARE[:7], 1e12]], "its polygon 0 lies far outside its image of 40 x 30 pixels"),
    "no size": ({"counts": [1200]}, "its run-length code has the size None"),
    "nothing": ({}, "its run-length code has the size None"),
    "other size": ({**CODE, "size": [40, 30]}, r"has the size \[40, 30\], its image \[height, width\] = \[30, 40\]"),
    "no counts": ({"size": [30, 40]}, "has counts None"),
    "float counts": (counts([600.0, 600.0]), r"has counts \[600.0, 600.0\]"),
    "negative counts": (counts([1300, -200, 100]), "has negative counts"),
    "too few pixels": (counts([600, 500]), "covers 1100 pixels, its image has 40 x 30"),
    "garbage": (counts("hello world"), "cannot be decoded"),
    "cut off": (counts(CODE["counts"][:-1]), "run-length code (cannot be decoded|covers)"),
    "endless": (counts("o" * 40 + "0"), "cannot be decoded"),
    "no text": (counts(""), "cannot be decoded"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_segmentations(folder: Any, name: str) -> None:
    value, message = BAD[name]
    folder.write(changed(folder, segmentation=value))
    with pytest.raises(DataError, match=rf"train\.json: image 1: annotation 11: .*{message}") as caught:
        build_dataset(folder.data(masks=True), "train")
    (problem,) = caught.value.problems
    assert problem.remedy
    build_dataset(folder.data(), "train")  # nobody asked for masks


def test_missing_segmentations_in_both_splits_and_other_problems_are_all_named(folder: Any) -> None:
    content = changed(folder, segmentation=[SQUARE[:5], SQUARE[:7], SQUARE])
    content["annotations"][3]["segmentation"] = [SQUARE[:7]]
    content["annotations"][2]["bbox"] = [1, 2, -3, 4]
    folder.write(content)  # the other split has no segmentation at all
    with pytest.raises(DataError) as caught:
        build_datasets(folder.data(masks=True))
    reasons = [problem.reason for problem in caught.value.problems]
    assert len(reasons) == 3 + 1
    assert reasons[3] == "none of its 8 objects has a segmentation, from which masks are learnt"
    assert [reason.split()[-1] for reason in reasons[:3]] == ["5", "size", "7"]


@pytest.mark.parametrize(
    ("value", "warnings", "parts"),
    [
        ([SQUARE[:4], SQUARE], ["its polygon 0 has fewer than 3 points; the polygon is skipped"], 1),
        ([SQUARE[:4], []], ["polygon 0 has fewer", "polygon 1 has fewer", "no sound polygon; it is skipped"], None),
        (counts([1200]), ["its mask has no pixel; it is skipped"], None),
    ],
)
def test_what_is_skipped(folder: Any, caplog: Any, value: Any, warnings: list[str], parts: int | None) -> None:
    for split in ("train", "val"):
        folder.write(changed(folder, segmentation=value), split)
    with caplog.at_level(logging.WARNING):
        dataset = build_dataset(folder.data(masks=True), "train")
    masks = dataset[0].target.masks
    assert masks is not None
    assert [len(mask) for mask in masks] == ([1] if parts is None else [1, parts])
    assert all(re.search(f"annotation 11: .*{warning}", caplog.text) for warning in warnings)
    val = build_dataset(folder.data(masks=True), "val")  # the evaluation has what training has
    assert [len(a["segmentation"]) for a in val.ground_truth["annotations"] if a["image_id"] == 1] == [1] * len(masks)


@pytest.mark.parametrize("value", [plain(PIXELS), CODE])
def test_run_length_codes_become_compressed(folder: Any, value: Any) -> None:
    folder.write(changed(folder, segmentation=value))
    dataset = build_dataset(folder.data(masks=True), "train")
    masks = dataset[0].target.masks
    assert masks is not None
    polygon, code = masks
    assert isinstance(polygon, list)
    assert polygon[0].tolist() == SQUARE
    assert polygon[0].dtype == np.float64
    assert code == encode(PIXELS)
    assert dataset.ground_truth["annotations"][1]["segmentation"] == CODE


def test_nothing_is_held_without_masks(folder: Any) -> None:
    folder.write(outlined(folder))
    dataset = build_dataset(folder.data(), "train")
    assert dataset[0].target.masks is None
    assert "segmentation" not in dataset.ground_truth["annotations"][0]


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 1000), st.sampled_from([0.02, 0.5, 1.0]))
def test_codes_are_read_as_pycocotools_does(height: int, width: int, seed: int, share: float) -> None:
    pixels = (np.random.default_rng(seed).random((height, width)) < share).astype(np.uint8)
    assert decompress(encode(pixels)["counts"]).tolist() == plain(pixels)["counts"]


@given(st.lists(st.integers(0, 2**27), min_size=1, max_size=20))
def test_long_runs_are_read(lengths: list[int]) -> None:
    """pycocotools' own encoder has room for 30 bits a run, six characters, and forgets the zero that ends them.

    A first run of one character leaves room for it; without, the encoder writes past its memory, and the process may
    die much later, in another test.
    """
    lengths = [0, *lengths]
    code: Any = coco.frPyObjects({"size": [2**16, 2**16], "counts": lengths}, 2**16, 2**16)  # pyright: ignore
    assert decompress(code["counts"]).tolist() == lengths


def test_packed_masks_come_out_as_they_went_in() -> None:
    square = np.array(SQUARE)
    masks: list[Mask] = [[square, square + 1], encode(PIXELS), [square + 2]]
    packed = pickle.loads(pickle.dumps(pack(masks)))
    for number, mask in enumerate(masks):
        assert mask_json(packed.mask(number, SIZE)) == mask_json(mask)
    packed.mask(0, SIZE)[0][:] = 0  # a copy
    assert packed.mask(0, SIZE)[0].tolist() == SQUARE
    assert len(pack([]).polygons) == 0


def test_crowds_need_no_segmentation(folder: Any) -> None:
    """Image 1 is a crowd alone, with a broken segmentation; image 2 has a crowd without any."""
    content = outlined(folder)
    first, second, third, *_ = content["annotations"]
    first.update(iscrowd=1, segmentation="abc")
    second.update(iscrowd=1, segmentation=plain(PIXELS))
    third.update(iscrowd=1)
    del third["segmentation"]
    for split in ("train", "val"):
        folder.write(content, split)
    train, val = build_datasets(folder.data(masks=True))
    assert train.image_ids.tolist() == [2, 3, 4]
    everything = build_dataset(folder.data(masks=True, keep_empty=True), "train")
    assert everything[0].target.masks == []
    truth = val.ground_truth
    assert len(truth["annotations"]) == 8
    assert truth["annotations"][0]["segmentation"] == [[0, 2, 10, 2, 10, 11, 0, 11]]  # its box
    found = [
        {"image_id": 1, "category_id": 3, "score": 0.99, "segmentation": [[1.0, 3, 9, 3, 9, 9, 1, 9]]},  # in the crowd
        *({**a, "score": 0.9} for a in truth["annotations"] if not a["iscrowd"]),
    ]
    found = [{**d, "segmentation": mask_json(encode(to_bitmap([np.array(d["segmentation"][0])], SIZE)))} for d in found]
    for backend in ("hotcoco", "pycocotools"):
        assert evaluate_coco(truth, found, "mask", backend).stats["mask_AP"] == pytest.approx(1)


def test_area_is_the_masks_where_the_file_has_none(folder: Any) -> None:
    folder.write(changed(folder, area=7), "val")
    annotations = build_dataset(folder.data(masks=True), "val").ground_truth["annotations"]
    assert [annotation["area"] for annotation in annotations[:2]] == [50, 7]


def test_limit_counts_objects_with_masks(folder: Any) -> None:
    content = changed(folder, segmentation=[SQUARE[:4]])
    folder.write(content)
    train, val = build_datasets(folder.data(masks=True, limit=2))
    assert train.image_ids.tolist() == val.image_ids.tolist() == [2, 3]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("cache", [False, True])
def test_loaders_pass_masks(folder: Any, workers: int, cache: bool) -> None:
    folder.write(changed(folder, segmentation=CODE))
    data = folder.data(masks=True, workers=workers, cache=cache, flip=1.0)
    dataset = build_dataset(data, "train")
    (batch,) = training_batches(dataset, data, batch=4, seed=0, start_step=0, steps=1)
    for target, size in zip(batch.targets, batch.sizes):
        assert target.masks is not None
        assert len(target.masks) == len(target) == 2
        for mask in target.masks:
            assert to_bitmap(mask, size).any()
    ((plain_batch,),) = EvaluationBatches(dataset.select(np.array([0])), [data])
    flipped = batch.targets[batch.image_ids.index(1)].masks
    straight = plain_batch.targets[0].masks
    assert flipped is not None
    assert straight is not None
    size = plain_batch.sizes[0]
    assert np.array_equal(to_bitmap(flipped[1], size), to_bitmap(straight[1], size)[:, ::-1])
    mirrored, outline = flipped[0], straight[0]
    assert isinstance(mirrored, list)
    assert isinstance(outline, list)
    np.testing.assert_allclose(mirrored[0][::2], size[1] - outline[0][::2])


def test_check_reads_segmentations_when_asked(folder: Any) -> None:
    assert check(folder.data()).errors == []
    assert len(check(folder.data(masks=True)).errors) == 2  # one for each split
    for split in ("train", "val"):
        folder.write(changed(folder, segmentation=[SQUARE, SQUARE[:4]]), split)
    report = check(folder.data(masks=True))
    assert report.errors == []
    assert len([warning for warning in report.warnings if "polygon" in warning.reason]) == 2


def test_the_command_checks_segmentations_when_asked(folder: Any, capsys: pytest.CaptureFixture[str]) -> None:
    splits = [f"--{split}.{name}={split}{end}" for split in ("train", "val") for name, end in (("images", ""), *JSON)]
    assert main(["data", "check", str(folder.root), *splits]) == 0
    assert main(["data", "check", str(folder.root), *splits, "--masks"]) == 2
    assert "2 errors" in capsys.readouterr().out


@pytest.mark.parametrize("split", ["train", "val"])
def test_real_masks_have_the_annotated_area(real_coco: Data, split: str) -> None:
    source = getattr(real_coco, split)
    dataset = CocoDataset.open(real_coco.root, source, masks=True)
    reference = COCO(str(real_coco.root / source.annotations))
    gaps = []
    for index, image_id in enumerate(dataset.image_ids.tolist()):
        wanted = reference.loadAnns(reference.getAnnIds([image_id], iscrowd=False))
        masks = dataset.target(index).masks
        assert masks is not None
        assert len(masks) == len(wanted)
        size = (int(dataset.sizes[index][0]), int(dataset.sizes[index][1]))
        for mask, annotation in zip(masks, wanted):
            pixels = to_bitmap(mask, size)
            assert np.array_equal(pixels, reference.annToMask(annotation))
            gaps.append(abs(pixels.sum() - annotation["area"]) / max(annotation["area"], 100))
    assert len(gaps) == (2351 if split == "train" else 950)
    assert np.mean(np.array(gaps) < 0.05) > 0.95


def test_real_ground_truth_is_the_files(real_coco: Data) -> None:
    truth = build_dataset(replace(real_coco, masks=True), "val").ground_truth
    raw = json.loads((real_coco.root / real_coco.val.annotations).read_bytes())
    found = perturbed_masks(raw)
    ours, theirs = evaluate_coco(truth, found, "mask"), evaluate_coco(raw, found, "mask", "pycocotools")
    assert ours.stats == pytest.approx(theirs.stats, abs=1e-6)


def test_real_masks_follow_their_images(real_coco: Data) -> None:
    """Through the training transforms, a mask stays in its box."""
    data = replace(real_coco, masks=True, short_sides=(200,), scale_jitter=(0.5, 2.0))
    dataset = build_dataset(data, "train")
    for batch in training_batches(dataset, data, batch=8, seed=0, start_step=0, steps=3):
        for target, size in zip(batch.targets, batch.sizes):
            assert target.masks is not None
            for mask, box in zip(target.masks, target.boxes):
                rows, columns = np.nonzero(to_bitmap(mask, size))
                if len(rows):
                    tight = torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
                    assert (tight[:2] >= box[:2] - 2).all()
                    assert (tight[2:] <= box[2:] + 2).all()
