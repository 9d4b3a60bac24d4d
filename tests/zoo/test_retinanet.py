"""What is RetinaNet's alone: its normaliser of each image, and that its files have FreeAnchor's keys."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from weights.as_mmdetection import save
from weights.reading import equal_states
from zoo.systems import narrow

from cvzoo.data.shapes import draw
from cvzoo.loading import build_with_weights
from cvzoo.structures import Batch
from cvzoo.weights.errors import WeightsError

RETINANET, FREEANCHOR = "retinanet_r50_fpn_1x", "freeanchor_r50_fpn_1x"
HEADS = {RETINANET: "RetinaHead", FREEANCHOR: "FreeAnchorRetinaHead"}
TEXT = "model = dict(\n    type='RetinaNet',\n    bbox_head=dict(\n        type='{}',\n        num_classes=3))\n"


def test_losses_of_a_batch_are_the_mean_of_its_images() -> None:
    """Where each image has its own normaliser, as in torchvision."""
    model = narrow(RETINANET, normaliser="image").model.build().train()
    drawn = [draw(96, 96, objects, seed=objects) for objects in (1, 4, 7)]
    samples = [replace(sample, original_size=sample.size, image_id=i) for i, sample in enumerate(drawn)]
    whole = model(Batch.collate(samples))
    parts = [model(Batch.collate([sample])) for sample in samples]
    for name in whole:
        mean = torch.stack([part[name] for part in parts]).mean()
        torch.testing.assert_close(whole[name], mean, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("row", HEADS)
@pytest.mark.parametrize("told", [True, False])
def test_a_file_loads_into_the_row_that_it_names_or_into_either(row: str, told: bool, tmp_path: Path) -> None:
    path, recipe = tmp_path / "epoch_12.pth", narrow(row)
    model = recipe.model.build()
    save(path, model.state_dict(), "retinanet", TEXT.format(HEADS[row]) if told else "")
    found, resolved, *_ = build_with_weights(replace(recipe, weights=str(path)))
    assert equal_states(found, model)
    assert resolved.model.backbone.norm == "affine"  # the toolbox's, the row's being frozen


@pytest.mark.parametrize(("theirs", "ours"), [(RETINANET, FREEANCHOR), (FREEANCHOR, RETINANET)])
def test_a_file_of_the_other_system_is_refused_by_name(theirs: str, ours: str, tmp_path: Path) -> None:
    path = tmp_path / "epoch_12.pth"
    save(path, narrow(theirs).model.build().state_dict(), "retinanet", TEXT.format(HEADS[theirs]))
    name = {RETINANET: "RetinaNet", FREEANCHOR: "FreeAnchor"}[theirs]
    with pytest.raises(WeightsError, match=rf"epoch_12.pth holds weights of {name}, .* another system.*\({theirs}"):
        build_with_weights(replace(narrow(ours), weights=str(path)))
