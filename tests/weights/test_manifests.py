"""Every published checkpoint's keys and shapes map onto our models: none missing, none left over."""

import json
from dataclasses import replace

import pytest
import torch
from cvzoo.weights.adapt import class_count, config_for
from cvzoo.weights.load import WeightsError, load_state, to_ours
from cvzoo.weights.published import PUBLISHED
from torchvision.models import detection
from weights.narrow import (
    ATSS,
    CASCADE_MASK_RCNN,
    CASCADE_RCNN,
    FASTER_RCNN,
    FASTER_RCNN_C4,
    FCOS,
    FCOS_DCN,
    FCOS_IMPROVED,
    FREEANCHOR,
    MASK_RCNN,
    MASK_RCNN_C4,
    MASK_RCNN_GCB,
    REPPOINTS,
    REPPOINTS_2X,
    REPPOINTS_DCN,
    REPPOINTS_MINMAX,
    REPPOINTS_PARTIAL,
    RETINANET,
    SYSTEMS,
    TRIDENTNET,
)

from cvzoo.nn.resnet import ResNetConfig
from cvzoo.recipes import ROWS

R50_GCB = ResNetConfig(context_ratio=1 / 16)
R50_DCN, R101_DCN = ResNetConfig(deform="v2"), ResNetConfig(depth=101, deform="v1")
R50, R101, R18 = ResNetConfig(), ResNetConfig(depth=101), ResNetConfig(depth=18)
X101 = ResNetConfig(depth=101, groups=32, width=256, stem_channels=64, out_channels=256)
MANIFESTS = {
    "detectron2/retinanet_R_50_FPN_1x": (RETINANET, R50),
    "detectron2/retinanet_R_50_FPN_3x": (RETINANET, R50),
    "detectron2/retinanet_R_101_FPN_3x": (RETINANET, R101),
    "detectron2/fcos_R_50_FPN_1x": (FCOS_IMPROVED, R50),
    "detectron2/faster_rcnn_R_50_FPN_1x": (FASTER_RCNN, R50),
    "detectron2/faster_rcnn_R_50_FPN_3x": (FASTER_RCNN, R50),
    "detectron2/faster_rcnn_R_101_FPN_3x": (FASTER_RCNN, R101),
    "detectron2/faster_rcnn_X_101_32x8d_FPN_3x": (FASTER_RCNN, X101),
    "detectron2/pascal_voc_faster_rcnn_R_50_FPN": (FASTER_RCNN, R50),
    "detectron2/faster_rcnn_R_50_C4_1x": (FASTER_RCNN_C4, R50),
    "detectron2/faster_rcnn_R_50_C4_3x": (FASTER_RCNN_C4, R50),
    "detectron2/faster_rcnn_R_101_C4_3x": (FASTER_RCNN_C4, R101),
    "detectron2/pascal_voc_faster_rcnn_R_50_C4": (FASTER_RCNN_C4, R50),
    "detectron2/tridentnet_fast_R_50_C4_1x": (TRIDENTNET, R50),
    "detectron2/tridentnet_fast_R_50_C4_3x": (TRIDENTNET, R50),
    "detectron2/tridentnet_fast_R_101_C4_3x": (TRIDENTNET, R101),
    "detectron2/mask_rcnn_R_50_C4_1x": (MASK_RCNN_C4, R50),
    "detectron2/mask_rcnn_R_50_C4_3x": (MASK_RCNN_C4, R50),
    "detectron2/mask_rcnn_R_101_C4_3x": (MASK_RCNN_C4, R101),
    "detectron2/mask_rcnn_R_50_FPN_1x": (MASK_RCNN, R50),
    "detectron2/mask_rcnn_R_50_FPN_3x": (MASK_RCNN, R50),
    "detectron2/mask_rcnn_R_101_FPN_3x": (MASK_RCNN, R101),
    "detectron2/mask_rcnn_X_101_32x8d_FPN_3x": (MASK_RCNN, X101),
    "detectron2/cityscapes_mask_rcnn_R_50_FPN": (MASK_RCNN, R50),
    "detectron2/lvis_v0.5_mask_rcnn_R_50_FPN_1x": (MASK_RCNN, R50),
    "detectron2/lvis_v0.5_mask_rcnn_R_101_FPN_1x": (MASK_RCNN, R101),
    "detectron2/lvis_v0.5_mask_rcnn_X_101_32x8d_FPN_1x": (MASK_RCNN, X101),
    "detectron2/cascade_mask_rcnn_R_50_FPN_1x": (CASCADE_MASK_RCNN, R50),
    "detectron2/cascade_mask_rcnn_R_50_FPN_3x": (CASCADE_MASK_RCNN, R50),
    "mmlab/retinanet_r18_fpn_1x_coco": (RETINANET, R18),
    "mmlab/retinanet_r50_fpn_1x_coco": (RETINANET, R50),
    "mmlab/retinanet_r101_fpn_1x_coco": (RETINANET, R101),
    "mmlab/fcos_r50-caffe_fpn_gn-head_1x_coco": (FCOS, R50),
    "mmlab/fcos_r50-caffe_fpn_gn-head-center_1x_coco": (FCOS, R50),
    "mmlab/fcos_r50-caffe_fpn_gn-head-center-normbbox-centeronreg-giou_1x_coco": (FCOS_IMPROVED, R50),
    "mmlab/fcos_r101-caffe_fpn_gn-head-1x_coco": (FCOS, R101),
    "mmlab/atss_r50_fpn_1x_coco": (ATSS, R50),
    "mmlab/atss_r101_fpn_1x_coco": (ATSS, R101),
    "mmlab/freeanchor_r50_fpn_1x_coco": (FREEANCHOR, R50),
    "mmlab/freeanchor_r101_fpn_1x_coco": (FREEANCHOR, R101),
    "mmlab/reppoints-minmax_r50_fpn-gn_head-gn_1x_coco": (REPPOINTS_MINMAX, R50),
    "mmlab/reppoints-partial-minmax_r50_fpn-gn_head-gn_1x_coco": (REPPOINTS_PARTIAL, R50),
    "mmlab/reppoints-moment_r50_fpn_1x_coco": (REPPOINTS, R50),
    "mmlab/reppoints-moment_r50_fpn-gn_head-gn_1x_coco": (REPPOINTS, R50),
    "mmlab/reppoints-moment_r50_fpn-gn_head-gn_2x_coco": (REPPOINTS_2X, R50),
    "mmlab/fcos_r50-dcn-caffe_fpn_gn-head-center-normbbox-centeronreg-giou_1x_coco": (FCOS_DCN, R50_DCN),
    "mmlab/reppoints-moment_r101-dconv-c3-c5_fpn-gn_head-gn_2x_coco": (REPPOINTS_DCN, R101_DCN),
    "mmlab/reppoints-moment_r101_fpn-gn_head-gn_2x_coco": ("reppoints_r101_fpn_moment_2x_ms", R101),
    "mmlab/faster-rcnn_r50_fpn_1x_coco": (FASTER_RCNN, R50),
    "mmlab/mask-rcnn_r50_fpn_1x_coco": (MASK_RCNN, R50),
    "mmlab/mask-rcnn_r101_fpn_1x_coco": (MASK_RCNN, R101),
    "mmlab/mask-rcnn_r50-gcb-r16-c3-c5_fpn_1x_coco": (MASK_RCNN_GCB, R50_GCB),
    "mmlab/cascade-rcnn_r50_fpn_1x_coco": (CASCADE_RCNN, R50),
    "mmlab/cascade-mask-rcnn_r50_fpn_1x_coco": (CASCADE_MASK_RCNN, R50),
    "mmlab/cascade-mask-rcnn_r101_fpn_1x_coco": (CASCADE_MASK_RCNN, R101),
}
MMDETECTION = {
    (RETINANET, "mmdetection"): "retinanet_r50_fpn_1x_coco",
    (FCOS, "mmdetection"): "fcos_r50-caffe_fpn_gn-head_1x_coco",
    (FCOS_IMPROVED, "mmdetection"): "fcos_r50-caffe_fpn_gn-head-center-normbbox-centeronreg-giou_1x_coco",
    (FREEANCHOR, "mmdetection"): "freeanchor_r50_fpn_1x_coco",
    (REPPOINTS, "mmdetection"): "reppoints-moment_r50_fpn-gn_head-gn_1x_coco",
    (REPPOINTS, "mmdetection_without_norm"): "reppoints-moment_r50_fpn_1x_coco",
    (FCOS_DCN, "mmdetection"): "fcos_r50-dcn-caffe_fpn_gn-head-center-normbbox-centeronreg-giou_1x_coco",
    (REPPOINTS_DCN, "mmdetection"): "reppoints-moment_r101-dconv-c3-c5_fpn-gn_head-gn_2x_coco",
    (REPPOINTS_2X, "mmdetection"): "reppoints-moment_r50_fpn-gn_head-gn_2x_coco",
    (MASK_RCNN_GCB, "mmdetection"): "mask-rcnn_r50-gcb-r16-c3-c5_fpn_1x_coco",
    (ATSS, "mmdetection"): "atss_r50_fpn_1x_coco",
}
"""Published weights to the manifest of their config."""
CLASSES = {"pascal": 20, "cityscapes": 8, "lvis": 1230}
"""Of those that were not trained on COCO."""
TORCHVISION = {
    (RETINANET, "torchvision"): detection.retinanet_resnet50_fpn,
    (RETINANET, "torchvision_v2"): detection.retinanet_resnet50_fpn_v2,
    (FCOS_IMPROVED, "torchvision"): detection.fcos_resnet50_fpn,
    (FASTER_RCNN, "torchvision"): detection.fasterrcnn_resnet50_fpn,
    (FASTER_RCNN, "torchvision_v2"): detection.fasterrcnn_resnet50_fpn_v2,
    (MASK_RCNN, "torchvision"): detection.maskrcnn_resnet50_fpn,
    (MASK_RCNN, "torchvision_v2"): detection.maskrcnn_resnet50_fpn_v2,
}
PARAMETERS = {
    FASTER_RCNN_C4: 33_791_644,
    TRIDENTNET: 33_791_644,
    FASTER_RCNN: 41_699_936,
    MASK_RCNN: 44_343_216,
    CASCADE_MASK_RCNN: 71_984_926,
}
"""detectron2's own counts, frozen stages included (spec two_stage.md 1.14)."""


def manifest(golden, name):
    """A state dict on the meta device with a manifest's keys and shapes."""
    shapes = json.loads((golden / "manifests" / f"{name}.json").read_text())
    if "same_as" in shapes:
        return manifest(golden, f"{name.split('/')[0]}/{shapes['same_as']}")
    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


def built(builder, **options):
    with torch.device("meta"):
        return builder(weights=None, weights_backbone=None, **options).state_dict()


def loads(state, row, **options):
    """The config for `state` in `row` with `options` for its model; the state has been loaded into it strictly."""
    model = replace(ROWS[row].recipe().model, **options)
    ours = to_ours(state)
    config = config_for(ours, state, model, "the file")
    with torch.device("meta"):
        load_state(config.build(), ours, "the file")
    return config


@pytest.mark.parametrize("name", MANIFESTS)
def test_published_checkpoints_fit(golden, name):
    row, backbone = MANIFESTS[name]
    config = loads(manifest(golden, name), row, backbone=backbone)
    assert config.num_classes == CLASSES.get(name.split("/")[1].split("_")[0], 80)
    assert type(config) is type(ROWS[row].recipe().model)
    if name.startswith("detectron2"):
        assert config.backbone.stride_in_1x1 == (backbone != X101)
        assert config.pixels.std == ((57.375, 57.12, 58.395) if backbone == X101 else (1, 1, 1))


@pytest.mark.parametrize("row", [*SYSTEMS, FCOS_IMPROVED, FCOS_DCN, REPPOINTS_2X, REPPOINTS_DCN, MASK_RCNN_GCB])
def test_published_weights_bring_the_dialect_that_their_file_would_get(golden, row):
    for name, entry in PUBLISHED.get(row, {}).items():
        if name.startswith("detectron2"):
            manifest_name = "detectron2/" + entry.file.url.split("/")[-3]
        elif name.startswith("mmdetection"):
            manifest_name = f"mmlab/{MMDETECTION[row, name]}"
        else:
            continue
        assert MANIFESTS[manifest_name] == (row, ROWS[row].recipe().model.backbone)
        assert loads(manifest(golden, manifest_name), row) == entry.config


@pytest.mark.parametrize("row", PARAMETERS)
def test_parameter_counts_are_detectron2s(row):
    with torch.device("meta"):
        model = PUBLISHED[row]["detectron2"].config.build()
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[row]
    assert sum(p.numel() for p in model.parameters() if not p.requires_grad) == 222_400


@pytest.mark.parametrize(("row", "name"), TORCHVISION)
def test_torchvision_models_fit_and_their_version_is_seen(row, name):
    state = built(TORCHVISION[row, name])
    config = loads(state, row)
    # without ImageNet weights torchvision trains its norms, which the counters in the file tell
    assert config.backbone == ResNetConfig(norm="batch")
    published = PUBLISHED[row][name].config
    frozen = {key: x for key, x in state.items() if not key.endswith("num_batches_tracked")}
    assert loads(frozen if name == "torchvision" else state, row) == published


@pytest.mark.parametrize(
    ("num_classes", "row", "class_ids"),
    [
        (3, RETINANET, (-1, 0, 1)),
        (3, FCOS_IMPROVED, (-1, 0, 1)),
        (3, FASTER_RCNN, ()),
        (3, MASK_RCNN, ()),
        (91, RETINANET, None),
        (91, FCOS_IMPROVED, None),
        (91, MASK_RCNN, None),
    ],
)
def test_torchvisions_own_data_sets_count_from_one(num_classes, row, class_ids):
    config = loads(built(TORCHVISION[row, "torchvision"], num_classes=num_classes), row)
    assert config.class_ids == (PUBLISHED[row]["torchvision"].config.class_ids if class_ids is None else class_ids)
    assert class_count(config) == (80 if class_ids is None else 2)


def test_one_file_fits_faster_rcnn_on_c4_and_tridentnet(golden):
    state = manifest(golden, "detectron2/faster_rcnn_R_50_C4_1x")
    for row in (FASTER_RCNN_C4, TRIDENTNET):
        assert loads(state, row) == PUBLISHED[row]["detectron2"].config


def test_where_files_of_two_systems_have_the_same_keys_the_row_decides(golden):
    state = manifest(golden, "mmlab/freeanchor_r50_fpn_1x_coco")
    assert state.keys() == manifest(golden, "mmlab/retinanet_r50_fpn_1x_coco").keys()
    for row in (RETINANET, FREEANCHOR):
        assert loads(state, row) == PUBLISHED[row]["mmdetection"].config


def test_what_no_file_of_reppoints_tells_is_the_rows(golden):
    state = manifest(golden, "mmlab/reppoints-partial-minmax_r50_fpn-gn_head-gn_1x_coco")
    assert loads(state, REPPOINTS_PARTIAL).points_to_box == "partial_minmax"
    assert loads(state, REPPOINTS_MINMAX).points_to_box == "minmax"


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        ("detectron2/faster_rcnn_R_50_FPN_1x", RETINANET, f"Faster R-CNN, .* of that system .*{FASTER_RCNN}"),
        ("mmlab/retinanet_r50_fpn_1x_coco", FCOS, f"RetinaNet or FreeAnchor, .*{RETINANET}.*{FREEANCHOR}"),
        ("detectron2/retinanet_R_50_FPN_1x", FREEANCHOR, rf"RetinaNet, .*\({RETINANET}"),
        ("mmlab/fcos_r50-caffe_fpn_gn-head_1x_coco", ATSS, rf"FCOS, .*\({FCOS}, {FCOS_IMPROVED}"),
        ("mmlab/atss_r50_fpn_1x_coco", FCOS, rf"ATSS, .*\({ATSS}"),
        ("detectron2/fcos_R_50_FPN_1x", RETINANET, rf"FCOS, .*{FCOS}"),
        ("mmlab/reppoints-moment_r50_fpn_1x_coco", REPPOINTS_MINMAX, rf"RepPoints with moments, .*\({REPPOINTS}"),
        (
            "mmlab/reppoints-minmax_r50_fpn-gn_head-gn_1x_coco",
            REPPOINTS,
            rf"RepPoints, .*\({REPPOINTS_MINMAX}, {REPPOINTS_PARTIAL}",
        ),
        ("detectron2/retinanet_R_50_FPN_1x", CASCADE_RCNN, f"RetinaNet, .*{RETINANET}"),
        ("detectron2/faster_rcnn_R_50_C4_1x", FASTER_RCNN, f"Faster R-CNN on C4, .*{FASTER_RCNN_C4}.*{TRIDENTNET}"),
        ("detectron2/faster_rcnn_R_50_FPN_1x", TRIDENTNET, f"Faster R-CNN, .*{FASTER_RCNN}"),
        ("detectron2/mask_rcnn_R_50_FPN_1x", FASTER_RCNN, f"Mask R-CNN, .*{MASK_RCNN}"),
        ("mmlab/faster-rcnn_r50_fpn_1x_coco", MASK_RCNN, f"Faster R-CNN, .*{FASTER_RCNN}"),
        ("detectron2/mask_rcnn_R_50_C4_1x", MASK_RCNN, f"Mask R-CNN on C4, .*{MASK_RCNN_C4}"),
        ("detectron2/cascade_mask_rcnn_R_50_FPN_1x", CASCADE_RCNN, f"Cascade Mask R-CNN, .*{CASCADE_MASK_RCNN}"),
        ("mmlab/mask-rcnn_r50_fpn_1x_coco", MASK_RCNN_GCB, f"Mask R-CNN, .*{MASK_RCNN}"),
        (
            "mmlab/mask-rcnn_r50-gcb-r4-c3-c5_fpn_1x_coco",
            MASK_RCNN,
            rf"Mask R-CNN with context blocks, .*\({MASK_RCNN_GCB}",
        ),
        ("mmlab/cascade-rcnn_r50_fpn_1x_coco", CASCADE_MASK_RCNN, f"Cascade R-CNN, .*{CASCADE_RCNN}"),
    ],
)
def test_another_system_is_an_error_that_names_its_rows(golden, name, row, message):
    remedy = r"or start from the backbone alone: --weights None --backbone-weights the file$"
    with pytest.raises(WeightsError, match=f"the file holds weights of {message}.*{remedy}"):
        loads(manifest(golden, name), row)


def test_a_system_whose_conventions_are_not_known():
    """mmdetection has Faster R-CNN on C4, too; its keys are told, its options are not in the dialects."""
    with torch.device("meta"):
        ours = PUBLISHED[FASTER_RCNN_C4]["detectron2"].config.build().state_dict()
    with pytest.raises(WeightsError, match=r"mmlab's Faster R-CNN on C4, whose conventions cvzoo does not know"):
        config_for(ours, ["roi_head.bbox_head.fc_cls.weight"], ROWS[FASTER_RCNN_C4].recipe().model, "the file")


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("mmlab/centernet_r18_8xb16-crop512-140e_coco", RETINANET),
        ("detectron2/semantic_R_50_FPN_1x", FCOS),
        ("detectron2/rpn_R_50_FPN_1x", FASTER_RCNN),
        ("detectron2/rpn_R_50_C4_1x", TRIDENTNET),
    ],
)
def test_a_system_that_is_not_known(golden, name, row):
    with pytest.raises(
        WeightsError, match=r"not (weights of a model|of a system) that cvzoo knows.*--backbone-weights"
    ):
        loads(manifest(golden, name), row)
