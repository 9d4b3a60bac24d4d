"""What no key of a file of FCOS tells: whether only locations near an object's centre learn it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from weights.as_mmdetection import save
from weights.reading import equal_states
from zoo.systems import narrow

from cvzoo.loading import build_with_weights

FIRST, IMPROVED = "fcos_r50_fpn_1x", "fcos_r50_fpn_improved_1x"
HEAD = "bbox_head=dict(\n    type='FCOSHead',\n    {}\n    strides=[8, 16, 32, 64, 128])"
TOLD = [
    ("epoch_12.pth", "", None),
    ("epoch_12.pth", "center_sampling=True,", 1.5),
    ("epoch_12.pth", "center_sampling=True, center_sample_radius=2.5,", 2.5),
    ("fcos_r50-caffe_fpn_gn-head_1x_coco.pth", "", None),
    ("fcos_r50-caffe_fpn_gn-head-center_1x_coco.pth", "", 1.5),
    ("fcos_center_r50_caffe_fpn_gn-head_1x_coco.pth", "", 1.5),
    ("fcos_r50-caffe_fpn_gn-head-center_1x_coco.pth", "center_sampling=False,", None),
]
"""A file's name, what the text of its config says of it, and the radius."""


@pytest.mark.parametrize(("name", "option", "radius"), TOLD)
def test_the_text_of_the_config_tells_it_or_the_name(
    name: str, option: str, radius: float | None, tmp_path: Path
) -> None:
    recipe = narrow(FIRST, tower_bias=None)
    model = recipe.model.build()
    save(tmp_path / name, model.state_dict(), "fcos", HEAD.format(option))
    found, resolved, *_ = build_with_weights(replace(narrow(FIRST), weights=str(tmp_path / name)))
    assert resolved.model.centre_radius == radius
    assert resolved.model.tower_bias is None
    assert equal_states(found, model)


@pytest.mark.parametrize(("option", "radius"), [("", 1.5), ("center_sampling=False,", None)])
@pytest.mark.parametrize("row", [FIRST, IMPROVED])
def test_the_improved_version_is_told_by_a_bias_beside_the_norms(
    row: str, option: str, radius: float | None, tmp_path: Path
) -> None:
    path, model = tmp_path / "epoch_12.pth", narrow(IMPROVED).model.build()
    save(path, model.state_dict(), "fcos", HEAD.format(option))
    found, resolved, *_ = build_with_weights(replace(narrow(row), weights=str(path)))
    assert (resolved.model.distance, resolved.model.centreness_on, resolved.model.box_loss) == ("relu", "box", "giou")
    assert resolved.model.centre_radius == radius
    assert equal_states(found, model)


def test_what_a_user_has_set_stays(tmp_path: Path) -> None:
    path = tmp_path / "epoch_12.pth"
    save(path, narrow(IMPROVED).model.build().state_dict(), "fcos", HEAD.format("center_sampling=True,"))
    _, resolved, *_ = build_with_weights(replace(narrow(FIRST, centre_radius=3.0), weights=str(path)))
    assert resolved.model.centre_radius == 3.0
