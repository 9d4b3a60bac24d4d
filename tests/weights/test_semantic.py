"""Weights for semantic segmentation in the rows that name them: systems, options, classes."""

import json
from dataclasses import replace

import pytest
import torch
from cvzoo.weights.adapt import class_count, config_for
from cvzoo.weights.load import build_with_weights, load_state
from cvzoo.weights.published import PUBLISHED
from safetensors.torch import load_file, save_file
from torchvision.models import segmentation
from weights.narrow import (
    DEEPLAB,
    DEEPLAB_VOC,
    FCN,
    GCNET,
    MASK_RCNN,
    MASK_RCNN_GCB,
    PSPNET,
    PSPNET_ADE20K,
    RETINANET,
    SEGMENTERS,
    equal_states,
    narrow,
)
from weights.test_manifests_semantic import DEEPLAB as DETECTRON2
from weights.test_manifests_semantic import SEGMENTATION, config_of, manifest

from cvzoo.nn.resnet import ResNetConfig
from cvzoo.parts.semantic.head import DILATED
from cvzoo.recipes import ROWS
from cvzoo.recipes.codec import to_json
from cvzoo.weights import dialects_semantic
from cvzoo.weights.errors import WeightsError
from cvzoo.weights.keys import to_ours

ROW_OF = {"fcn": FCN, "pspnet": PSPNET, "gcnet": GCNET, "deeplabv3plus": DEEPLAB, "deeplabv3": DEEPLAB}
"""By the first part of a manifest's name."""
MANIFESTS = {
    FCN: "fcn_r50-d8_4xb2-40k_cityscapes-512x1024",
    PSPNET: "pspnet_r50-d8_4xb2-40k_cityscapes-512x1024",
    PSPNET_ADE20K: "pspnet_r101-d8_4xb2-80k_cityscapes-512x1024",
    DEEPLAB: "deeplabv3plus_r50-d8_4xb2-40k_cityscapes-512x1024",
    DEEPLAB_VOC: "deeplabv3plus_r101-d8_4xb2-80k_cityscapes-512x1024",
    GCNET: "gcnet_r50-d8_4xb2-40k_cityscapes-512x1024",
}
"""Row to the manifest of the network that is published for it, but for the number of classes."""


def loads(state, row, **options):
    """The config for `state` in `row` with `options` for its model; the state has been loaded into it strictly."""
    ours = to_ours(state)
    config = config_for(ours, state, replace(ROWS[row].recipe().model, **options), "the file")
    with torch.device("meta"):
        load_state(config.build(), ours, "the file")
    return config


def with_classes(state, count):
    """The manifest of the same network with `count` classes."""
    resized = {}
    for key, tensor in state.items():
        shape = (count, *tensor.shape[1:]) if "conv_seg" in key else tensor.shape
        resized[key] = torch.empty(shape, device="meta")
    return resized


def test_published_rows():
    named = {row for row, entries in PUBLISHED.items() if "mmsegmentation" in entries}
    assert named == set(MANIFESTS)
    assert all(ROWS[row].references[0].results == PUBLISHED[row]["mmsegmentation"].results for row in named)


@pytest.mark.parametrize("row", MANIFESTS)
def test_published_weights_are_the_rows_model(golden, row):
    model = ROWS[row].recipe().model
    assert PUBLISHED[row]["mmsegmentation"].config == model
    state = with_classes(manifest(golden, f"mmlab/{MANIFESTS[row]}"), model.num_classes)
    assert loads(state, row) == model


@pytest.mark.parametrize("name", SEGMENTATION)
def test_files_of_mmsegmentation_get_their_options(golden, name):
    """All of the network is seen in the file but the body, which is the row's."""
    row, expected = ROW_OF[name.split("_")[0]], config_of(name)
    v3 = {"low_channels": 0} if name.startswith("deeplabv3_") else {}
    assert loads(manifest(golden, f"mmlab/{name}"), row, backbone=expected.backbone, **v3) == expected


@pytest.mark.parametrize("name", DETECTRON2)
def test_files_of_detectron2_get_their_options(golden, name):
    plus = "plus" in name
    config = loads(manifest(golden, f"detectron2/{name}"), DEEPLAB_VOC, **({} if plus else {"low_channels": 0}))
    expected = dialects_semantic.deeplabv3plus_detectron2() if plus else dialects_semantic.deeplabv3_detectron2()
    assert config == expected


@pytest.mark.parametrize("name", ["fcn_resnet50", "fcn_resnet101", "deeplabv3_resnet50", "deeplabv3_resnet101"])
@pytest.mark.parametrize("aux", [True, False])
def test_files_of_torchvision_get_their_options(name, aux):
    """In rows with mmsegmentation's deep stem; their auxiliary head may be absent."""
    depth = int(name.removeprefix("fcn_resnet").removeprefix("deeplabv3_resnet"))
    with torch.device("meta"):
        theirs = getattr(segmentation, name)(weights=None, weights_backbone=None, aux_loss=aux).state_dict()
    fcn = name.startswith("fcn")
    body = replace(DILATED, depth=depth)
    found = loads(theirs, FCN if fcn else DEEPLAB, backbone=body, **({} if fcn else {"low_channels": 0}))
    expected = dialects_semantic.fcn_torchvision() if fcn else dialects_semantic.deeplabv3_torchvision()
    assert found == replace(expected, backbone=replace(body, deep_stem=False), aux=expected.aux if aux else None)


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
def test_golden_files(golden, case, row, options):
    """Through their path, with a body of their size: the classes and the rest come out of them."""
    path = golden / case / "weights.safetensors"
    state = load_file(path)
    body = {"depth": 18, "width": 8, "stem_channels": 8}
    if case == "pspnet/pspnet_d8":
        body = {"depth": 50, "width": 6, "stem_channels": 8}
    elif case == "deeplab/deeplabv3plus_r50":
        body = {"depth": 50, "width": 8, "stem_channels": 8, "out_channels": 16}
    recipe = ROWS[row].recipe()
    model = replace(recipe.model, backbone=replace(recipe.model.backbone, **body), **options)
    loaded, resolved = build_with_weights(replace(recipe, model=model, weights=str(path)))
    ours = to_ours(state)
    assert all(x.equal(ours[key]) for key, x in loaded.state_dict().items() if key in ours)
    assert class_count(resolved.model) == (7 if row == DEEPLAB and "pool_window" in options else 6)
    assert all(getattr(resolved.model, name) == value for name, value in options.items())


def save(recipe, path, with_recipe):
    model = recipe.model.build()
    save_file(model.state_dict(), path, {"recipe": json.dumps(to_json(recipe))} if with_recipe else None)
    return model


@pytest.mark.parametrize("row", [*SEGMENTERS, MASK_RCNN_GCB])
def test_own_files(tmp_path, row):
    """With their recipe they bring all options; without, the classes."""
    recipe = narrow(row, num_classes=5)
    saved = save(recipe, tmp_path / "model.safetensors", with_recipe=True)
    model, resolved = build_with_weights(replace(ROWS[row].recipe(), weights=str(tmp_path)))
    assert equal_states(model, saved)
    assert resolved.model == recipe.model
    saved = save(recipe, tmp_path / "plain.safetensors", with_recipe=False)
    model, resolved = build_with_weights(replace(narrow(row), weights=str(tmp_path / "plain.safetensors")))
    assert equal_states(model, saved)
    assert class_count(resolved.model) == 5


def test_another_number_of_classes_is_said_plainly():
    three, seven = narrow(PSPNET, num_classes=3).model.build(), narrow(PSPNET, num_classes=7).model.build()
    message = r"scores 7 classes, the model 3: set --model\.num-classes 7\. .*another shape: .*aux_head"
    with pytest.raises(WeightsError, match=message):
        load_state(three, seven.state_dict(), "w.pth")


@pytest.mark.parametrize(
    ("theirs", "ours", "system"),
    [
        (PSPNET, FCN, "PSPNet"),
        (FCN, GCNET, "FCN"),
        (GCNET, DEEPLAB, "GCNet"),
        (DEEPLAB, PSPNET, r"DeepLab v3\+"),
        (RETINANET, PSPNET, "RetinaNet.*"),
        (PSPNET, RETINANET, "PSPNet"),
        (MASK_RCNN, MASK_RCNN_GCB, "Mask R-CNN"),
        (MASK_RCNN_GCB, MASK_RCNN, "Mask R-CNN with context blocks"),
    ],
)
@pytest.mark.parametrize("with_recipe", [True, False])
def test_weights_of_another_system(tmp_path, theirs, ours, system, with_recipe):
    save(narrow(theirs), tmp_path / "w.safetensors", with_recipe)
    with pytest.raises(WeightsError, match=rf"weights of {system}, the row is another system; choose .*{theirs}"):
        build_with_weights(replace(narrow(ours), weights=str(tmp_path / "w.safetensors")))


def test_deeplab_v3_has_no_row_but_an_option(golden):
    state = manifest(golden, "mmlab/deeplabv3_r50-d8_4xb2-40k_cityscapes-512x1024")
    with pytest.raises(
        WeightsError, match=r"weights of DeepLab v3, .*one of DeepLab v3\+ with --model\.low-channels 0"
    ):
        loads(state, DEEPLAB)


def test_a_segmentation_network_that_is_not_known():
    state = {"neither.weight": torch.zeros(1), "head.classifier.conv.bias": torch.zeros(3)}
    with pytest.raises(WeightsError, match=r"cvzoo does not know; it knows FCN, PSPNet, .*--backbone-weights"):
        config_for(state, state, ROWS[PSPNET].recipe().model, "the file")


def test_conventions_that_are_not_known():
    """detectron2 has no PSPNet."""
    with torch.device("meta"):
        state = ROWS[PSPNET].recipe().model.build().state_dict()
    with pytest.raises(WeightsError, match=r"detectron2's PSPNet, whose conventions cvzoo does not know"):
        config_for(state, ["sem_seg_head.predictor.weight"], ROWS[PSPNET].recipe().model, "the file")


def test_a_file_of_another_depth_is_refused_by_its_keys(golden):
    """DeepLab's dilations for three blocks do not get in the way of saying so."""
    state = manifest(golden, "detectron2/deeplab_v3_plus_R_103_os16_mg124_poly_90k_bs16")
    with pytest.raises(WeightsError, match="does not fit the model"):
        loads(state, DEEPLAB, backbone=ResNetConfig(depth=18))


@pytest.mark.parametrize("row", [name for name, row in ROWS.items() if row.task == "segmentation"])
def test_rows_score_the_classes_of_their_data(row):
    recipe = ROWS[row].recipe()
    if recipe.data.source == "label_maps":
        assert class_count(recipe.model) == len(recipe.data.label_maps.classes)
    assert class_count(recipe.model) == recipe.model.num_classes
