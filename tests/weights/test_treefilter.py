"""Keys and shapes of TreeFilter-Torch's networks (4c91491), listed by building `model/*/network.py`, fill ours."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from cvzoo.weights.adapt import config_for
from cvzoo.weights.load import load_state

from cvzoo.recipes import ROWS
from cvzoo.weights.errors import WeightsError
from cvzoo.weights.keys import recognise, to_ours


def listed(decoder: str) -> dict[str, torch.Tensor]:
    shapes = json.loads((Path(__file__).parent / f"treefilter_{decoder}.json").read_text())
    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


@pytest.mark.parametrize(("row", "decoder"), [("treefilter_r50_voc", "basic"), ("treefilter_r101_cityscapes", "extra")])
def test_the_authors_networks_are_the_rows(row: str, decoder: str) -> None:
    state, model = listed(decoder), ROWS[row].recipe().model
    assert recognise(state) == "treefilter"
    ours = to_ours(state)
    config = config_for(ours, state, model, "the file")
    assert config == model
    with torch.device("meta"):
        load_state(config.build(), ours, "the file")


def test_sizes_are_those_of_the_file() -> None:
    """All but the body, which is the row's."""
    state = listed("extra")
    row = ROWS["treefilter_r50_voc"].recipe().model
    config = config_for(to_ours(state), state, replace(row, backbone=replace(row.backbone, depth=101)), "the file")
    assert config == ROWS["treefilter_r101_cityscapes"].recipe().model


def test_another_row_is_refused() -> None:
    state = listed("basic")
    with pytest.raises(WeightsError, match=r"holds weights of TreeFilter.*treefilter_r50_voc"):
        config_for(to_ours(state), state, ROWS["fcn_r50_d8_cityscapes"].recipe().model, "the file")
