"""Surfaces of people: what is read, what is refused, which images are trained on, what the evaluation sees."""

from __future__ import annotations

import copy
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cvzoo.cli import main
from cvzoo.data.build import build_dataset
from cvzoo.data.check import check
from cvzoo.data.coco import CocoDataset
from cvzoo.data.config import Data, Split
from cvzoo.data.loader import training_batches
from cvzoo.data.problems import DataError
from cvzoo.data.surfaces import SIDE, surface_json
from cvzoo.ops import rle
from cvzoo.structures import Surface
from cvzoo.tasks.draw_surfaces import draw_surfaces

DEMO = Path(os.environ.get("CVZOO_DATA", Path(__file__).parents[3] / "shared" / "data")) / "densepose_demo"


def mask(rows: slice) -> dict[str, Any]:
    bitmap = np.zeros((SIDE, SIDE), np.uint8)
    bitmap[rows] = 1
    return {"size": [SIDE, SIDE], "counts": rle.encode(bitmap)["counts"].decode()}


POINTS: dict[str, Any] = {
    "dp_x": [0.0, 128, 256],
    "dp_y": [10.5, 20, 30],
    "dp_I": [1.0, 2, 24],
    "dp_U": [0.0, 0.5, 1],
    "dp_V": [1.0, 0.25, 0],
}
MASKS = {"dp_masks": [mask(slice(0, 100)), [], mask(slice(50, 60)), *([[]] * 11)]}


def with_surface(folder: Any, *numbers: int, **fields: Any) -> dict[str, Any]:
    """The folder's annotations, of which these have a surface."""
    content = folder.content()
    for number in numbers:
        content["annotations"][number] |= copy.deepcopy({**POINTS, **MASKS, **fields})
    return content


def opened(folder: Any) -> CocoDataset:
    return CocoDataset.open(folder.root, Split(images="train", annotations="train.json"), surfaces=True)


def test_they_are_read_beside_the_boxes(folder: Any) -> None:
    folder.write(with_surface(folder, 3))
    dataset = opened(folder)
    assert dataset[0].target.surfaces == [None, None]
    _, surface = dataset.target(1).surfaces or ()
    assert surface is not None
    assert surface.frame == (5, 2, 15, 12)
    assert surface.points_P2.tolist() == [[0, 10.5], [128, 20], [256, 30]]
    assert surface.parts_P.tolist() == [1, 2, 24]
    assert surface.uv_P2.tolist() == [[0, 1], [0.5, 0.25], [1, 0]]
    assert surface.coarse is not None
    assert surface.coarse[:, 7].tolist() == [1] * 50 + [3] * 10 + [1] * 40 + [0] * 156
    fields = surface_json(surface)
    assert POINTS.items() <= fields.items()
    assert [bool(code) for code in fields["dp_masks"]] == [True, False, True] + [False] * 11
    content = folder.content()
    content["annotations"][3] |= fields
    folder.write(content)
    _, again = opened(folder).target(1).surfaces or ()
    assert again is not None
    assert again.coarse is not None
    assert torch.equal(again.coarse, surface.coarse)


def test_nobody_asks_for_them(folder: Any) -> None:
    folder.write(with_surface(folder, 3, dp_U=["broken"]))
    dataset = CocoDataset.open(folder.root, Split(images="train", annotations="train.json"))
    assert dataset[1].target.surfaces is None
    assert not any(name.startswith("dp_") for a in dataset.ground_truth["annotations"] for name in a)


def test_the_frame_is_the_whole_box_and_masks_are_optional(folder: Any) -> None:
    content = with_surface(folder, 0)
    content["annotations"][0]["bbox"] = [-5, -10, 100, 200]
    del content["annotations"][0]["dp_masks"]
    content["annotations"][1] |= MASKS  # nobody annotated points
    folder.write(content)
    target = opened(folder).target(0)
    surface, none = target.surfaces or ()
    assert surface is not None
    assert surface.frame == (-5, -10, 95, 190)
    assert target.boxes[0].tolist() == [0, 0, 40, 30]
    assert surface.coarse is None
    assert none is None


def test_the_evaluation_sees_what_was_annotated(folder: Any) -> None:
    folder.write(with_surface(folder, 3))
    annotations = opened(folder).ground_truth["annotations"]
    assert {**POINTS, **MASKS}.items() <= annotations[3].items()
    assert "dp_x" not in annotations[2]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"dp_x": [1.0, 2]}, "its points are not equally many: dp_x 2, dp_y 3, dp_I 3, dp_U 3, dp_V 3"),
        ({"dp_x": [1.0, 2, 300]}, "its dp_x has numbers outside 0..256, 1 to 300"),
        ({"dp_y": [-20.0, 2, 7]}, "its dp_y has numbers outside 0..256, -20 to 7"),
        ({"dp_I": [0, 1, 2]}, "its dp_I has numbers outside 1..24, 0 to 2"),
        ({"dp_I": [1, 1.5, 2]}, "its dp_I has parts that are not whole numbers"),
        ({"dp_U": [0, 0.5, 1.5]}, "its dp_U has numbers outside 0..1, 0 to 1.5"),
        ({"dp_V": [0, 0.5, None]}, "its dp_V is not a list of finite numbers"),
        ({"dp_V": [0, 0.5, float("nan")]}, "its dp_V is not a list of finite numbers"),
        ({"dp_V": {"a": 1}}, "its dp_V is not a list of finite numbers"),
        ({"dp_masks": "none"}, "its dp_masks are not a list of up to 14 masks"),
        ({"dp_masks": [[]] * 15}, "its dp_masks are not a list of up to 14 masks"),
        ({"dp_masks": [[], [1, 2]]}, r"its dp_masks\[1\] is no run-length code"),
        ({"dp_masks": [{"size": [9, 9], "counts": "0"}]}, r"its dp_masks\[0\] has the size \[9, 9\]"),
        ({"dp_masks": [{"size": [256, 256], "counts": "\n"}]}, r"its dp_masks\[0\] cannot be decoded"),
    ],
)
def test_refused(folder: Any, fields: dict[str, Any], reason: str) -> None:
    folder.write(with_surface(folder, 2, **fields))
    with pytest.raises(DataError, match=f"image 2: annotation 20: {reason}.*; correct it as docs/dense_pose.md says"):
        opened(folder)


def test_rounding_is_no_problem(folder: Any) -> None:
    folder.write(with_surface(folder, 3, dp_x=[-0.5, 3, 257], dp_U=[-0.001, 0.5, 1.001]))
    _, surface = opened(folder).target(1).surfaces or ()
    assert surface is not None
    assert surface.points_P2[:, 0].tolist() == [-0.5, 3, 257]
    assert surface.uv_P2[:, 0].tolist() == [0, 0.5, 1]


def test_ids_of_people_may_repeat(folder: Any) -> None:
    """As in DensePose's own files of val2014; nothing asks for an annotation by its id."""
    content = with_surface(folder, 3)
    content["annotations"][5]["id"] = content["annotations"][3]["id"]
    folder.write(content)
    assert opened(folder).counts.tolist() == [2, 2, 2, 2]
    with pytest.raises(DataError, match="repeats the id 21"):
        CocoDataset.open(folder.root, Split(images="train", annotations="train.json"))


def test_all_problems_at_once(folder: Any, capsys: pytest.CaptureFixture[str]) -> None:
    content = with_surface(folder, 0, 2)
    del content["annotations"][0]["dp_U"], content["annotations"][0]["dp_I"]
    content["annotations"][2]["dp_masks"][0]["counts"] = "\n"
    folder.write(content)
    with pytest.raises(DataError, match="2 problems") as caught:
        opened(folder)
    assert "annotation 10: its surface has no dp_I, dp_U" in str(caught.value)
    arguments = ["--train.annotations", "train.json", "--train.images", "train"]
    arguments += ["--val.annotations", "val.json", "--val.images", "val"]
    assert main(["data", "check", str(folder.root), *arguments]) == 0
    capsys.readouterr()
    assert main(["data", "check", str(folder.root), *arguments, "--surfaces"]) == 2
    assert "annotation 20: its dp_masks[0]" in capsys.readouterr().out


def test_training_takes_the_images_where_somebody_has_one(folder: Any) -> None:
    folder.write(with_surface(folder, 3, 6))
    folder.write(folder.content(), "val")
    data = folder.data(surfaces=True, flip=0)
    train, val = build_dataset(data, "train"), build_dataset(data, "val")
    assert train.image_ids.tolist() == [2, 4]
    assert len(val) == 4
    assert build_dataset(folder.data(surfaces=True, flip=0, limit=1), "val").image_ids.tolist() == [2]
    folder.write(folder.content())
    with pytest.raises(DataError, match=r"no person has an annotated surface .*--data\.no-surfaces"):
        build_dataset(data, "train")


def test_several_files_make_one_split(folder: Any) -> None:
    other = with_surface(folder, 1)
    for image in other["images"]:
        image["id"] += 100
    for annotation in other["annotations"]:
        annotation["image_id"] += 100
    folder.write(other, "val")
    split = Split(images="train,val", annotations="train.json,val.json")
    dataset = CocoDataset.open(folder.root, split, surfaces=True)
    assert dataset.image_ids.tolist() == [1, 2, 3, 4, 101, 102, 103, 104]
    assert dataset.path(5) == folder.root / "val" / "2.jpg"
    assert len(dataset.ground_truth["annotations"]) == 16
    assert dataset.with_surfaces().image_ids.tolist() == [101]
    assert dataset[4].target.surfaces != [None, None]
    report = check(folder.data(train=split, surfaces=True))
    assert not report.errors
    assert "8 images (0 without objects), 16 objects, 2 classes, 1 surfaces" in report.summary[0]


def test_every_file_has_a_folder(folder: Any) -> None:
    with pytest.raises(DataError, match="2 annotation files have 1 folders of images"):
        CocoDataset.open(folder.root, Split(images="train", annotations="train.json,val.json"))


def test_they_survive_processes(folder: Any) -> None:
    folder.write(with_surface(folder, 3))
    dataset = pickle.loads(pickle.dumps(opened(folder)))
    surface = dataset.target(1).surfaces[1]
    assert isinstance(surface, Surface)
    assert surface.parts_P.tolist() == [1, 2, 24]


@pytest.mark.skipif(not DEMO.exists(), reason=f"{DEMO} is absent; set CVZOO_DATA")
def test_the_real_instance_loads_and_draws() -> None:
    split = Split(images="images", annotations="annotations/densepose_demo.json")
    data = Data(root=DEMO, train=split, val=split, surfaces=True, flip=0, workers=0, short_sides=(200,))
    dataset = build_dataset(data, "train")
    (surface,) = dataset[0].target.surfaces or ()
    assert surface is not None
    assert surface.frame == (0, 0, 341, 355)
    assert len(surface.points_P2) == len(surface.parts_P) == len(surface.uv_P2) == 125
    assert surface.coarse is None
    (batch,) = training_batches(dataset, data, batch=1, seed=0, start_step=0, steps=1)
    (moved,) = batch.targets[0].surfaces or ()
    assert moved is not None
    assert moved.frame == pytest.approx((0, 0, 200, 208), abs=0.5)
    assert torch.equal(moved.points_P2, surface.points_P2)
    plain = np.asarray(draw_surfaces(dataset[0].image, dataset[0].target, dataset.classes))
    assert (plain != dataset[0].image.permute(1, 2, 0).numpy()).any(-1).sum() > 500
