"""`run.seed` decides all that is random, and another seed decides it otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from engine.tiny import tiny
from zoo.systems import narrow

from cvzoo.engine.prepare import build_model
from cvzoo.engine.state import State
from cvzoo.engine.train import step
from cvzoo.structures import Batch
from zoo import test_boxes, test_label_maps

SEEDS = (0, 1, 2**31)


def test_weights_are_drawn_by_the_seed(tmp_path: Path) -> None:
    def drawn(seed: int) -> bytes:
        model = build_model(tiny(tmp_path, run__seed=seed)).model
        return torch.cat([parameter.detach().flatten() for parameter in model.parameters()]).numpy().tobytes()

    assert len({drawn(seed) for seed in (*SEEDS, *SEEDS)}) == len(SEEDS)


@pytest.mark.parametrize(
    ("row", "samples"),
    [
        pytest.param("faster_rcnn_r18_fpn_shapes", test_boxes.samples, id="samplers"),
        pytest.param("pspnet_r18_shapes", test_label_maps.samples, id="dropout"),
    ],
)
def test_what_a_step_draws_is_drawn_by_the_seed(row: str, samples: Callable[..., list[Any]]) -> None:
    """The weights and images are the same."""
    recipe, batch = narrow(row), Batch.collate(samples((96, 96), (96, 96)))
    weights = recipe.model.build().state_dict()

    def loss(seed: int) -> float:
        model = recipe.model.build()
        model.load_state_dict(weights)
        state = State.begin(recipe, model, torch.device("cpu"))
        step(state.model, batch, state, replace(recipe, run=replace(recipe.run, seed=seed)))
        (losses,), _ = state.unread.read()
        return losses["loss"]

    assert len({loss(seed) for seed in (*SEEDS, *SEEDS)}) == len(SEEDS)
