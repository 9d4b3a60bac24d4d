"""The user's own function among the augmentations: found by its name, called with a sample, its result checked."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from cvzoo.data.config import Data
from cvzoo.data.problems import DataError, Problem
from cvzoo.ops.seeds import stream_seed
from cvzoo.structures import Sample, Target, size_of

Transform = Callable[[Sample, np.random.Generator], Sample]
SLACK = 1e-3
"""Pixels by which a box may reach beyond the image: rounding."""
REMEDY = "correct it; docs/augmentation.md says what it is given and what it returns"


@cache
def load_transform(name: str) -> Transform:
    """The function that `module:function` or `file.py:function` names, imported once in every process.

    Raises: ValueError with what is wrong, and what to do.
    """
    place, _, attribute = name.rpartition(":")
    try:
        module = _module_of_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    except Exception as error:  # whatever the file does
        remedy = "; a module's folder must be on PYTHONPATH, or name its file: path/to/file.py:function"
        raise ValueError(f"data.transform {name!r} cannot be imported: {_told(error)}{remedy}") from error
    function: Transform | None = getattr(module, attribute, None)
    if not callable(function):
        raise ValueError(
            f"data.transform {name!r}: {place} has no function {attribute}; define it there, or correct it"
        )
    return function


def transform_file(name: str) -> Path:
    """The file in which the module of the function stands."""
    place = name.rpartition(":")[0]
    return Path(place if place.endswith(".py") else importlib.import_module(place).__file__ or place)


def _module_of_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    spec = importlib.util.spec_from_file_location(f"cvzoo_transform_{path.stem}", path.resolve())
    assert spec is not None, "its name ends in .py"
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # as an import does: dataclasses and pickle look there
    spec.loader.exec_module(module)
    return module


def transformed(sample: Sample, data: Data, classes: int, rng: np.random.Generator) -> Sample:
    """What the user's function makes of a sample. It may draw from `rng` and from torch's own random numbers.

    Raises: DataError with the image's id, when the function fails or returns what cannot be trained on.
    """
    assert data.transform is not None
    found: object = None
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(int(rng.integers(2**32))))
            found = load_transform(data.transform)(_copy(sample), rng)
        problems = list(_problems(found, sample, data, classes))
    except Exception as error:  # whatever the function does
        problems = [_told(error)]
    if problems:
        file, function = transform_file(data.transform), data.transform.rpartition(":")[2]
        raise DataError([Problem(file, f"{function}: {problem}", REMEDY, sample.image_id) for problem in problems])
    assert isinstance(found, Sample)
    return replace(found, image_id=sample.image_id, original_size=sample.original_size)


def _copy(sample: Sample) -> Sample:
    """A sample that may be written to; the image may be one that is kept for the next epoch."""
    target = sample.target
    label_map = None if target.label_map is None else target.label_map.clone()
    masks, surfaces = deepcopy(target.masks), None if target.surfaces is None else list(target.surfaces)
    copied = Target(target.boxes.clone(), target.labels.clone(), masks, label_map, surfaces)
    return replace(sample, image=sample.image.clone(memory_format=torch.contiguous_format), target=copied)


def _told(error: Exception) -> str:
    """What an error says, and the line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} in {frames[-1].filename}, line {frames[-1].lineno}: {error}"


def _problems(found: object, given: Sample, data: Data, classes: int) -> Iterator[str]:
    """What is wrong with a result."""
    if not isinstance(found, Sample) or not isinstance(found.target, Target):
        yield f"it returned {type(found).__name__}, not a Sample with a Target"
        return
    image, target = found.image, found.target
    if not _is(image, torch.uint8, 3) or image.shape[0] != 3 or not image.numel():
        yield f"its image is {_kind(image)}, not uint8 of (3, H, W)"
        return
    canvas = data.crop or data.canvas
    if canvas is not None and (image.shape[1] > canvas[0] or image.shape[2] > canvas[1]):
        yield f"its image, {image.shape[1]} x {image.shape[2]}, is larger than the canvas, {canvas[0]} x {canvas[1]}"
    yield from _problems_of_objects(target, given.target, image, classes)
    label_map = target.label_map
    if (label_map is None) != (given.target.label_map is None):
        yield "it must return a label map where it is given one, and none otherwise"
    elif label_map is not None and (not _is(label_map, torch.uint8, 2) or size_of(label_map) != size_of(image)):
        yield f"its label map is {_kind(label_map)}, not uint8 of the image's height and width"


def _problems_of_objects(target: Target, given: Target, image: Tensor, classes: int) -> Iterator[str]:
    boxes, labels = target.boxes, target.labels
    if not _is(boxes, torch.float32, 2) or boxes.shape[1] != 4:
        yield f"its boxes are {_kind(boxes)}, not float32 of (G, 4)"
        return
    if not _is(labels, torch.int64, 1):
        yield f"its labels are {_kind(labels)}, not int64 of (G,)"
    elif len(labels) != len(boxes):
        yield f"it returned {len(boxes)} boxes with {len(labels)} labels"
    elif len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        yield f"its labels reach from {int(labels.min())} to {int(labels.max())}; the classes are 0 to {classes - 1}"
    height, width = size_of(image)
    limit = torch.tensor([width, height, width, height])
    outside = ~((boxes >= -SLACK) & (boxes <= limit + SLACK)).all(1)  # NaN too
    empty = ~(boxes[:, 2:] > boxes[:, :2]).all(1)
    for reason, wrong in (
        (f"reach out of the image of {width} x {height}", outside),
        ("have no width or height", empty),
    ):
        if wrong.any():
            box = [round(value, 2) for value in boxes[wrong][0].tolist()]
            yield f"{int(wrong.sum())} of its boxes {reason}, the first at {box}"
    for name in ("masks", "surfaces"):
        rows, before = getattr(target, name), getattr(given, name)
        if (rows is None) != (before is None):
            yield f"it must return {name} where it is given them, and none otherwise"
        elif rows is not None and len(rows) != len(boxes):
            yield f"it returned {len(boxes)} boxes with {len(rows)} {name}"


def _is(value: object, dtype: torch.dtype, dimensions: int) -> bool:
    return isinstance(value, Tensor) and value.dtype == dtype and value.ndim == dimensions


def _kind(value: object) -> str:
    if not isinstance(value, Tensor):
        return f"a {type(value).__name__}"
    return f"{str(value.dtype).removeprefix('torch.')} of {tuple(value.shape)}"
