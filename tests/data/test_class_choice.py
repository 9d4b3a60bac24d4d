"""Chosen, renamed and merged classes: the same as if somebody had changed the files by hand."""

from __future__ import annotations

import copy
import json
import pickle
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data.conftest import Folder
from data.maps import Maps
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cvzoo.data.build import build_dataset, build_datasets
from cvzoo.data.check import check
from cvzoo.data.class_choice import choose
from cvzoo.data.coco import CocoDataset
from cvzoo.data.config import Data, Shapes, Split
from cvzoo.data.loader import EvaluationBatches
from cvzoo.data.problems import DataError
from cvzoo.ops.masks import mask_json
from cvzoo.structures import IGNORE

NAMES = ("ant", "bee", "cat", "dog")
IDS = (4, 9, 2, 7)
RENAMED = st.dictionaries(st.sampled_from(NAMES), st.sampled_from((*NAMES, "elk")))


@st.composite
def contents(draw: st.DrawFn) -> dict[str, Any]:
    """A COCO-format file of four images and categories, with crowds and polygons."""
    annotations = []
    for number in range(draw(st.integers(1, 12))):
        x, y, w, h = (draw(st.integers(low, high)) for low, high in ((0, 25), (0, 15), (2, 14), (2, 14)))
        record = {"id": number + 1, "image_id": draw(st.integers(1, 4)), "category_id": draw(st.sampled_from(IDS))}
        record |= {"bbox": [x, y, w, h], "iscrowd": draw(st.integers(0, 1))}
        annotations.append(record | {"segmentation": [[x, y, x + w, y, x + w, y + h]], "area": w * h / 2})
    images = [{"id": i, "file_name": f"{i}.jpg", "height": 30, "width": 40} for i in range(1, 5)]
    categories = [{"id": i, "name": name} for i, name in zip(IDS, NAMES)]
    return {"images": images, "annotations": annotations, "categories": categories}


def by_hand(content: dict[str, Any], classes: list[str], new_names: dict[str, str]) -> dict[str, Any]:
    """The file as somebody would change it."""
    changed = copy.deepcopy(content)
    names = {c["id"]: new_names.get(c["name"], c["name"]) for c in content["categories"]}
    kept_names = {c["id"] for c in content["categories"] if names[c["id"]] == c["name"]}
    id_of: dict[str, int] = {}
    for own in [*sorted(kept_names), *sorted(names.keys() - kept_names)]:
        if names[own] in classes:
            id_of.setdefault(names[own], own)
    changed["categories"] = [{"id": i, "name": name} for name, i in id_of.items()]
    kept = [a for a in changed["annotations"] if names[a["category_id"]] in id_of]
    changed["annotations"] = [a | {"category_id": id_of[names[a["category_id"]]]} for a in kept]
    return changed


def opened(content: dict[str, Any], **choice: Any) -> CocoDataset:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "images").mkdir()
        for i in range(1, 5):
            Image.new("RGB", (40, 30)).save(root / "images" / f"{i}.jpg")
        (root / "all.json").write_text(json.dumps(content))
        split = Split(images="images", annotations="all.json")
        found = build_dataset(Data(root=root, train=split, val=split, masks=True, **choice), "val")
        assert isinstance(found, CocoDataset)
        assert found.ground_truth  # read while the file is there
        return found


@settings(max_examples=25)
@given(
    contents(),
    st.permutations(NAMES),
    st.integers(1, 4),
    st.dictionaries(st.sampled_from(NAMES), st.sampled_from((*NAMES, "elk"))),
)
def test_it_is_as_if_the_file_had_been_changed(
    content: dict[str, Any], order: list[str], count: int, new_names: dict[str, str]
) -> None:
    possible = list(dict.fromkeys(new_names.get(name, name) for name in order))
    classes = possible[:count]
    wanted = by_hand(content, classes, new_names)
    if not wanted["annotations"]:
        return  # a file without any box is an error of its own
    ours = opened(content, classes=tuple(classes), rename=tuple(f"{old}={new}" for old, new in new_names.items()))
    theirs = opened(wanted)
    assert ours.classes == classes
    reordered = theirs.in_order(classes)
    assert ours.category_ids == reordered.category_ids
    assert ours.counts.tolist() == theirs.counts.tolist()
    assert ours.digest == reordered.digest
    for index in range(4):
        one, other = ours.target(index), reordered.target(index)
        assert one.boxes.tolist() == other.boxes.tolist()
        assert one.labels.tolist() == other.labels.tolist() == ours.labels(index).tolist()
        assert one.masks is not None
        assert other.masks is not None
        assert list(map(mask_json, one.masks)) == list(map(mask_json, other.masks))
    assert ours.ground_truth == theirs.ground_truth


def test_training_leaves_out_images_that_show_no_chosen_class(folder: Folder) -> None:
    content = folder.content()
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] != 2 or a["category_id"] != 7]
    folder.write(content)
    train, val = build_datasets(folder.data(classes=("cat",)))
    assert (train.classes, train.category_ids) == (["cat"], [7])
    assert train.image_ids.tolist() == [1, 3, 4]
    assert len(val) == 4
    assert all((train[i].target.labels == 0).all() for i in range(3))
    again = pickle.loads(pickle.dumps(train))
    assert [again.labels(i).tolist() for i in range(3)] == [[0]] * 3


@pytest.mark.parametrize("classes", [(), ("cat",)])
def test_images_without_objects_are_loaded(folder: Folder, classes: tuple[str, ...]) -> None:
    content = folder.content()
    kept = [a for a in content["annotations"] if a["image_id"] != 2 and (a["image_id"], a["category_id"]) != (3, 7)]
    folder.write(content | {"annotations": kept}, "val")
    data = folder.data(classes=classes, masks=False)
    batches = EvaluationBatches(build_dataset(data, "val"), [data])
    counts = [len(views[0].targets[0]) for views in batches]
    assert counts == ([1, 0, 0, 1] if classes else [2, 0, 1, 2])


def test_names_without_a_choice_stay_in_the_order_of_the_data() -> None:
    names, labels = choose(["car", "bus", "van", "car"], (), (), Path())
    assert (names, labels.tolist()) == (["car", "bus", "van", "car"], [0, 1, 2, 3])
    names, labels = choose(["car", "bus", "van", "car"], (), ("van=bus",), Path())
    assert (names, labels.tolist()) == (["car", "bus"], [0, 1, 1, 0])
    names, labels = choose(["car", "bus", "van"], ("van", "auto"), ("car=auto",), Path())
    assert (names, labels.tolist()) == (["van", "auto"], [1, -1, 0])


def test_unknown_names_are_all_told_with_near_ones(folder: Folder) -> None:
    with pytest.raises(DataError) as caught:
        build_dataset(
            folder.data(classes=("cta", "Dog", "cat,dog", "zebra", "cow"), rename=("dgo=cow", "cat=cat")), "val"
        )
    message = str(caught.value)
    for part in (
        "val.json: has no class 'cta', which --data.classes names; did you mean cat?",
        "'Dog', which --data.classes names; did you mean dog?",
        "separate names with spaces",
        "has no class 'zebra', which --data.classes names; there are dog, cat",
        "has no class 'dgo', which --data.rename names; did you mean dog?",
    ):
        assert part in message
    assert check(folder.data(classes=("cta",))).errors
    with pytest.raises(DataError, match=r"has no class 'cat', .* it is called tom now"):
        build_dataset(folder.data(classes=("cat",), rename=("cat=tom",)), "val")
    with pytest.raises(DataError, match="'cat' is chosen twice"):
        build_dataset(folder.data(classes=("cat", "cat")), "val")


@pytest.mark.parametrize("entry", ["cat", "=dog", "cat="])
def test_a_new_name_has_an_old_one(entry: str) -> None:
    with pytest.raises(ValueError, match=r"data\.rename: .* is not of the form old=new"):
        Data(rename=(entry,))
    with pytest.raises(ValueError, match="drawn images have fixed classes"):
        Data(source="shapes", shapes=Shapes(), classes=("triangle",))


def test_label_maps_are_relabelled(maps: Maps) -> None:
    whole = build_dataset(maps.data(), "train")
    chosen = build_dataset(maps.data(classes=("sky", "way"), rename=("road=way",)), "train")
    assert chosen.classes == ["sky", "way"]
    meaning = np.full(256, IGNORE, np.uint8)
    meaning[[0, 2]] = [1, 0]
    for index in range(len(whole)):
        before, after = whole[index].target.label_map, chosen[index].target.label_map
        assert before is not None
        assert after is not None
        assert (after.numpy() == meaning[before.numpy()]).all()
        assert chosen.labels(index).tolist() == sorted({int(c) for c in np.unique(after.numpy())} - {IGNORE})
    merged = build_dataset(maps.data(rename=("car=road",)), "train")
    assert merged.classes == ["road", "sky"]
    assert sorted(merged.labels(0).tolist()) == [0]
    assert "2 classes" in check(maps.data(rename=("car=road",))).summary[0]
    with pytest.raises(DataError, match=r"has no class 'raod', .* did you mean road"):
        build_dataset(maps.data(classes=("raod",)), "train")
    (error,) = check(maps.data(classes=("raod",))).errors
    assert "raod" in str(error)
