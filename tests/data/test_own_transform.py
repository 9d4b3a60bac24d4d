"""The user's own function: found, seeded, and stopped by name before it spoils a training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cvzoo.data.build import build_dataset
from cvzoo.data.config import Data, Shapes
from cvzoo.data.loader import check_transform, training_batches
from cvzoo.data.own_transform import transformed
from cvzoo.data.problems import DataError
from cvzoo.data.shapes import draw
from cvzoo.structures import Sample

HEAD = """
from dataclasses import replace
import numpy as np, torch
from torchvision.transforms import v2
from cvzoo.structures import Sample, Target
from cvzoo.data.transforms import flip

def augment(sample, generator):
"""
DATA = Data(
    source="shapes",
    shapes=Shapes(size=48, train_images=6),
    short_sides=(48,),
    test_short_side=48,
    canvas=(48, 48),
    masks=True,
    workers=0,
)


def written(folder: Path, body: str) -> Data:
    """The settings with a function of this body; each in a file of its own, since files are imported once."""
    file = folder / "mine.py"
    file.write_text(HEAD + "".join(f"    {line}\n" for line in body.strip().splitlines()))
    return replace(DATA, transform=f"{file}:augment")


def called(data: Data, seed: int = 0) -> Sample:
    return transformed(draw(48, 48, 4, 1, masks=True), data, 3, np.random.default_rng(seed))


def test_its_result_is_taken(tmp_path: Path) -> None:
    data = written(tmp_path, "return flip(sample) if generator.random() < 0.5 else sample")
    found = [called(data, seed) for seed in range(20)]
    lefts = {tuple(sample.target.boxes[:, 0].tolist()) for sample in found}
    assert len(lefts) == 2
    assert len({sample.image[0, 0, 0].item() for sample in found}) == 2
    assert torch.equal(found[3].image, called(data, 3).image)


def test_ids_need_not_be_copied_and_torchs_chance_is_seeded(tmp_path: Path) -> None:
    data = written(tmp_path, "return Sample(v2.ColorJitter(0.5)(sample.image), sample.target)")
    before = torch.get_rng_state()
    sample = replace(draw(48, 48, 4, 1, masks=True), image_id=12)
    first, again, other = (transformed(sample, data, 3, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert (first.image_id, first.original_size) == (12, (48, 48))
    assert torch.equal(first.image, again.image)
    assert not torch.equal(first.image, other.image)
    assert torch.equal(before, torch.get_rng_state())


def test_it_may_write_to_what_it_is_given(tmp_path: Path) -> None:
    data = written(
        tmp_path, "sample.image[:] = 0\nsample.target.boxes *= 0.5\nsample.target.masks.clear()\nreturn sample"
    )
    sample = draw(48, 48, 4, 1, masks=True)
    image, boxes = sample.image.clone(), sample.target.boxes.clone()
    with pytest.raises(DataError, match="masks"):
        transformed(sample, data, 3, np.random.default_rng(0))
    assert torch.equal(sample.image, image)
    assert torch.equal(sample.target.boxes, boxes)
    assert sample.target.masks


UNSOUND = {
    "return None": "returned NoneType, not a Sample",
    "return replace(sample, image=sample.image / 255)": r"image is float32 of \(3, 48, 48\), not uint8",
    "return replace(sample, image=sample.image[:, :0])": r"image is uint8 of \(3, 0, 48\)",
    "return replace(sample, image=sample.image.repeat(1, 2, 1))": "image, 96 x 48, is larger than the canvas, 48 x 48",
    "sample.target.boxes = sample.target.boxes + 30\nreturn sample": r"boxes reach out of the image of 48 x 48, the f",
    "sample.target.boxes[0] *= float('nan')\nreturn sample": "1 of its boxes reach out of the image",
    "sample.target.boxes[0, 2] = sample.target.boxes[0, 0]\nreturn sample": "1 of its boxes have no width or height",
    "sample.target.boxes = sample.target.boxes.double()\nreturn sample": "boxes are float64 .*, not float32",
    "sample.target.labels = sample.target.labels[1:]\nreturn sample": "boxes with . labels",
    "sample.target.labels += 3\nreturn sample": "the classes are 0 to 2",
    "sample.target.labels = sample.target.labels.int()\nreturn sample": "labels are int32",
    "sample.target.masks = sample.target.masks[1:]\nreturn sample": "boxes with . masks",
    "sample.target.masks = None\nreturn sample": "must return masks where it is given them",
    "sample.target.label_map = sample.image[0]\nreturn sample": "label map where it is given one, and none otherwise",
    "return 1 / 0": r"ZeroDivisionError in .*mine\.py, line 9: division by zero",
}


@pytest.mark.parametrize("body", UNSOUND)
def test_what_cannot_be_trained_on_is_named(body: str, tmp_path: Path) -> None:
    data = written(tmp_path, body)
    with pytest.raises(DataError, match=rf"mine\.py: image 0: augment: .*{UNSOUND[body]}.*; correct it; docs/augm"):
        called(data)


def test_it_is_tried_before_training(tmp_path: Path) -> None:
    dataset = build_dataset(DATA, "train")
    check_transform(dataset, DATA, 0)
    check_transform(dataset, written(tmp_path / "a" if (tmp_path / "a").mkdir() else tmp_path, "return sample"), 0)
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match="returned NoneType"):
        check_transform(dataset, written(tmp_path / "b", "return None"), 0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "nowhere.py:augment",
            "FileNotFoundError .*: there is no file nowhere.py; a module's folder must be on PYTHONPATH",
        ),
        ("no_such_module:augment", "ModuleNotFoundError .*no_such_module"),
        ("cvzoo.data.transforms:nothing", "cvzoo.data.transforms has no function nothing; define it there"),
    ],
)
def test_what_cannot_be_imported(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf"data\.transform '{name}'.*{message}"):
        check_transform(build_dataset(DATA, "train"), replace(DATA, transform=name), 0)


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_call_it_and_tell_what_is_wrong(workers: int, tmp_path: Path) -> None:
    body = "assert sample.image_id != 4, 'not this one'\nsample.image[:] = generator.integers(256)\nreturn sample"
    data = replace(written(tmp_path, body), workers=workers)
    batches = training_batches(build_dataset(data, "train"), data, batch=2, seed=0, start_step=0, steps=3)
    with pytest.raises(DataError, match=r"mine\.py: image 4: augment: AssertionError .*not this one"):
        list(batches)
