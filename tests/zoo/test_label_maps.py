"""Every network of a row that answers with label maps goes through the same checks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from zoo.systems import built, narrow, overfits, total, trained_by

from cvzoo.data.shapes import draw
from cvzoo.structures import IGNORE, Batch, Segmentation
from cvzoo.zoo import ROWS

LABEL_MAPS = [name for name, row in ROWS.items() if row.recipe().model.answer == "label_maps"]
SEGMENTERS = sorted({narrow(row).model: row for row in reversed(LABEL_MAPS)}.values(), key=LABEL_MAPS.index)
"""The first row of each narrow model: what rows differ in may be their data or how they are trained."""


def samples(*sizes: tuple[int, int]) -> list[Any]:
    drawn = [draw(height, width, 3, seed=i, label_maps=True) for i, (height, width) in enumerate(sizes)]
    return [replace(sample, original_size=sample.size, image_id=i) for i, sample in enumerate(drawn)]


def without_batch_statistics(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.Dropout2d):
            module.eval()
    return model


@pytest.mark.parametrize("row", SEGMENTERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_trains_and_predicts_in_odd_sizes(row: str, dtype: torch.dtype) -> None:
    model = built(row).train()
    batch = Batch.collate(samples((97, 131), (64, 120)))
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        losses = model(batch)
    total(losses).backward()
    assert all(loss.isfinite() for loss in losses.values())
    assert trained_by(model.parameters())
    for found, size in zip(model.eval().predict(batch), batch.original_sizes):
        assert isinstance(found, Segmentation)
        assert found.labels.shape == size
        assert found.labels.max() < 4


@pytest.mark.parametrize("row", SEGMENTERS)
def test_images_without_a_labelled_pixel_train(row: str) -> None:
    model, images = built(row).train(), samples((96, 96), (96, 96))
    for image in images:
        image.target.label_map.fill_(IGNORE)
    losses = model(Batch.collate(images))
    total(losses).backward()
    assert total(losses) == 0
    assert trained_by(model.parameters())
    assert all((p.grad == 0).all() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize("row", SEGMENTERS)
def test_predictions_do_not_depend_on_the_batch(row: str) -> None:
    model = built(row).eval()
    images = samples((96, 128), (80, 100), (64, 64))
    together = model.predict(Batch.collate(images, (96, 128)))
    for image, found in zip(images, together):
        (alone,) = model.predict(Batch.collate([image], (96, 128)))
        assert (alone.labels != found.labels).float().mean() < 1e-3


@pytest.mark.parametrize("row", SEGMENTERS)
def test_losses_of_a_batch_are_the_mean_of_its_images(row: str) -> None:
    """Those of one size, all labelled: the mean is over pixels."""
    model = without_batch_statistics(built(row).train())
    images = samples((96, 96), (96, 96))
    for image in images:
        image.target.label_map.remainder_(4)  # IGNORE becomes a class
    whole = model(Batch.collate(images))
    parts = [model(Batch.collate([image])) for image in images]
    for name, loss in whole.items():
        torch.testing.assert_close(loss, torch.stack([part[name] for part in parts]).mean(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("row", SEGMENTERS)
def test_inference_model_is_equal_and_leaves_the_model_alone(row: str) -> None:
    model = built(row).eval()
    for module in model.modules():
        if hasattr(module, "running_var"):
            module.running_var.uniform_(0.5, 2)
            module.running_mean.uniform_(-0.5, 0.5)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    image = torch.rand(1, 3, 96, 128)
    with torch.no_grad():
        plain, fast = model.raw(image).logits, model.for_inference().raw(image).logits
    assert (plain - fast).abs().max() < 1e-3 * plain.abs().max()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("row", [row for row in SEGMENTERS if ROWS[row].data == "shapes"])
def test_overfits_four_drawn_images(row: str) -> None:
    overfits(ROWS[row].recipe().model, Batch.collate(samples(*[(96, 96)] * 4)))


@pytest.mark.gpu
@pytest.mark.parametrize("row", SEGMENTERS)
def test_cuda_gives_what_the_cpu_gives(row: str) -> None:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    model = built(row).eval()
    batch = Batch.collate(samples((96, 128), (80, 100)))
    expected = model.predict(batch)
    for mine, other in zip(model.cuda().predict(batch.to("cuda")), expected):
        assert (mine.labels.cpu() != other.labels).float().mean() < 1e-2
    losses = model.train()(batch.to("cuda"))
    total(losses).backward()
    assert all(loss.isfinite() for loss in losses.values())
