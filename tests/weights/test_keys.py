"""Every published checkpoint's keys and shapes map onto our models: none missing, none left over."""

import json
import re

import pytest
import torch
from torch import nn
from torchvision.models import detection
from weights.narrow import FASTER_RCNN, RETINANET

from cvzoo.nn.resnet import ResNetConfig
from cvzoo.recipes import ROWS
from cvzoo.weights.adapt import config_for
from cvzoo.weights.load import WeightsError, load_state, recognise, to_ours
from cvzoo.weights.published import PUBLISHED

R50, R101, R18 = ResNetConfig(), ResNetConfig(depth=101), ResNetConfig(depth=18)
X101 = ResNetConfig(depth=101, groups=32, width=256, stem_channels=64, out_channels=256)
MANIFESTS = {
    "detectron2/retinanet_R_50_FPN_1x": (RETINANET, R50),
    "detectron2/retinanet_R_50_FPN_3x": (RETINANET, R50),
    "detectron2/retinanet_R_101_FPN_3x": (RETINANET, R101),
    "detectron2/faster_rcnn_R_50_FPN_1x": (FASTER_RCNN, R50),
    "detectron2/faster_rcnn_R_50_FPN_3x": (FASTER_RCNN, R50),
    "detectron2/faster_rcnn_R_101_FPN_3x": (FASTER_RCNN, R101),
    "detectron2/faster_rcnn_X_101_32x8d_FPN_3x": (FASTER_RCNN, X101),
    "detectron2/pascal_voc_faster_rcnn_R_50_FPN": (FASTER_RCNN, R50),
    "mmlab/retinanet_r18_fpn_1x_coco": (RETINANET, R18),
    "mmlab/retinanet_r50_fpn_1x_coco": (RETINANET, R50),
    "mmlab/retinanet_r101_fpn_1x_coco": (RETINANET, R101),
    "mmlab/faster-rcnn_r50_fpn_1x_coco": (FASTER_RCNN, R50),
}
TORCHVISION = {
    (RETINANET, "torchvision"): detection.retinanet_resnet50_fpn,
    (RETINANET, "torchvision_v2"): detection.retinanet_resnet50_fpn_v2,
    (FASTER_RCNN, "torchvision"): detection.fasterrcnn_resnet50_fpn,
    (FASTER_RCNN, "torchvision_v2"): detection.fasterrcnn_resnet50_fpn_v2,
}


def manifest(golden, name):
    """A state dict on the meta device with a manifest's keys and shapes."""
    shapes = json.loads((golden / "manifests" / f"{name}.json").read_text())
    if "same_as" in shapes:
        return manifest(golden, f"{name.split('/')[0]}/{shapes['same_as']}")
    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


def loads(state, row, **options):
    """The config for `state` in `row` with `options` for its backbone; the state has been loaded into it strictly."""
    model = ROWS[row].recipe().model
    ours = to_ours(state)
    config = config_for(ours, recognise(state), model.__class__(**options), "the file")
    with torch.device("meta"):
        load_state(config.build(), ours, "the file")
    return config


@pytest.mark.parametrize("name", MANIFESTS)
def test_published_checkpoints_fit(golden, name):
    row, backbone = MANIFESTS[name]
    config = loads(manifest(golden, name), row, backbone=backbone)
    assert config.num_classes == (20 if "voc" in name else 80)


@pytest.mark.parametrize(("row", "name"), TORCHVISION)
def test_torchvision_models_fit_and_their_version_is_seen(row, name):
    with torch.device("meta"):
        state = TORCHVISION[row, name](weights=None, weights_backbone=None).state_dict()
    config = loads(state, row)
    # without ImageNet weights torchvision trains its norms, which the counters in the file tell
    assert config.backbone == ResNetConfig(norm="batch")
    published = PUBLISHED[row][name].config
    frozen = {key: x for key, x in state.items() if not key.endswith("num_batches_tracked")}
    assert loads(frozen if name == "torchvision" else state, row) == published


def test_torchvisions_old_names_are_the_same_model():
    with torch.device("meta"):
        retinanet = detection.retinanet_resnet50_fpn(weights=None, weights_backbone=None).state_dict()
        faster_rcnn = detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None).state_dict()

    def old(key):
        key = re.sub(r"(inner_blocks|layer_blocks)\.(\d)\.0\.", r"\1.\2.", key).replace(
            "rpn.head.conv.0.0.", "rpn.head.conv."
        )
        return re.sub(r"(_head\.conv)\.(\d)\.0\.", lambda m: f"{m[1]}.{2 * int(m[2])}.", key)

    for state in (retinanet, faster_rcnn):
        renamed = {old(key): x for key, x in state.items()}
        assert renamed.keys() != state.keys()
        assert to_ours(renamed).keys() == to_ours(state).keys()


def test_torchvisions_background_moves_to_the_end_and_loses_its_box():
    cls = torch.arange(4.0)
    ours = to_ours(
        {
            "backbone.fpn.inner_blocks.0.0.weight": torch.zeros(1),
            "roi_heads.box_predictor.cls_score.bias": cls,
            "roi_heads.box_predictor.bbox_pred.bias": cls.repeat_interleave(4),
        }
    )
    assert ours["box_head.cls_out.bias"].tolist() == [1, 2, 3, 0]
    assert ours["box_head.box_out.bias"].tolist() == [1] * 4 + [2] * 4 + [3] * 4


@pytest.mark.parametrize(
    ("num_classes", "row", "class_ids"), [(3, RETINANET, (-1, 0, 1)), (3, FASTER_RCNN, ()), (91, RETINANET, None)]
)
def test_torchvisions_own_data_sets_count_from_one(num_classes, row, class_ids):
    with torch.device("meta"):
        model = TORCHVISION[row, "torchvision"](weights=None, weights_backbone=None, num_classes=num_classes)
    config = loads(model.state_dict(), row)
    assert config.class_ids == (PUBLISHED[row]["torchvision"].config.class_ids if class_ids is None else class_ids)


def test_detectron2_variants():
    """Convolutions in number, norms in towers and necks, buffers of cvpods and of old files."""
    source = {
        "backbone.bottom_up.stem.conv1.norm.weight": "backbone.bn1.weight",
        "backbone.bottom_up.res3.1.shortcut.norm.bias": "backbone.layer2.1.downsample.1.bias",
        "backbone.fpn_lateral4.norm.weight": "neck.lateral.1.norm.weight",
        "head.cls_subnet.0.weight": "head.cls_tower.0.conv.weight",
        "head.cls_subnet.1.weight": "head.cls_tower.0.norm.weight",
        "head.bbox_subnet.3.bias": "head.box_tower.1.conv.bias",
        "proposal_generator.rpn_head.conv.conv1.weight": "rpn.tower.1.conv.weight",
        "roi_heads.box_head.conv2.norm.bias": "box_head.convs.1.norm.bias",
        "roi_heads.box_head.fc1.weight": "box_head.fcs.0.weight",
        "anchor_generator.cell_anchors.0": None,
        "proposal_generator.anchor_generator.cell_anchors.3": None,
        "pixel_mean": None,
    }
    ours = to_ours(dict.fromkeys(source, torch.zeros(1)))
    assert set(ours) == {key for key in source.values() if key}


def test_mmdetection_variants():
    source = {
        "neck.lateral_convs.0.conv.weight": "neck.lateral.0.conv.weight",
        "neck.lateral_convs.1.gn.weight": "neck.lateral.1.norm.weight",
        "neck.fpn_convs.1.bn.running_var": "neck.output.1.norm.running_var",
        "neck.fpn_convs.2.conv.weight": "neck.extra.0.conv.weight",
        "bbox_head.reg_convs.3.gn.bias": "head.box_tower.3.norm.bias",
        "rpn_head.rpn_conv.1.conv.weight": "rpn.tower.1.conv.weight",
        "roi_head.bbox_head.shared_convs.0.bn.weight": "box_head.convs.0.norm.weight",
    }
    assert set(to_ours(dict.fromkeys(source, torch.zeros(1)))) == set(source.values())


def test_one_layer_under_two_names_is_an_error():
    key = "backbone.fpn.inner_blocks.0.{}weight"
    with pytest.raises(WeightsError, match=r"inner_blocks\.0\.0\.weight twice, as .*remove one of them"):
        to_ours({key.format(""): torch.zeros(1), key.format("0."): torch.zeros(1)})


def test_unknown_weights_are_shown():
    with pytest.raises(
        WeightsError, match=r"not weights of a detector.*4 keys: 0\.weight, 0\.bias.*--backbone-weights"
    ):
        to_ours(nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1)).state_dict())


def test_another_system_is_an_error():
    with torch.device("meta"):
        state = detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None).state_dict()
    with pytest.raises(WeightsError, match="holds a Faster R-CNN, the row is another system"):
        loads(state, RETINANET)
