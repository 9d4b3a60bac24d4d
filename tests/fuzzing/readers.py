"""What users give us, spoilt at random: every reader gives a right result or a clean error, and soon."""

from __future__ import annotations

import io
import json
import math
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import torch
from fuzzing.damage import NUMBERS, spoilt_bytes, spoilt_json
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save

import cvzoo
from cvzoo.cli import ROW_COMMANDS, main
from cvzoo.data.coco import CocoDataset
from cvzoo.data.config import LabelMaps, Split
from cvzoo.data.images import read_image, read_size
from cvzoo.data.label_maps import LabelMapDataset
from cvzoo.data.problems import DataError
from cvzoo.recipes import Recipe
from cvzoo.recipes.codec import from_json, to_json
from cvzoo.structures import IGNORE
from cvzoo.weights.errors import WeightsError
from cvzoo.weights.files import read_weights

ROW = "retinanet_r18_fpn_shapes"
PATIENCE = 20
"""Seconds that nothing here may take."""
IMAGE = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
Check = Callable[[Any, Path], None]
"""Writes a value into a folder and reads it; raises what the reader raises, and AssertionError for a wrong result."""


class Reader(NamedTuple):
    """What is read, and what refusals are like."""

    values: st.SearchStrategy[Any]
    check: Check
    refusals: tuple[type[BaseException], ...]


def encoded(kind: str, **options: Any) -> bytes:
    """The image as a file."""
    data = io.BytesIO()
    Image.fromarray(IMAGE).convert(options.pop("mode", "RGB")).save(data, kind, **options)
    return data.getvalue()


IMAGES = [
    encoded("PNG"),
    encoded("PNG", mode="P"),
    encoded("PNG", mode="LA"),
    encoded("JPEG"),
    encoded("JPEG", mode="CMYK"),
    encoded("BMP"),
    encoded("WEBP"),
    encoded("TIFF", compression="tiff_lzw"),
]


def image(content: bytes, folder: Path) -> None:
    file = folder / "image"
    file.write_bytes(content)
    pixels = read_image(file)
    assert pixels.dtype == torch.uint8
    assert pixels.shape == (3, *read_size(file))


def recipe_json(values: Any, folder: Path) -> None:
    file = folder / "recipe.json"
    file.write_text(json.dumps(values))
    found = cvzoo.recipe(str(file))
    assert to_json(from_json(to_json(found), cvzoo.recipe(ROW))) == to_json(found)
    assert all(math.isfinite(leaf) for leaf in leaves(to_json(found)) if isinstance(leaf, float))


def leaves(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return [value] if inner is None else [leaf for item in inner for leaf in leaves(item)]


def weights(content: tuple[str, bytes], folder: Path) -> None:
    suffix, data = content
    file = folder / f"weights{suffix}"
    file.write_bytes(data)
    state = read_weights(file).state
    assert state
    assert all(isinstance(tensor, torch.Tensor) for tensor in state.values())
    assert all(tensor.isfinite().all() for tensor in state.values() if tensor.is_floating_point())


def saved(value: Any) -> bytes:
    """As torch saves it."""
    data = io.BytesIO()
    torch.save(value, data)
    return data.getvalue()


STATE = {"a.weight": torch.arange(12.0).reshape(3, 4), "a.bias": torch.zeros(3), "steps": torch.tensor(7)}
WEIGHTS = [
    (".safetensors", save(STATE, {"row": f'"{ROW}"', "recipe": json.dumps({"row": ROW, "model": {}})})),
    (".pth", saved({"state_dict": STATE, "meta": {"CLASSES": ("cat", "dog"), "cfg": "model = dict()"}})),
    (".pt", saved(STATE)),
]


def number(given: tuple[str, str], folder: Path) -> None:
    flag, text = given
    found: list[Any] = []
    with mock.patch.dict(ROW_COMMANDS, {"take": (Recipe, found.append)}), redirect_stderr(io.StringIO()) as said:
        try:
            status = main(["take", ROW, f"{flag}={text}"])
        except SystemExit as end:  # the parser's own refusals
            status = end.code
    if status:
        assert status == 2
        assert said.getvalue()
        raise ValueError(said.getvalue())
    value = attrgetter(flag.removeprefix("--").replace("-", "_"))(found[0])
    assert isinstance(value, tuple) or value == type(value)(text)


def coco(content: Any, folder: Path) -> None:
    (folder / "train.json").write_text(json.dumps(content))
    dataset = CocoDataset.open(folder, Split(images="images", annotations="train.json"), masks=True)
    assert len(dataset.classes) == len(dataset.category_ids)
    for index in range(len(dataset)):
        target = dataset.target(index)
        height, width = dataset.sizes[index].tolist()
        assert target.boxes.isfinite().all()
        assert (target.boxes >= 0).all()
        assert (target.boxes[:, 2:] > target.boxes[:, :2]).all()
        assert (target.boxes <= torch.tensor([width, height, width, height])).all()
        assert ((target.labels >= 0) & (target.labels < len(dataset.classes))).all()
    assert dataset.ground_truth["images"]


COCO: dict[str, Any] = {
    "images": [{"id": n, "file_name": f"{n}.png", "width": 32, "height": 24} for n in (1, 2)],
    "categories": [{"id": 3, "name": "cat"}, {"id": 5, "name": "dog"}],
    "annotations": [
        {
            "id": n,
            "image_id": 1 + n % 2,
            "category_id": 3 + 2 * (n % 2),
            "bbox": [2, 3.5, 10 + n, 12],
            "area": 100,
            "iscrowd": 0,
            "segmentation": [[2, 3, 12, 3, 12, 15]],
        }
        for n in range(3)
    ],
}


def label_maps(content: tuple[np.ndarray, bytes, str], folder: Path) -> None:
    numbers, damaged, mode = content
    for name in ("images", "labels"):
        (folder / name).mkdir(exist_ok=True)
    Image.fromarray(IMAGE).save(folder / "images/a.png")
    (folder / "images/b.png").write_bytes(IMAGES[0])
    Image.fromarray(numbers).convert(mode).save(folder / "labels/a.png")
    (folder / "labels/b.png").write_bytes(damaged)
    settings = LabelMaps(classes=("sky", "sea", "land"))
    dataset = LabelMapDataset.open(folder, Split(images="images", annotations="labels"), settings)
    for index in range(len(dataset)):
        found = dataset[index].target.label_map
        assert found is not None
        assert set(found.unique().tolist()) <= {0, 1, 2, IGNORE}
        assert found.shape == IMAGE.shape[:2]


MAP = np.random.default_rng(1).integers(0, 3, IMAGE.shape[:2], np.uint8)


@st.composite
def maps(draw: st.DrawFn) -> tuple[np.ndarray, bytes, str]:
    """Numbers, some of them wrong; the bytes of another map; and how the first is kept."""
    numbers = MAP.copy() if draw(st.booleans()) else MAP[: draw(st.integers(1, 24)), : draw(st.integers(1, 32))].copy()
    numbers.flat[: draw(st.integers(0, 3))] = draw(st.integers(0, 255))
    data = io.BytesIO()
    Image.fromarray(MAP).save(data, "PNG")
    mode = draw(st.sampled_from(["L", "L", "L", "P", "1", "I;16", "RGB", "LA"]))
    return numbers, draw(spoilt_bytes(data.getvalue())), mode


FLAGS = ("--optim.lr", "--optim.clip-norm", "--schedule.iterations", "--schedule.batch", "--schedule.milestones")
FLAGS += ("--run.seed", "--data.workers", "--data.short-sides", "--model.num-classes", "--data.canvas")
SOUND_RECIPE = to_json(cvzoo.recipe(ROW))
READERS = {
    "image": Reader(st.sampled_from(IMAGES).flatmap(spoilt_bytes), image, (DataError,)),
    "recipe.json": Reader(spoilt_json(SOUND_RECIPE), recipe_json, (ValueError,)),
    "weights": Reader(
        st.sampled_from(WEIGHTS).flatmap(lambda w: st.tuples(st.just(w[0]), spoilt_bytes(w[1]))),
        weights,
        (WeightsError,),
    ),
    "number": Reader(st.tuples(st.sampled_from(FLAGS), NUMBERS), number, (ValueError,)),
    "COCO JSON": Reader(spoilt_json(COCO), coco, (DataError,)),
    "label map": Reader(maps(), label_maps, (DataError,)),
}


class HangError(BaseException):
    """A reader takes too long."""


def campaign(reader: Reader, examples: int, folder: Path, number: int = 0) -> Counter[str]:
    """Give a reader so many spoilt values; returns how many of them it has read, and refused.

    Raises: whatever a reader raises that is no refusal, with the smallest value that shows it.
    """
    counts, slowest = Counter[str](), 0.0

    def late(*_: object) -> None:
        raise HangError(f"nothing after {PATIENCE} s")

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),  # to explain a failure it would trace every line
    )
    @given(reader.values)
    def check(value: Any) -> None:
        nonlocal slowest
        begun = time.perf_counter()
        before = signal.signal(signal.SIGALRM, late)
        signal.alarm(PATIENCE)
        try:
            reader.check(value, folder)
            counts["read"] += 1
        except reader.refusals:
            counts["refused"] += 1
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)
        slowest = max(slowest, time.perf_counter() - begun)

    check()
    counts["slowest_ms"] = round(1000 * slowest)
    return counts
