"""Every network of a row that answers with boxes goes through the same checks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from zoo.systems import FACTS, built, narrow, overfits, same_detections, total, trained_by

from cvzoo.data.shapes import draw
from cvzoo.ops.masks import to_bitmap
from cvzoo.structures import Batch, Mask, Target
from cvzoo.zoo import ROWS, system_of

BOXES = [name for name, row in ROWS.items() if row.recipe().model.answer == "boxes"]
DETECTORS = sorted({narrow(row).model: row for row in reversed(BOXES)}.values(), key=BOXES.index)
"""The first row of each narrow model: what rows differ in may be their data or how they are trained."""


def samples(*sizes: tuple[int, int], objects: int = 3) -> list[Any]:
    drawn = [draw(height, width, objects, seed=i, masks=True) for i, (height, width) in enumerate(sizes)]
    return [replace(sample, original_size=sample.size, image_id=i) for i, sample in enumerate(drawn)]


@pytest.mark.parametrize("row", DETECTORS)
def test_trains_and_predicts_in_odd_sizes(row: str) -> None:
    model = built(row).train()
    batch = Batch.collate(samples((97, 131), (64, 120)))
    losses = model(batch)
    total(losses).backward()
    assert all(loss.isfinite() for loss in losses.values())
    assert trained_by(model.parameters())
    for prediction, (height, width) in zip(model.eval().predict(batch), batch.original_sizes):
        assert (prediction.boxes >= 0).all()
        assert (prediction.boxes <= torch.tensor([width, height, width, height])).all()
        assert (prediction.scores.diff() <= 0).all()
        assert (prediction.labels < 3).all()
        if ROWS[row].task == "instance":
            assert prediction.masks is not None
            assert [mask["size"] for mask in prediction.masks] == [[height, width]] * len(prediction)


@pytest.mark.parametrize("row", DETECTORS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_images_without_objects_and_with_hundreds_train(row: str, dtype: torch.dtype) -> None:
    model = built(row).train()
    empty, crowded = samples((96, 96), (96, 96))
    empty.target = replace(Target.empty(), masks=[])
    corner = torch.rand(300, 2) * 80
    boxes = torch.cat([corner, corner + 2 + torch.rand(300, 2) * 14], 1)
    masks: list[Mask] = [[np.array([x1, y1, x2, y1, x2, y2])] for x1, y1, x2, y2 in boxes.double().tolist()]
    crowded.target = Target(boxes, torch.randint(0, 3, (300,)), masks)
    for batch in (Batch.collate([empty]), Batch.collate([empty, crowded])):
        model.zero_grad()
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            losses = model(batch)
        total(losses).backward()
        assert all(loss.isfinite() for loss in losses.values())
        assert trained_by(model.parameters())


@pytest.mark.parametrize("row", DETECTORS)
def test_predictions_do_not_depend_on_the_batch(row: str) -> None:
    model = built(row).eval()
    images = samples((96, 128), (80, 100), (64, 64), objects=4)
    canvas = (96, 128)
    together = model.predict(Batch.collate(images, canvas))
    for image, found in zip(images, together):
        (alone,) = model.predict(Batch.collate([image], canvas))
        assert len(alone) == len(found) > 0
        torch.testing.assert_close(alone.scores, found.scores, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(alone.boxes, found.boxes, atol=1e-2, rtol=1e-4)
        if found.masks is not None:
            one, other = ([to_bitmap(mask, image.size) for mask in masks] for masks in (alone.masks, found.masks))
            assert np.mean(np.stack(one) != np.stack(other)) < 1e-3


@pytest.mark.parametrize("row", DETECTORS)
def test_losses_of_a_batch_are_the_mean_of_its_images(row: str) -> None:
    """Where the normaliser allows it: the RPN's is fixed. Others divide by what boxes count for in the batch, and see
    the same boxes of other classes in two images.
    """
    model = built(row).train()
    images = samples((96, 96), (96, 96))
    if hasattr(model, "head"):
        first = images[0].target
        images[1].target = replace(first, labels=(first.labels + 1) % 3)
    if getattr(model.config, "normaliser", None) == "moving":  # an average over steps has no batch
        model.config = replace(model.config, normaliser="batch")
    names = [name for name in model(Batch.collate(images)) if hasattr(model, "head") or "rpn" in name]
    whole = model(Batch.collate(images))
    parts = [model(Batch.collate([image])) for image in images]
    weighted = getattr(FACTS[system_of(row).key], "BY_PREDICTIONS", ())
    for name in names:
        of_parts = torch.stack([part[name] for part in parts])
        if name in weighted:
            assert of_parts.min() < whole[name] < of_parts.max()
        else:
            torch.testing.assert_close(whole[name], of_parts.mean(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("row", DETECTORS)
def test_inference_model_is_equal_and_leaves_the_model_alone(row: str) -> None:
    model = built(row).eval()
    for module in model.modules():
        if hasattr(module, "running_var"):
            module.running_var.uniform_(0.5, 2)  # type: ignore[operator,union-attr]
            module.running_mean.uniform_(-0.5, 0.5)  # type: ignore[operator,union-attr]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    batch = Batch.collate(samples((96, 128)))
    (plain,) = model.predict(batch)
    (fast,) = model.for_inference().predict(batch)
    same_detections(fast, plain)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("row", [row for row in DETECTORS if ROWS[row].data == "shapes"])
def test_overfits_four_drawn_images(row: str) -> None:
    config = ROWS[row].recipe().model
    config = replace(config, backbone=replace(config.backbone, width=config.backbone.width // 2))
    overfits(config, Batch.collate(samples(*[(96, 96)] * 4)))


@pytest.mark.gpu
@pytest.mark.parametrize("row", DETECTORS)
def test_cuda_gives_what_the_cpu_gives(row: str) -> None:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    model = built(row).eval()
    batch = Batch.collate(samples((96, 128), (80, 100)))
    expected = model.predict(batch)
    found = model.cuda().predict(batch.to("cuda"))
    for mine, other in zip(found, expected):
        same_detections(mine, other)
    losses = model.train()(batch.to("cuda"))
    total(losses).backward()
    assert all(loss.isfinite() for loss in losses.values())
