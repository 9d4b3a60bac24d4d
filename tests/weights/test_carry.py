"""Weights for some classes start a network for others: what is of the same name answers as before."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from weights.reading import NETWORKS
from zoo.systems import narrow

from cvzoo.loading import Loaded, build_with_weights
from cvzoo.nn.model import Model
from cvzoo.ops.anchors import per_anchor
from cvzoo.recipes import Recipe
from cvzoo.recipes.codec import to_json
from cvzoo.weights.class_count import outputs_of
from cvzoo.weights.errors import WeightsError
from cvzoo.weights.remote import Remote
from cvzoo.zoo import ROWS
from cvzoo.zoo.system import Published

OLD, NEW = ["a", "b", "c"], ["c", "d", "a", "e"]
SAME = [(0, 2), (2, 0)]
"""The old and the new number of `a` and of `c`."""
RETINANET = "retinanet_r50_fpn_1x"


def saved(path: Path, recipe: Recipe[Any], classes: list[str] | None = None) -> Model:
    """A file as training writes it, all its numbers drawn at random; returns its model."""
    model = recipe.model.build().eval()
    for key, tensor in model.state_dict().items():
        if key in outputs_of(recipe.model):  # biases too, which may be all alike in a fresh model
            tensor.copy_(torch.randn_like(tensor))
    metadata = {"recipe": json.dumps(to_json(recipe))} | ({"classes": json.dumps(classes)} if classes else {})
    save_file(model.state_dict(), path, metadata)
    return model


def started(path: Path, recipe: Recipe[Any], classes: list[str]) -> Loaded:
    loaded = build_with_weights(replace(recipe, weights=str(path)), classes)
    loaded.model.eval()
    return loaded


@torch.no_grad()
def by_class(model: Any, images: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Everything a model says of classes, (..., K), by name."""
    count = model.config.num_classes
    if hasattr(model, "maps"):
        yield from _of_regions(model, images, count)
        return
    raw = model.raw(images)
    corners = [x for part in (raw.top_left, raw.bottom_right) for x in part.heat] if hasattr(raw, "top_left") else None
    logits = corners or (raw.logits if isinstance(raw.logits, list) else [raw.logits])
    for i, x in enumerate(logits):
        yield f"scores {i}", per_anchor(x, count)


def _of_regions(model: Any, images: Tensor, count: int) -> Iterator[tuple[str, Tensor]]:
    boxes = [torch.tensor([[4.0, 4, 60, 60], [20, 10, 50, 90]])]
    pooled = model.regions(model.maps(images), boxes, model.config.box_head.pool)
    for i, head in enumerate(getattr(model, "box_heads", None) or [model.box_head]):
        out = head(pooled)
        yield f"scores {i}", out.logits[:, :-1]
        yield f"background {i}", out.logits[:, -1:].expand(-1, count)
        if not head.config.class_agnostic:
            yield f"boxes {i}", out.deltas.unflatten(1, (count, 4)).movedim(1, -1)
    for i, head in enumerate(getattr(model, "mask_heads", None) or filter(None, [getattr(model, "mask_head", None)])):
        size = head.config.pool.size
        regions = torch.rand(1, model.region_channels, size, size, generator=torch.Generator().manual_seed(1))
        masks = [head(regions, torch.tensor([label])) for label in range(count)]
        yield f"masks {i}", torch.stack(masks, -1)


@pytest.mark.parametrize("row", NETWORKS)
def test_classes_of_the_same_name_answer_as_before(row: str, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    recipe = narrow(row, num_classes=3)
    old = saved(path, recipe, OLD)
    torch.manual_seed(5)
    loaded = started(path, recipe, NEW)
    torch.manual_seed(5)
    fresh = narrow(row, num_classes=4).model.build().state_dict()
    images = torch.rand(1, 3, 127, 127) if "cornernet" in row else torch.rand(1, 3, 96, 128)

    assert loaded.recipe.model == narrow(row, num_classes=4).model == loaded.model.config
    said = list(zip(by_class(old, images), by_class(loaded.model, images), strict=True))
    assert said
    for (name, before), (_, now) in said:
        for i, j in SAME:
            torch.testing.assert_close(before[..., i], now[..., j], rtol=1e-5, atol=1e-5, msg=name)
    tensors, state = outputs_of(loaded.recipe.model), loaded.model.state_dict()
    assert all(tensor.equal(state[key]) for key, tensor in old.state_dict().items() if key not in tensors)
    for key, outputs in tensors.items():
        rows = outputs.of_classes(4)[[1, 3]].flatten()
        assert state[key].index_select(outputs.axis, rows).equal(fresh[key].index_select(outputs.axis, rows))
    assert loaded.kept == state.keys() - tensors.keys()
    count = len(state)
    assert loaded.note == (
        f"{path} is of other classes: {count - len(tensors)} of {count} tensors are kept whole; of the outputs for"
        " classes 2 (c, a) kept by name, 2 (d, e) re-initialised, 1 (b) skipped"
    )


def test_outputs_that_are_no_class_or_another_number(tmp_path: Path) -> None:
    """As torchvision's: an output for each category id of COCO, most of which are classes of the data set."""
    recipe = narrow(RETINANET, num_classes=6, class_ids=(-1, 0, -1, 1, 2, -1))
    old = saved(tmp_path / "w.safetensors", recipe, OLD)
    loaded = started(tmp_path / "w.safetensors", narrow(RETINANET), NEW)
    assert (loaded.recipe.model.num_classes, loaded.recipe.model.class_ids) == (4, ())
    images = torch.rand(1, 3, 96, 96)
    for (_, before), (_, now) in zip(by_class(old, images), by_class(loaded.model, images), strict=True):
        torch.testing.assert_close(before[..., 1], now[..., 2], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(before[..., 4], now[..., 0], rtol=1e-5, atol=1e-5)


def test_as_many_classes_of_other_names(tmp_path: Path) -> None:
    old = saved(tmp_path / "w.safetensors", narrow(RETINANET), OLD)
    key = "head.cls_out.bias"
    loaded = started(tmp_path / "w.safetensors", narrow(RETINANET), ["x", "b", "y"])
    (before, now) = (model.state_dict()[key].view(-1, 3) for model in (old, loaded.model))
    assert before[:, 1].equal(now[:, 1])
    assert not before[:, 0].equal(now[:, 0])
    assert now[0, 0].sigmoid().item() == pytest.approx(0.01)  # the prior of a new class


def test_the_same_classes_in_another_order_are_all_kept(tmp_path: Path) -> None:
    old = saved(tmp_path / "w.safetensors", narrow(RETINANET), OLD)
    loaded = started(tmp_path / "w.safetensors", narrow(RETINANET), ["c", "a", "b"])
    assert loaded.classes == OLD  # the data set takes this order
    assert loaded.kept == old.state_dict().keys()
    assert not loaded.note


def test_a_file_without_names(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    old = saved(path, narrow(RETINANET))
    loaded = started(path, narrow(RETINANET), OLD)
    assert old.state_dict()["head.cls_out.bias"].equal(loaded.model.state_dict()["head.cls_out.bias"])
    assert "names no classes; its outputs are taken for the data set's" in loaded.note
    loaded = started(path, narrow(RETINANET), NEW)
    assert loaded.note.endswith("0 kept by name, 4 (c, d, a, e) re-initialised, as the file names no classes")


def test_what_else_does_not_fit_is_told(tmp_path: Path) -> None:
    saved(tmp_path / "w.safetensors", narrow(RETINANET), OLD)
    recipe = narrow(RETINANET)
    wider = replace(recipe, model=replace(recipe.model, fpn=replace(recipe.model.fpn, channels=40)))
    with pytest.raises(WeightsError, match=r"nothing was loaded\. \d+ of another shape: head\."):
        started(tmp_path / "w.safetensors", wider, NEW)


def test_published_weights_have_their_rows_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = "pspnet_r50_d8_cityscapes"
    old = saved(tmp_path / "own.safetensors", narrow(row, num_classes=19))
    save_file(old.state_dict(), tmp_path / "w.safetensors")
    file = Remote(url=f"file://{tmp_path}/w.safetensors", algorithm="sha256", digest="")
    published = (Published(name="tiny", file=file, results={}, page=""),)
    monkeypatch.setitem(ROWS, row, replace(ROWS[row], published=published))
    loaded = build_with_weights(replace(narrow(row), weights="tiny"), ["person", "lawn"])
    bias = "head.classifier.conv.bias"
    assert loaded.model.state_dict()[bias][0] == old.state_dict()[bias][11]  # Cityscapes' train id of a person
    assert "1 (person) kept by name, 1 (lawn) re-initialised, 18 (road, sidewalk," in loaded.note
