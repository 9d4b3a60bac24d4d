"""Weights into models and recipes: all or nothing, and the options that come with them."""

import json
from dataclasses import replace

import pytest
import torch
from cvzoo.weights.load import WeightsError, build_with_weights, load_state
from cvzoo.weights.published import PUBLISHED, Published
from safetensors.torch import load_file, save_file
from weights.narrow import (
    ATSS,
    CASCADE_MASK_RCNN,
    CASCADE_RCNN,
    FASTER_RCNN,
    FASTER_RCNN_C4,
    FCOS,
    FCOS_IMPROVED,
    FREEANCHOR,
    MASK_RCNN,
    REPPOINTS,
    REPPOINTS_MINMAX,
    RETINANET,
    SYSTEMS,
    TRIDENTNET,
    equal_states,
    narrow,
)

from cvzoo.ops.detect import DetectConfig
from cvzoo.recipes import ROWS
from cvzoo.recipes.codec import to_json
from cvzoo.weights import dialects
from cvzoo.weights.download import Remote


@pytest.fixture(params=SYSTEMS)
def row(request):
    return request.param


def save(recipe, path, with_recipe=True):
    """A file as training writes it; returns its model."""
    model = recipe.model.build()
    metadata = {"recipe": json.dumps(to_json(recipe))} if with_recipe else None
    save_file(model.state_dict(), path, metadata)
    return model


def test_another_number_of_classes_is_said_plainly(row):
    three, seven = narrow(row, num_classes=3).model.build(), narrow(row, num_classes=7).model.build()
    with pytest.raises(
        WeightsError, match=r"scores 7 classes, the model 3: set --model\.num-classes 7\. .*another shape"
    ):
        load_state(three, seven.state_dict(), "w.pth")


def test_a_mismatch_is_listed_and_loads_nothing(row):
    model = narrow(row).model.build()
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    state = {key: tensor + 1 for key, tensor in before.items()}
    del state["backbone.bn1.weight"]
    state |= {"extra.weight": torch.zeros(1), "backbone.conv1.weight": torch.zeros(8, 3, 3, 3)}
    with pytest.raises(WeightsError) as error:
        load_state(model, state, "w.pth")
    assert str(error.value) == (
        "w.pth does not fit the model, nothing was loaded. 1 missing: backbone.bn1.weight."
        " 1 left over: extra.weight. 1 of another shape: backbone.conv1.weight 8x3x3x3 where the model has 8x3x7x7"
    )
    assert all(tensor.equal(before[key]) for key, tensor in model.state_dict().items())


def test_long_lists_are_cut():
    model = narrow(RETINANET).model.build()
    with pytest.raises(WeightsError, match=r"\d+ missing: (\S+, ){7}\S+ and \d+ more$"):
        load_state(model, {}, "w.pth")


def test_counters_may_be_missing_or_too_many():
    frozen = narrow(RETINANET).model
    trained = replace(frozen, backbone=replace(frozen.backbone, norm="batch"))
    source = trained.build()
    load_state(frozen.build(), source.state_dict(), "w.pth")
    model = trained.build()
    state = {key: x for key, x in source.state_dict().items() if "num_batches" not in key and key != "positives"}
    load_state(model, state, "w.pth")
    assert model.positives == 100


def test_own_files_bring_their_options(row, tmp_path):
    recipe = narrow(row, num_classes=5)
    saved = save(recipe, tmp_path / "model.safetensors")
    for weights in (tmp_path / "model.safetensors", tmp_path):
        model, resolved = build_with_weights(replace(ROWS[row].recipe(), weights=str(weights)))
        assert equal_states(model, saved)
        assert resolved.model == recipe.model == model.config
    again, resolved_again = build_with_weights(resolved)
    assert equal_states(again, saved)
    assert resolved_again == resolved


def test_own_checkpoints_and_files_without_a_recipe(row, tmp_path):
    recipe = narrow(row, num_classes=5)
    saved = save(recipe, tmp_path / "plain.safetensors", with_recipe=False)
    state = {key: tensor + 1 for key, tensor in saved.state_dict().items()}
    checkpoint = {"model": state, "ema": saved.state_dict(), "optimiser": {}, "recipe": to_json(recipe)}
    torch.save(checkpoint, tmp_path / "checkpoint.pt")
    model, resolved = build_with_weights(replace(recipe, weights=str(tmp_path / "plain.safetensors")))
    assert equal_states(model, saved)
    model, resolved = build_with_weights(replace(ROWS[row].recipe(), weights=str(tmp_path / "checkpoint.pt")))
    assert equal_states(model, saved)
    assert resolved.model == recipe.model


def test_what_the_user_set_stays(tmp_path):
    save(narrow(RETINANET, num_classes=5), tmp_path / "w.safetensors")
    recipe = ROWS[RETINANET].recipe()
    detect = DetectConfig(clip_first=False, score_threshold=0.3)
    asked = replace(
        recipe, model=replace(recipe.model, detect=detect, candidates=50), weights=str(tmp_path / "w.safetensors")
    )
    _, resolved = build_with_weights(asked)
    assert resolved.model == narrow(RETINANET, num_classes=5, detect=detect, candidates=50).model


def test_other_classes_than_the_weights_have(row, tmp_path):
    path = tmp_path / "w.safetensors"
    save(narrow(row, num_classes=5), path)
    asked = replace(narrow(row, num_classes=3), weights=str(path))
    with pytest.raises(
        WeightsError, match=r"scores 5 classes, the recipe asks for 3\. Leave out --model\.num-classes 3"
    ):
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
    ],
)
def test_weights_of_another_system(tmp_path, theirs, ours):
    save(narrow(theirs), tmp_path / "w.safetensors")
    save(narrow(theirs), tmp_path / "plain.safetensors", with_recipe=False)
    for name, rows in (("w", rf"\({theirs}\)"), ("plain", rf"\(.*{theirs}.*\)")):
        path = tmp_path / f"{name}.safetensors"
        with pytest.raises(WeightsError, match=rf"another system; choose .* system {rows}.*--backbone-weights {path}"):
            build_with_weights(replace(narrow(ours), weights=str(path)))


@pytest.mark.parametrize(("theirs", "ours"), [(FREEANCHOR, RETINANET), (ATSS, FCOS)])
def test_own_files_of_another_system_with_the_same_keys(tmp_path, theirs, ours):
    """Only the recipe in the file tells them apart."""
    path = tmp_path / "w.safetensors"
    save(narrow(theirs), path)
    with pytest.raises(WeightsError, match=rf"weights of \w+, the row is another system; .* \({theirs}\)"):
        build_with_weights(replace(narrow(ours), weights=str(path)))


@pytest.mark.parametrize(("theirs", "ours"), [(FASTER_RCNN_C4, TRIDENTNET), (TRIDENTNET, FASTER_RCNN_C4)])
def test_own_files_of_a_system_with_the_same_weights(tmp_path, theirs, ours):
    """The network and what it sees come from the file, how many proposals it is trained on from the row."""
    body = replace(narrow(TRIDENTNET).model.backbone, stride_in_1x1=True)
    saved_recipe = narrow(theirs, backbone=body, num_classes=5, pixels=dialects.CAFFE_C4)
    saved = save(saved_recipe, tmp_path / "w.safetensors")
    recipe = ROWS[ours].recipe()
    model, resolved = build_with_weights(replace(recipe, weights=str(tmp_path / "w.safetensors")))
    assert equal_states(model, saved)
    box_head = replace(recipe.model.box_head, fc_channels=8)
    expected = {"backbone": body, "num_classes": 5, "pixels": dialects.CAFFE_C4, "box_head": box_head}
    assert resolved.model == replace(recipe.model, **expected)


def test_options_of_another_version(tmp_path):
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
def test_unknown_weights(weights, message):
    with pytest.raises(WeightsError, match=message):
        build_with_weights(replace(narrow(RETINANET), weights=weights))


def test_a_published_name_downloads_and_brings_its_dialect(golden, tmp_path, monkeypatch):
    """A name of the table, from a store of files, with its checksum; the recipe gets the options of the dialect."""
    case = golden / "retinanet" / "retinanet_r50_fpn"
    size = {"depth": 50, "width": 8, "stem_channels": 8, "out_channels": 16}
    options = json.loads((case / "case.json").read_text())["options"]["MODEL"]
    torch.save({"model": load_file(case / "weights.safetensors")}, tmp_path / "tiny.pth")
    dialect = dialects.retinanet_detectron2()
    config = replace(
        dialect,
        num_classes=options["RETINANET"]["NUM_CLASSES"],
        tower_convs=options["RETINANET"]["NUM_CONVS"],
        backbone=replace(dialect.backbone, **size),
        fpn=replace(dialect.fpn, channels=options["FPN"]["OUT_CHANNELS"]),
    )
    file = Remote(url=f"file://{tmp_path}/tiny.pth", algorithm="sha256", digest="")
    entry = Published(file=file, config=config, results={}, source="")
    monkeypatch.setitem(PUBLISHED[RETINANET], "tiny", entry)
    model, resolved = build_with_weights(replace(ROWS[RETINANET].recipe(), weights="tiny"))
    assert resolved.model == config
    assert model.config.backbone.stride_in_1x1


@pytest.mark.parametrize(
    ("case", "row", "dialect"),
    [
        ("retinanet/retinanet_r50_fpn", RETINANET, dialects.retinanet_detectron2()),
        ("retinanet_mmdet/retinanet_fpn", RETINANET, dialects.retinanet_mmdetection()),
        ("fcos/fcos_r50_fpn", FCOS_IMPROVED, dialects.fcos_detectron2()),
        ("fcos_mmdet/fcos-caffe_fpn_gn-head", FCOS, dialects.fcos_mmdetection()),
        (
            "fcos_mmdet/fcos-caffe_center-normbbox-centeronreg-giou",
            FCOS_IMPROVED,
            dialects.fcos_mmdetection_improved(),
        ),
        ("atss/atss_fpn", ATSS, dialects.atss_mmdetection()),
        ("freeanchor/freeanchor_fpn", FREEANCHOR, dialects.freeanchor_mmdetection()),
        ("reppoints/moment_fpn-gn_head-gn", REPPOINTS, dialects.reppoints_mmdetection()),
        ("reppoints/moment_fpn", REPPOINTS, dialects.reppoints_mmdetection_without_norm()),
        (
            "reppoints/minmax_fpn-gn_head-gn",
            REPPOINTS_MINMAX,
            replace(dialects.reppoints_mmdetection(), points_to_box="minmax"),
        ),
        ("faster_rcnn/faster_rcnn_r50_fpn", FASTER_RCNN, dialects.faster_rcnn_detectron2()),
        ("faster_rcnn/faster_rcnn_r50_c4", FASTER_RCNN_C4, dialects.faster_rcnn_c4_detectron2()),
        ("tridentnet/tridentnet_fast_r50_c4", TRIDENTNET, dialects.tridentnet_detectron2()),
        ("tridentnet/tridentnet_fast_r50_c4", FASTER_RCNN_C4, dialects.faster_rcnn_c4_detectron2()),
        ("mask_rcnn/mask_rcnn_r50_fpn", MASK_RCNN, dialects.mask_rcnn_detectron2()),
        ("cascade_rcnn/cascade_mask_rcnn_r50_fpn", CASCADE_MASK_RCNN, dialects.cascade_mask_rcnn_detectron2()),
        (
            "cascade_mask_rcnn_mmdet/cascade-mask-rcnn_fpn",
            CASCADE_MASK_RCNN,
            dialects.cascade_mask_rcnn_mmdetection(),
        ),
    ],
)
def test_a_file_of_another_toolbox_gets_its_dialect(golden, case, row, dialect):
    """Conventions from the toolbox, sizes from the row, classes from the file."""
    path, mmdet = (
        golden / case / "weights.safetensors",
        json.loads((golden / case / "case.json").read_text()).get("model"),
    )
    body = {"depth": 50, "width": 8, "stem_channels": 8, "out_channels": 16}
    if mmdet:
        body = {"depth": mmdet["backbone"]["depth"], "width": mmdet["backbone"]["base_channels"]}
    sizes = {
        "fpn": {"channels": 16},
        "box_head": {"fc_channels": 24 if mmdet else 32},
        "mask_head": {"channels": 16, "convs": 2 if mmdet else 4},
    }

    def sized(config):
        parts = {name: replace(getattr(config, name), **size) for name, size in sizes.items() if has(config, name)}
        return replace(config, backbone=replace(config.backbone, **body), **parts)

    recipe = narrow(row)
    loaded, resolved = build_with_weights(replace(recipe, model=sized(recipe.model), weights=str(path)))
    towers = {"tower_convs": 2} if has(dialect, "tower_convs") else {}
    classes = 6 if mmdet and "bbox_head" in mmdet else 5
    assert resolved.model == replace(sized(dialect), num_classes=classes, **towers)
    source = load_file(path)
    conv1 = next(key for key in source if key.endswith("conv1.weight") and source[key].shape[1] == 3)
    assert loaded.backbone.conv1.weight.equal(source[conv1])


def has(config, name):
    return getattr(config, name, None) is not None
