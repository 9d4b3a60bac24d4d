"""Measured figures of published weights beside the published ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from report.measured import MEASURED, WITH_WEIGHTS

from cvzoo.results.published import IMAGES, comparison
from cvzoo.results.row_files import RowFile
from cvzoo.zoo import ROWS


def test_a_difference_has_a_sign_and_small_ones_agree() -> None:
    found = comparison(WITH_WEIGHTS)
    assert found is not None
    assert str(found) == "torchvision: box AP 0.3634, published 0.3640, difference -0.0006"
    assert found.agrees
    better = comparison(replace(WITH_WEIGHTS, results={"val": {"box_AP": 0.3675}}))
    assert better is not None
    assert "difference +0.0035" in str(better)
    assert not better.agrees


@pytest.mark.parametrize(
    ("changed", "reservation"),
    [
        ({"data": {"images": {"val": 114}}}, "on 114 images, the published figures are of 5000"),
        ({"data": {}}, "on an unknown number of images, the published figures are of 5000"),
        (
            {"changes": {"weights": "torchvision", "data.test_short_side": 400}},
            "with another data.test_short_side than the published figures",
        ),
        ({"changes": {"weights": "torchvision", "run.precision": "bf16"}}, ""),
    ],
)
def test_what_is_of_other_data_never_agrees(changed: dict[str, Any], reservation: str) -> None:
    found = comparison(replace(WITH_WEIGHTS, **changed))
    assert found is not None
    assert found.reservation == reservation
    assert found.agrees == (not reservation)
    assert str(found).endswith(f" ({reservation})" if reservation else "-0.0006")


def test_figures_of_another_measure_never_agree() -> None:
    row, weights = "faster_rcnn_r50_c4_voc", {"weights": "detectron2"}
    found = comparison(replace(WITH_WEIGHTS, row=row, changes=weights, results={"val": {"box_AP": 0.519}}))
    assert found is not None
    assert found.reservation == "the published figures are of another measure: AP at the 11 points of VOC 2007"
    assert not found.agrees


@pytest.mark.parametrize(
    "file",
    [
        MEASURED,
        replace(WITH_WEIGHTS, changes={"weights": "0123456789ab"}),
        replace(WITH_WEIGHTS, row="somebodys_own"),
        replace(WITH_WEIGHTS, results={"train": {"box_AP": 0.5}}),
    ],
)
def test_what_is_not_of_published_weights(file: RowFile) -> None:
    assert comparison(file) is None


def test_it_is_known_how_many_images_every_published_figure_is_of() -> None:
    assert {row.recipe().data.val.annotations for row in ROWS.values() if row.published} == IMAGES.keys()
