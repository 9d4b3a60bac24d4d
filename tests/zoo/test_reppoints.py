"""What no key of a file of RepPoints tells: whether a box is around all of its points or some, or they are a grid."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from weights.as_mmdetection import save
from weights.reading import equal_states
from zoo.systems import narrow

from cvzoo.loading import build_with_weights
from cvzoo.weights.errors import WeightsError
from cvzoo.zoo.reppoints.model import corners_of, grid_in

MINMAX, PARTIAL = "reppoints_r50_fpn_minmax_1x", "reppoints_r50_fpn_partial_minmax_1x"
MOMENT, GRID = "reppoints_r50_fpn_moment_1x", "reppoints_r50_fpn_grid_1x"
TEXT = "bbox_head=dict(\n    type='RepPointsHead',\n    transform_method='{}',\n    gradient_mul=0.1)"
TOLD = [
    ("epoch_12.pth", TEXT.format("partial_minmax"), "partial_minmax"),
    ("epoch_12.pth", TEXT.format("minmax"), "minmax"),
    ("reppoints-partial-minmax_r50_fpn-gn_head-gn_1x_coco.pth", "", "partial_minmax"),
    ("reppoints_partial_minmax_r50_fpn_gn-neck+head_1x_coco.pth", "", "partial_minmax"),
    ("reppoints-minmax_r50_fpn-gn_head-gn_1x_coco.pth", "", "minmax"),
    ("reppoints_minmax_r50_fpn_gn-neck+head_1x_coco.pth", "", "minmax"),
    ("reppoints-minmax_r50_fpn-gn_head-gn_1x_coco.pth", TEXT.format("partial_minmax"), "partial_minmax"),
]
"""A file's name, the text of its config, and how its points become a box."""


@pytest.mark.parametrize(("name", "text", "method"), TOLD)
@pytest.mark.parametrize("row", [MINMAX, PARTIAL])
def test_the_text_of_the_config_tells_it_or_the_name(
    row: str, name: str, text: str, method: str, tmp_path: Path
) -> None:
    model = narrow(MINMAX).model.build()
    save(tmp_path / name, model.state_dict(), "reppoints", text)
    found, resolved, *_ = build_with_weights(replace(narrow(row), weights=str(tmp_path / name)))
    assert resolved.model.points_to_box == method
    assert equal_states(found, model)


@pytest.mark.parametrize(("row", "method"), [(MINMAX, "minmax"), (PARTIAL, "partial_minmax")])
def test_else_it_is_the_rows(row: str, method: str, tmp_path: Path) -> None:
    path = tmp_path / "epoch_12.pth"
    save(path, narrow(MINMAX).model.build().state_dict(), "reppoints")
    assert build_with_weights(replace(narrow(row), weights=str(path)))[1].model.points_to_box == method


def test_a_grid_is_told_by_its_four_outputs(tmp_path: Path) -> None:
    text = "model = dict(bbox_head=dict(type='RepPointsHead', transform_method='minmax', use_grid_points=True,"
    text += " norm_cfg=dict(type='GN', num_groups=4)))"
    path = tmp_path / "reppoints-minmax.pth"
    model = narrow(GRID).model.build()
    for config in ("", text):
        save(path, model.state_dict(), "reppoints", config)
        for row in (GRID, MINMAX):
            found, resolved, *_ = build_with_weights(replace(narrow(row), weights=str(path)))
            assert resolved.model.points_to_box == "grid"
            assert equal_states(found, model)


def test_the_points_of_a_grid_reach_from_corner_to_corner() -> None:
    boxes_N4HW = torch.tensor([-2.0, -2.0, 2.0, 2.0]).view(1, 4, 1, 1)
    deltas_N4HW = torch.tensor([0.25, -0.5, 0.0, math.log(0.5)]).view(1, 4, 1, 1)
    points = grid_in(deltas_N4HW, boxes_N4HW).flatten().view(9, 2)
    assert points.tolist() == [[y, x] for y in (-3.0, -2.0, -1.0) for x in (-1.0, 1.0, 3.0)]
    assert corners_of(points.view(1, -1, 1, 1)).flatten().tolist() == [-1.0, -3.0, 3.0, -1.0]


@pytest.mark.parametrize(("theirs", "ours"), [(MOMENT, PARTIAL), (PARTIAL, MOMENT)])
def test_files_with_and_without_moments_are_told_by_their_keys(theirs: str, ours: str, tmp_path: Path) -> None:
    path = tmp_path / "epoch_12.pth"
    save(path, narrow(theirs).model.build().state_dict(), "reppoints")
    with pytest.raises(WeightsError, match=f"epoch_12.pth holds weights of RepPoints.*{theirs}"):
        build_with_weights(replace(narrow(ours), weights=str(path)))


def test_without_norms_convolutions_have_biases(tmp_path: Path) -> None:
    path, row = tmp_path / "epoch_12.pth", narrow(MOMENT)
    plain = replace(row.model, tower_norm=None, fpn=replace(row.model.fpn, norm=None, extra_norm=None))
    model = plain.build()
    save(path, model.state_dict(), "reppoints")
    found, resolved, *_ = build_with_weights(replace(row, weights=str(path)))
    assert (resolved.model.tower_norm, resolved.model.fpn.norm, resolved.model.fpn.extra_norm) == (None, None, None)
    assert equal_states(found, model)
