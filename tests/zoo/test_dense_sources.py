"""Files of mmdetection's dense detectors of many sizes: what no file tells is the row's, the rest its convention.

No number of groups, channels, convolutions or classes is a constant of the importer.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

import pytest
import torch
from parity.golden import GOLDEN
from weights.as_mmdetection import as_mmdetection
from weights.reading import equal_states, manifest
from zoo.systems import FACTS, narrow

from cvzoo.loading import read_state
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.weights.strict import load_state
from cvzoo.zoo import ROWS, system_of

ROW_OF = {
    "retinanet": "retinanet_r50_fpn_1x",
    "fcos": "fcos_r50_fpn_1x",
    "freeanchor": "freeanchor_r50_fpn_1x",
    "reppoints": "reppoints_r50_fpn_moment_1x",
    "atss": "atss_r50_fpn_1x",
}
IMPROVED, DCN = "fcos_r50_fpn_improved_1x", "fcos_r50_dcn_fpn_improved_1x"
CONVENTIONS = {(row, "MMDETECTION") for row in ROW_OF.values()} | {
    (ROW_OF["reppoints"], "WITHOUT_NORM"),
    (IMPROVED, "MMDETECTION_IMPROVED"),
    (DCN, "MMDETECTION_IMPROVED"),
}
"""A row and the name of its system's convention for a file."""
SIZES = {
    "many groups": {"body": ResNetConfig(depth=18, width=4), "channels": 32, "groups": 16, "convs": 1, "classes": 7},
    "few groups": {"body": ResNetConfig(depth=50, width=6), "channels": 24, "groups": 3, "convs": 3, "classes": 1},
    "deformable": {
        "body": ResNetConfig(depth=50, width=4, deform="v2", deform_groups=2, stem_channels=12),
        "channels": 8,
        "groups": 2,
        "convs": 5,
        "classes": 80,
    },
}

PUBLISHED = [
    (key, name)
    for key in ROW_OF
    for name, fits in FACTS[key].MANIFESTS.items()
    if name.startswith("mmlab") and not fits.body
]
"""Systems and manifests of files as large as a row."""


def sized(config: Any, size: dict[str, Any], body: ResNetConfig) -> Any:
    """A config with a size's channels, groups and convolutions, and the body."""
    return replace(
        config,
        backbone=body,
        fpn=replace(config.fpn, channels=size["channels"], norm_groups=size["groups"]),
        tower_convs=size["convs"],
        tower_norm_groups=size["groups"],
    )


def convention(row: str, name: str, size: dict[str, Any]) -> Any:
    """The toolbox's config of a model of that size, for the row."""
    published = getattr(importlib.import_module(f"{system_of(row).package}.weights"), name)
    own, body = published.backbone, size["body"]
    body = replace(
        body, norm=own.norm, norm_eps=own.norm_eps, stride_in_1x1=own.stride_in_1x1, frozen_stages=own.frozen_stages
    )
    config = sized(published, size, body)
    if row == DCN:
        config = replace(config, deform_last=True)
    return config if size["classes"] == 80 else replace(config, num_classes=size["classes"])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("row", "name"), sorted(CONVENTIONS))
def test_a_file_of_any_size_gives_the_convention_of_that_size(row: str, name: str, size: str) -> None:
    wanted, system = convention(row, name, SIZES[size]), system_of(row).key
    model = wanted.build()
    recipe = ROWS[row].recipe()
    recipe = replace(recipe, model=sized(recipe.model, SIZES[size], SIZES[size]["body"]))
    ours, config = read_state(as_mmdetection(model.state_dict(), system), recipe, "the file")
    assert config == wanted
    found = config.build()
    load_state(found, ours, "the file")
    assert equal_states(found, model)


@pytest.mark.parametrize("system", ROW_OF)
def test_a_narrow_row_reads_a_narrow_file(system: str) -> None:
    """As the tests of what stands beside the keys do."""
    recipe = narrow(ROW_OF[system])
    state = recipe.model.build().state_dict()
    ours, config = read_state(as_mmdetection(state, system), recipe, "the file")
    load_state(config.build(), ours, "the file")
    assert config.num_classes == 3
    assert (config.fpn.channels, config.fpn.norm_groups, config.tower_norm_groups) == (16, 4, 4)


@pytest.mark.parametrize(("system", "name"), PUBLISHED)
def test_these_are_the_names_of_published_files(system: str, name: str) -> None:
    """Else the tests above would show nothing."""
    if not (GOLDEN / "manifests").exists():
        pytest.skip(f"NO MANIFESTS: {GOLDEN / 'manifests'} is absent; CVZOO_GOLDEN names another folder")
    published = manifest(GOLDEN / "manifests", name)
    config = read_state(published, ROWS[FACTS[system].MANIFESTS[name].row].recipe(), "the file")[1]
    with torch.device("meta"):
        state = config.build().state_dict()
    counters = {key for key in published if key.endswith(".num_batches_tracked")}
    assert as_mmdetection(state, system).keys() == published.keys() - counters
