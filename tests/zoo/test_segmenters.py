"""Weights for semantic segmentation in the rows that name them: what is read off a file, and what the row decides."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torchvision.models import segmentation
from weights.reading import loads, manifest
from zoo.deeplabv3plus import ADE20K as DEEPLAB_ADE20K
from zoo.deeplabv3plus import R50 as DEEPLAB
from zoo.deeplabv3plus import R101 as DEEPLAB_VOC
from zoo.deeplabv3plus import V3_ROW as DEEPLAB_V3
from zoo.gcnet import ADE20K as GCNET_ADE20K
from zoo.gcnet import R50 as GCNET
from zoo.gcnet import VOC as GCNET_VOC
from zoo.pspnet import R50 as PSPNET
from zoo.pspnet import R101 as PSPNET_ADE20K
from zoo.pspnet import VOC as PSPNET_VOC
from zoo.systems import FACTS, Fits, narrow

from cvzoo.loading import build_with_weights, read_state
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.parts.semantic.segmenter import Segmenter
from cvzoo.weights.class_count import class_count
from cvzoo.weights.errors import WeightsError
from cvzoo.zoo import ROWS

SEGMENTERS = [name for name, row in ROWS.items() if row.task == "segmentation"]
LISTED = {name: fits for facts in FACTS.values() for name, fits in facts.MANIFESTS.items()}
MMSEGMENTATION = {name: fits for name, fits in LISTED.items() if name.startswith("mmlab/") and fits.row in SEGMENTERS}
FCN = "fcn_r50_d8_cityscapes"
WINDOWS_PSPNET, WINDOWS_DEEPLAB = (f"{system}_r50_d8_cityscapes_769" for system in ("pspnet", "deeplabv3plus"))
PUBLISHED = {
    FCN: "fcn_r50-d8_4xb2-40k_cityscapes-512x1024",
    PSPNET: "pspnet_r50-d8_4xb2-40k_cityscapes-512x1024",
    PSPNET_ADE20K: "pspnet_r101-d8_4xb2-80k_cityscapes-512x1024",
    DEEPLAB: "deeplabv3plus_r50-d8_4xb2-40k_cityscapes-512x1024",
    DEEPLAB_VOC: "deeplabv3plus_r101-d8_4xb2-80k_cityscapes-512x1024",
    WINDOWS_PSPNET: "pspnet_r50-d8_4xb2-80k_cityscapes-769x769",
    WINDOWS_DEEPLAB: "deeplabv3plus_r50-d8_4xb2-80k_cityscapes-769x769",
    DEEPLAB_V3: "deeplabv3_r50-d8_4xb2-40k_cityscapes-512x1024",
    DEEPLAB_ADE20K: "deeplabv3plus_r50-d8_4xb4-80k_ade20k-512x512",
    PSPNET_VOC: "pspnet_r50-d8_4xb4-20k_voc12aug-512x512",
    GCNET: "gcnet_r50-d8_4xb2-40k_cityscapes-512x1024",
    GCNET_ADE20K: "gcnet_r50-d8_4xb4-80k_ade20k-512x512",
    GCNET_VOC: "gcnet_r50-d8_4xb4-20k_voc12aug-512x512",
}
"""Row to the manifest of the network that is published for it, but for the number of classes."""


def listed(golden: Path, name: str) -> dict[str, Tensor]:
    return manifest(golden / "manifests", name)


def with_classes(state: dict[str, Tensor], count: int) -> dict[str, Tensor]:
    """The manifest of the same network with `count` classes."""
    resized = {}
    for key, tensor in state.items():
        shape = (count, *tensor.shape[1:]) if "conv_seg" in key else tensor.shape
        resized[key] = torch.empty(shape, device="meta")
    return resized


def test_published_rows() -> None:
    named = {row for row in SEGMENTERS if any(entry.name == "mmsegmentation" for entry in ROWS[row].published)}
    assert named == set(PUBLISHED)


@pytest.mark.parametrize("row", PUBLISHED)
def test_published_weights_are_the_rows_model(golden: Path, row: str) -> None:
    model, told = ROWS[row].recipe().model, ROWS[row].published[0].config
    state = with_classes(listed(golden, f"mmlab/{PUBLISHED[row]}"), model.num_classes)
    assert loads(state, row, f"w.pth\n{told}") == model


@pytest.mark.parametrize("name", MMSEGMENTATION)
def test_files_of_mmsegmentation_get_their_options(golden: Path, name: str) -> None:
    fits: Fits = LISTED[name]
    own = ROWS[fits.row].recipe().model
    expected = replace(own, num_classes=fits.classes, backbone=replace(own.backbone, **fits.body))
    if fits.body.get("depth") == 18:  # their heads are narrower, too
        low = {"low_channels": 12} if hasattr(own, "low_channels") else {}
        expected = replace(expected, channels=128, aux=replace(own.aux, channels=64), **low)
    assert loads(listed(golden, name), fits.row) == expected


@pytest.mark.parametrize("name", MMSEGMENTATION)
def test_files_for_inference_alone_have_no_auxiliary_head(golden: Path, name: str) -> None:
    fits: Fits = LISTED[name]
    state = {key: x for key, x in listed(golden, name).items() if not key.startswith("auxiliary_head.")}
    assert loads(state, fits.row).aux is None


def as_mmsegmentation_saves_group_norms(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """It names norms after their kind, and those have no statistics."""
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    kept = {key: x for key, x in state.items() if not key.endswith(statistics)}
    return {key.replace(".bn", ".gn"): x for key, x in kept.items()}


@pytest.mark.parametrize("name", MMSEGMENTATION)
def test_files_with_group_norms(golden: Path, name: str) -> None:
    """How many groups they have no file tells."""
    fits: Fits = LISTED[name]
    row = ROWS[fits.row].recipe().model
    decided: dict[str, Any] = {"norm_groups": 4, "backbone": replace(row.backbone, norm_groups=8)}
    config = loads(as_mmsegmentation_saves_group_norms(listed(golden, name)), fits.row, **decided)
    assert (config.norm, config.norm_groups) == ("group", 4)
    assert (config.backbone.norm, config.backbone.norm_groups) == ("group", 8)
    assert replace(config, norm="batch").num_classes == fits.classes


@pytest.mark.parametrize(
    ("case", "row", "options"),
    [
        ("pspnet/pspnet_d8", PSPNET, {}),
        ("gcnet_segmentation/gcnet_d8", GCNET, {}),
        # what no file tells stays as the user has set it
        ("deeplabv3plus/deeplabv3plus_d8", DEEPLAB, {"align_corners": True}),
        ("deeplab/deeplabv3plus_r50", DEEPLAB, {"pool_window": (8, 12)}),
    ],
)
def test_golden_files(golden: Path, case: str, row: str, options: dict[str, Any]) -> None:
    """Through their path, with a body of their size: the classes and the rest come out of them."""
    path = golden / case / "weights.safetensors"
    body = {"depth": 18, "width": 8, "stem_channels": 8}
    if case == "pspnet/pspnet_d8":
        body = {"depth": 50, "width": 6, "stem_channels": 8}
    elif case == "deeplab/deeplabv3plus_r50":
        body = {"depth": 50, "width": 8, "stem_channels": 8, "out_channels": 16}
    recipe = ROWS[row].recipe()
    model = replace(recipe.model, backbone=replace(recipe.model.backbone, **body), **options)
    loaded, resolved, *_ = build_with_weights(replace(recipe, model=model, weights=str(path)))
    ours, _ = read_state(load_file(path), replace(recipe, model=model), case)
    assert all(x.equal(ours[key]) for key, x in loaded.state_dict().items() if key in ours)
    assert class_count(resolved.model) == (7 if "pool_window" in options else 6)
    assert all(getattr(resolved.model, name) == value for name, value in options.items())


@pytest.mark.parametrize(
    ("theirs", "ours", "what"),
    [
        (PSPNET, FCN, "PSPNet"),
        (FCN, GCNET, "FCN"),
        (GCNET, DEEPLAB, "GCNet"),
        (DEEPLAB, PSPNET, r"DeepLab v3\+"),
        ("retinanet_r50_fpn_1x", PSPNET, "RetinaNet"),
        (PSPNET, "retinanet_r50_fpn_1x", "PSPNet"),
        ("treefilter_r50_voc", FCN, "TreeFilter"),
    ],
)
def test_weights_of_another_system_are_called_by_their_name(theirs: str, ours: str, what: str) -> None:
    with torch.device("meta"):
        state = narrow(theirs).model.build().state_dict()
    with pytest.raises(WeightsError, match=rf"holds weights of {what}.*, the row is another system; choose .*{theirs}"):
        read_state(state, narrow(ours), "the file")


@pytest.mark.parametrize("name", MMSEGMENTATION)
def test_files_of_mmsegmentation_in_rows_of_other_systems(golden: Path, name: str) -> None:
    fits: Fits = LISTED[name]
    for row in (FCN, PSPNET, GCNET, DEEPLAB):
        if row.split("_")[0] != fits.row.split("_")[0]:
            with pytest.raises(WeightsError, match=r"the row is another system; choose a row of that system"):
                loads(listed(golden, name), row)


@cache
def of_torchvision(name: str) -> dict[str, Tensor]:
    with torch.device("meta"):
        return getattr(segmentation, name)(weights=None, weights_backbone=None).state_dict()


@pytest.mark.parametrize("row", SEGMENTERS)
@pytest.mark.parametrize("name", ["lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large"])
def test_torchvisions_networks_that_the_zoo_has_not(name: str, row: str) -> None:
    state = of_torchvision(name)
    model = ROWS[row].recipe().model
    for config in (model, replace(model, low_channels=0)) if hasattr(model, "low_channels") else (model,):
        with pytest.raises(WeightsError, match=r"no weights of a model that cvzoo knows; \d+ keys: backbone\.0\.0"):
            read_state(state, replace(ROWS[row].recipe(), model=config), "the file")


def test_dilations_are_those_of_the_files_depth(golden: Path) -> None:
    """A grid for three blocks fits none of two, which a shallow row has."""
    state = listed(golden, "detectron2/deeplab_v3_plus_R_103_os16_mg124_poly_90k_bs16")
    body = loads(state, DEEPLAB, backbone=ResNetConfig(depth=18)).backbone
    assert (body.depth, body.multi_grid) == (101, (2, 4, 8))


@pytest.mark.parametrize("row", SEGMENTERS)
def test_rows_score_the_classes_of_their_data(row: str) -> None:
    recipe = ROWS[row].recipe()
    if recipe.data.source == "label_maps":
        assert class_count(recipe.model) == len(recipe.data.label_maps.classes)
    assert class_count(recipe.model) == recipe.model.num_classes


@pytest.mark.parametrize("row", SEGMENTERS)
def test_narrow_models_have_all_parts_of_their_rows(row: str) -> None:
    """With fewer blocks, and as many norms of every kind, groups included."""
    own, config = ROWS[row].recipe().model, narrow(row).model
    model = narrow(row, norm="group").model.build()
    assert isinstance(model, Segmenter)
    # the largest is DeepLab v3's, whose convolutions are not separable
    assert sum(p.numel() for p in model.head.parameters()) < 140_000
    assert (config.aux is None) == (own.aux is None)
    assert type(config.backbone) is type(own.backbone)
    assert config.num_classes == 4
