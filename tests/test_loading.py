"""Weights into models and recipes: all or nothing, and the options that come with them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from weights.reading import NETWORKS, equal_states, readers
from zoo.systems import narrow

from cvzoo import loading
from cvzoo.loading import build_with_weights, read_state
from cvzoo.ops.detect import DetectConfig
from cvzoo.recipes import Recipe
from cvzoo.recipes.codec import to_json
from cvzoo.weights.conventions import CAFFE_C4
from cvzoo.weights.download import Remote
from cvzoo.weights.errors import WeightsError
from cvzoo.weights.strict import load_state
from cvzoo.zoo import ROWS, SYSTEMS, system_of
from cvzoo.zoo.retinanet.weights import DETECTRON2
from cvzoo.zoo.system import Published

RETINANET, FREEANCHOR, FCOS, ATSS = (
    *("retinanet_r50_fpn_1x", "freeanchor_r50_fpn_1x"),
    *("fcos_r50_fpn_1x", "atss_r50_fpn_1x"),
)
FASTER_RCNN, FASTER_RCNN_C4, TRIDENTNET = "faster_rcnn_r50_fpn_1x", "faster_rcnn_r50_c4_1x", "tridentnet_r50_c4_1x"
MASK_RCNN, MASK_RCNN_GCB = "mask_rcnn_r50_fpn_1x", "mask_rcnn_r50_fpn_gcb_r16_1x"
CASCADE_RCNN, CASCADE_MASK_RCNN = "cascade_rcnn_r50_fpn_1x", "cascade_mask_rcnn_r50_fpn_1x"
REPPOINTS, REPPOINTS_MINMAX = "reppoints_r50_fpn_moment_1x", "reppoints_r50_fpn_minmax_1x"
FCN, PSPNET = "fcn_r50_d8_cityscapes", "pspnet_r50_d8_cityscapes"


@pytest.fixture(params=NETWORKS)
def row(request: pytest.FixtureRequest) -> str:
    return request.param


def save(recipe: Recipe[Any], path: Path, with_recipe: bool = True) -> nn.Module:
    """A file as training writes it; returns its model."""
    model = recipe.model.build()
    metadata = {"recipe": json.dumps(to_json(recipe))} if with_recipe else None
    save_file(model.state_dict(), path, metadata)
    return model


def test_a_mismatch_is_listed_and_loads_nothing(row: str) -> None:
    model = narrow(row).model.build()
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    state = {key: tensor + 1 for key, tensor in before.items()}
    body = {key: tensor.ndim for key, tensor in before.items() if key.startswith("backbone.")}
    gone = next(key for key, dimensions in body.items() if dimensions == 1)
    resized = next(key for key, dimensions in body.items() if dimensions == 4)
    del state[gone]
    state |= {"extra.weight": torch.zeros(1), resized: torch.zeros(9, 3, 3, 3)}
    with pytest.raises(WeightsError) as error:
        load_state(model, state, "w.pth")
    shape = "x".join(map(str, before[resized].shape))
    assert str(error.value) == (
        f"w.pth does not fit the model, nothing was loaded. 1 missing: {gone}."
        f" 1 left over: extra.weight. 1 of another shape: {resized} 9x3x3x3 where the model has {shape}"
    )
    assert all(tensor.equal(before[key]) for key, tensor in model.state_dict().items())


@pytest.mark.parametrize("kind", ["int8", "bool", "complex64"])
def test_weights_that_are_no_real_numbers_are_refused(kind: str) -> None:
    """As quantised ones; another precision is none of that."""
    model = narrow(RETINANET).model.build()
    state = {key: t.half() if t.is_floating_point() else t for key, t in model.state_dict().items()}
    load_state(model, state, "w.pth")
    state["head.cls_out.weight"] = state["head.cls_out.weight"].to(getattr(torch, kind))
    with pytest.raises(WeightsError, match=rf"1 no real numbers: head\.cls_out\.weight {kind}$"):
        load_state(model, state, "w.pth")


def test_long_lists_are_cut() -> None:
    model = narrow(RETINANET).model.build()
    with pytest.raises(WeightsError, match=r"\d+ missing: (\S+, ){7}\S+ and \d+ more$"):
        load_state(model, {}, "w.pth")


def test_counters_may_be_missing_or_too_many() -> None:
    frozen = narrow(RETINANET).model
    trained = replace(frozen, backbone=replace(frozen.backbone, norm="batch"))
    source = trained.build()
    load_state(frozen.build(), source.state_dict(), "w.pth")
    model = trained.build()
    state = {key: x for key, x in source.state_dict().items() if "num_batches" not in key and key != "positives"}
    histogram = {
        f"bbox_head.loss_{part}.{name}": torch.ones(11) for part in ("cls", "bbox") for name in ("edges", "acc_sum")
    }
    load_state(model, state | histogram, "w.pth")
    assert model.positives == 100


def test_own_files_bring_their_options(row: str, tmp_path: Path) -> None:
    recipe = narrow(row, num_classes=5)
    saved = save(recipe, tmp_path / "model.safetensors")
    for weights in (tmp_path / "model.safetensors", tmp_path):
        model, resolved, *_ = build_with_weights(replace(ROWS[row].recipe(), weights=str(weights)))
        assert equal_states(model, saved)
        assert resolved.model == recipe.model == model.config
    again, resolved_again, *_ = build_with_weights(resolved)
    assert equal_states(again, saved)
    assert resolved_again == resolved


def test_own_checkpoints_and_files_without_a_recipe(row: str, tmp_path: Path) -> None:
    recipe = narrow(row, num_classes=5)
    saved = save(recipe, tmp_path / "plain.safetensors", with_recipe=False)
    state = {key: tensor + 1 for key, tensor in saved.state_dict().items()}
    checkpoint = {"model": state, "ema": saved.state_dict(), "optimiser": {}, "recipe": to_json(recipe)}
    torch.save(checkpoint, tmp_path / "checkpoint.pt")
    model, resolved, *_ = build_with_weights(replace(recipe, weights=str(tmp_path / "plain.safetensors")))
    assert equal_states(model, saved)
    model, resolved, *_ = build_with_weights(replace(ROWS[row].recipe(), weights=str(tmp_path / "checkpoint.pt")))
    assert equal_states(model, saved)
    assert resolved.model == recipe.model


def test_the_classes_of_own_files_without_a_recipe_are_the_files(row: str) -> None:
    classes = ROWS[row].recipe().model.num_classes
    with torch.device("meta"):
        state = narrow(row, num_classes=5).model.build().state_dict()
    ours, config = read_state(state, narrow(row, num_classes=classes), "the file")
    assert ours == state
    assert config == narrow(row, num_classes=5).model


def test_what_the_user_set_stays(tmp_path: Path) -> None:
    save(narrow(RETINANET, num_classes=5), tmp_path / "w.safetensors")
    recipe = ROWS[RETINANET].recipe()
    detect = DetectConfig(clip_first=False, score_threshold=0.3)
    asked = replace(recipe.model, detect=detect, candidates=50)
    _, resolved, *_ = build_with_weights(replace(recipe, model=asked, weights=str(tmp_path / "w.safetensors")))
    assert resolved.model == narrow(RETINANET, num_classes=5, detect=detect, candidates=50).model


def test_another_size_than_own_files_were_tested_in_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    own, row = narrow(RETINANET), narrow(RETINANET)
    own = replace(own, data=replace(own.data, test_short_side=96, max_long_side=2000))
    save(own, tmp_path / "w.safetensors")
    for recipe, told in ((own, 0), (row, 1)):
        build_with_weights(replace(recipe, weights=str(tmp_path / "w.safetensors")))
        assert len(caplog.messages) == told
    assert caplog.messages[0].endswith("as there: --data.test-short-side 96 --data.max-long-side 2000")


def test_other_classes_than_the_weights_have(row: str, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save(narrow(row, num_classes=5), path)
    asked = replace(narrow(row, num_classes=3), weights=str(path))
    message = r"scores 5 classes, the recipe asks for 3\. Leave out --model\.num-classes 3"
    with pytest.raises(WeightsError, match=message):
        build_with_weights(asked)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (RETINANET, FASTER_RCNN),
        (FASTER_RCNN_C4, FASTER_RCNN),
        (MASK_RCNN, FASTER_RCNN),
        (FASTER_RCNN, TRIDENTNET),
        (CASCADE_MASK_RCNN, CASCADE_RCNN),
        (CASCADE_RCNN, CASCADE_MASK_RCNN),
        (RETINANET, FREEANCHOR),
        (FCOS, ATSS),
        (REPPOINTS, REPPOINTS_MINMAX),
        (REPPOINTS_MINMAX, REPPOINTS),
        (MASK_RCNN, MASK_RCNN_GCB),
        (MASK_RCNN_GCB, MASK_RCNN),
        (PSPNET, FCN),
        (PSPNET, RETINANET),
        (RETINANET, PSPNET),
    ],
)
def test_weights_of_another_system(tmp_path: Path, theirs: str, ours: str) -> None:
    save(narrow(theirs), tmp_path / "w.safetensors")
    save(narrow(theirs), tmp_path / "plain.safetensors", with_recipe=False)
    for name, rows in (("w", rf"\({theirs}\)"), ("plain", rf"\(.*{theirs}.*\)")):
        path = tmp_path / f"{name}.safetensors"
        with pytest.raises(WeightsError, match=rf"another system; choose .* system {rows}.*--backbone-weights {path}"):
            build_with_weights(replace(narrow(ours), weights=str(path)))


OWN_SHARING = {
    "tridentnet": {"faster_rcnn"},  # one network for both
    "faster_rcnn_r50_c4_1x": {"tridentnet"},
}
"""A system, or a row of it, to the other ones that read our own files of it when they come without their recipe."""


def test_own_files_without_a_recipe_are_read_by_their_system(row: str) -> None:
    key = system_of(row).key
    with torch.device("meta"):
        state = narrow(row).model.build().state_dict()
    others = OWN_SHARING.get(row, OWN_SHARING.get(key, set()))
    assert readers(state) == {(system, "cvzoo") for system in {key, *others}}


@pytest.mark.parametrize(("theirs", "ours"), [(FREEANCHOR, RETINANET), (ATSS, FCOS)])
def test_own_files_of_another_system_with_the_same_keys(tmp_path: Path, theirs: str, ours: str) -> None:
    """They differ in a counter of training alone; the recipe in the file says more than the keys."""
    path = tmp_path / "w.safetensors"
    save(narrow(theirs), path)
    with pytest.raises(WeightsError, match=rf"weights of \w+, the row is another system; .* \({theirs}\)"):
        build_with_weights(replace(narrow(ours), weights=str(path)))


@pytest.mark.parametrize(("theirs", "ours"), [(FASTER_RCNN_C4, TRIDENTNET), (TRIDENTNET, FASTER_RCNN_C4)])
def test_own_files_of_a_system_with_the_same_weights(tmp_path: Path, theirs: str, ours: str) -> None:
    """The network and what it sees come from the file, how many proposals it is trained on from the row."""
    body = replace(narrow(TRIDENTNET).model.backbone, stride_in_1x1=True)
    saved_recipe = narrow(theirs, backbone=body, num_classes=5, pixels=CAFFE_C4)
    saved = save(saved_recipe, tmp_path / "w.safetensors")
    recipe = ROWS[ours].recipe()
    model, resolved, *_ = build_with_weights(replace(recipe, weights=str(tmp_path / "w.safetensors")))
    assert equal_states(model, saved)
    file, own = saved_recipe.model, recipe.model
    training = ("samples", "positive_fraction", "append_truth")
    box_head = replace(file.box_head, **{name: getattr(own.box_head, name) for name in training})
    rpn = replace(file.rpn, post_nms_train=own.rpn.post_nms_train)
    expected = {"backbone": body, "num_classes": 5, "pixels": CAFFE_C4, "box_head": box_head, "rpn": rpn}
    assert resolved.model == replace(own, **expected)


def test_only_systems_that_share_their_weights_adopt_others() -> None:
    saved, wanted = narrow(TRIDENTNET).model, narrow(FASTER_RCNN_C4).model
    assert {system.key for system in SYSTEMS if system.adopt(saved, wanted)} == {"faster_rcnn", "tridentnet"}


def test_options_of_another_version(tmp_path: Path) -> None:
    recipe = narrow(RETINANET)
    saved = to_json(recipe)
    saved["model"]["focal_alhpa"] = 1
    save_file(recipe.model.build().state_dict(), tmp_path / "w.safetensors", {"recipe": json.dumps(saved)})
    with pytest.raises(WeightsError, match=r"another version of cvzoo.*did you mean focal_alpha"):
        build_with_weights(replace(recipe, weights=str(tmp_path / "w.safetensors")))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("torchvison", "no weights named 'torchvison'; did you mean torchvision or .* or give the path"),
        (
            "xyz",
            r"no weights named 'xyz' \(published for retinanet_r50_fpn_1x: torchvision, torchvision_v2, detectron2",
        ),
        ("runs/gone", "there is no weights file runs/gone"),
        ("gone.pth", r"there is no weights file gone\.pth"),
    ],
)
def test_unknown_weights(weights: str, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        build_with_weights(replace(narrow(RETINANET), weights=weights))


def test_weights_of_no_model_are_shown() -> None:
    state = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1)).state_dict()
    message = r"no weights of a model that cvzoo knows; 4 keys: 0\.weight, 0\.bias.*--backbone-weights"
    with pytest.raises(WeightsError, match=message):
        read_state(state, narrow(RETINANET), "the file")
    with pytest.raises(WeightsError, match=r"model that cvzoo knows; 2 keys: neither\.weight, .*--backbone-weights"):
        read_state({"neither.weight": torch.zeros(1), "head.classifier.conv.bias": torch.zeros(3)}, narrow(PSPNET), "f")


def test_the_system_of_a_recipe_that_is_not_of_the_zoo_is_its_models() -> None:
    for row in ROWS:
        recipe = ROWS[row].recipe()
        own = replace(recipe, row="my_own_row")
        if "_gcb_" not in row:  # which have another system's model
            assert loading.system_of(own) is system_of(row)
        assert loading.system_of(recipe) is system_of(row)
    assert loading.published_weights("my_own_row") == {}


def test_a_published_name_downloads_and_brings_its_conventions(
    golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name of the table, from a store of files, with its checksum; the recipe gets the toolbox's options."""
    case = golden / "retinanet" / "retinanet_r50_fpn"
    options = json.loads((case / "case.json").read_text())["options"]["MODEL"]
    torch.save({"model": load_file(case / "weights.safetensors")}, tmp_path / "tiny.pth")
    file = Remote(url=f"file://{tmp_path}/tiny.pth", algorithm="sha256", digest="")
    published = (*ROWS[RETINANET].published, Published(name="tiny", file=file, results={}, page=""))
    monkeypatch.setitem(ROWS, RETINANET, replace(ROWS[RETINANET], published=published))
    recipe = ROWS[RETINANET].recipe()
    body = {"width": 8, "stem_channels": 8, "out_channels": 16}
    fpn = replace(recipe.model.fpn, channels=options["FPN"]["OUT_CHANNELS"])
    sizes = {"fpn": fpn, "tower_convs": options["RETINANET"]["NUM_CONVS"]}
    asked = replace(recipe.model, backbone=replace(recipe.model.backbone, **body), **sizes)
    monkeypatch.chdir(tmp_path)
    Path("tiny").mkdir()  # a folder that happens to be called like them, say a clone of the toolbox
    loaded = build_with_weights(replace(recipe, model=asked, weights="tiny"))
    model, resolved, *_ = loaded
    assert loaded.file is None, "they count as the user's"
    backbone = replace(DETECTRON2.backbone, **body)
    classes = options["RETINANET"]["NUM_CLASSES"]
    assert resolved.model == replace(DETECTRON2, num_classes=classes, backbone=backbone, **sizes)
    assert model.config.backbone.stride_in_1x1
