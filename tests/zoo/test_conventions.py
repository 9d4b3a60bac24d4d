"""The conventions of each system's sources against the configs of golden cases: both as they are stated, and as a file
of the toolbox brings them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from parity import config_detectron2_rcnn
from parity.golden import load_case
from safetensors.torch import load_file
from zoo.atss import from_mmdetection as atss_of
from zoo.cascade_rcnn import detectron2 as cascade_rcnn_of_detectron2
from zoo.cascade_rcnn import mmdetection as cascade_rcnn_of_mmdetection
from zoo.deeplabv3plus import config_of as deeplab_of_mmsegmentation
from zoo.deeplabv3plus import detectron2_config_of as deeplab_of_detectron2
from zoo.fcos import from_detectron2 as fcos_of_detectron2
from zoo.fcos import from_mmdetection as fcos_of_mmdetection
from zoo.freeanchor import from_mmdetection as freeanchor_of
from zoo.gcnet import config_of as gcnet_of
from zoo.mask_rcnn import detectron2 as mask_rcnn_of_detectron2
from zoo.pspnet import config_of as pspnet_of
from zoo.rcnn import mmdetections_mask_rcnn
from zoo.reppoints import from_mmdetection as reppoints_of
from zoo.retinanet import from_detectron2 as with_tower_bias
from zoo.retinanet import from_mmdetection as retinanet_of_mmdetection
from zoo.tensormask import from_detectron2 as tensormask_of
from zoo.tridentnet import detectron2 as tridentnet_of

from cvzoo.loading import build_with_weights
from cvzoo.recipes.codec import to_json
from cvzoo.weights.stated import stated
from cvzoo.zoo import ROWS
from cvzoo.zoo.atss import weights as of_atss
from cvzoo.zoo.cascade_rcnn import weights as of_cascade_rcnn
from cvzoo.zoo.deeplabv3plus import weights as of_deeplab
from cvzoo.zoo.faster_rcnn import weights as of_faster_rcnn
from cvzoo.zoo.faster_rcnn.model import FasterRCNNConfig
from cvzoo.zoo.fcos import weights as of_fcos
from cvzoo.zoo.freeanchor import weights as of_freeanchor
from cvzoo.zoo.gcnet import weights as of_gcnet
from cvzoo.zoo.mask_rcnn import weights as of_mask_rcnn
from cvzoo.zoo.pspnet import weights as of_pspnet
from cvzoo.zoo.reppoints import weights as of_reppoints
from cvzoo.zoo.retinanet import weights as of_retinanet
from cvzoo.zoo.tensormask import weights as of_tensormask
from cvzoo.zoo.tridentnet import weights as of_tridentnet


@dataclass(frozen=True, kw_only=True)
class Stated:
    """A golden case made with a toolbox's published options but for sizes."""

    row: str
    """Which reads its weights."""
    convention: Any
    """What the row's system says of the toolbox."""
    config_of: Callable[[dict[str, Any]], Any]
    """Our config from what the case states."""


def of_rcnn(read: Callable[[Any], Any], part: str) -> Callable[[dict[str, Any]], Any]:
    return lambda info: read(info[part])


def retinanet_of_detectron2(info: dict[str, Any]) -> Any:
    """Towers without norms have a bias whether it is stated or not."""
    config = with_tower_bias(info)
    assert config.tower_norm is None
    return replace(config, tower_bias=None)


def faster_rcnn_of(info: dict[str, Any]) -> FasterRCNNConfig:
    return FasterRCNNConfig(**config_detectron2_rcnn.stages_of(info["options"]))


FASTER_RCNN_C4 = "faster_rcnn_r50_c4_1x"
REPPOINTS = "reppoints_r50_fpn_moment_1x"
CONTEXT = replace(of_mask_rcnn.MMDETECTION.backbone, context_ratio=1 / 16)
CASES = {
    "retinanet/retinanet_r50_fpn": Stated(
        row="retinanet_r50_fpn_1x", convention=of_retinanet.DETECTRON2, config_of=retinanet_of_detectron2
    ),
    "retinanet_mmdet/retinanet_fpn": Stated(
        row="retinanet_r50_fpn_1x", convention=of_retinanet.MMDETECTION, config_of=retinanet_of_mmdetection
    ),
    "fcos/fcos_r50_fpn": Stated(
        row="fcos_r50_fpn_improved_1x", convention=of_fcos.DETECTRON2, config_of=fcos_of_detectron2
    ),
    "fcos_mmdet/fcos-caffe_fpn_gn-head": Stated(
        row="fcos_r50_fpn_1x", convention=of_fcos.MMDETECTION, config_of=fcos_of_mmdetection
    ),
    "fcos_mmdet/fcos-caffe_center-normbbox-centeronreg-giou": Stated(
        row="fcos_r50_fpn_improved_1x", convention=of_fcos.MMDETECTION_IMPROVED, config_of=fcos_of_mmdetection
    ),
    "atss/atss_fpn": Stated(row="atss_r50_fpn_1x", convention=of_atss.MMDETECTION, config_of=atss_of),
    "freeanchor/freeanchor_fpn": Stated(
        row="freeanchor_r50_fpn_1x", convention=of_freeanchor.MMDETECTION, config_of=freeanchor_of
    ),
    "reppoints/moment_fpn-gn_head-gn": Stated(
        row=REPPOINTS, convention=of_reppoints.MMDETECTION, config_of=reppoints_of
    ),
    "reppoints/moment_fpn": Stated(row=REPPOINTS, convention=of_reppoints.WITHOUT_NORM, config_of=reppoints_of),
    "reppoints/minmax_fpn-gn_head-gn": Stated(
        row="reppoints_r50_fpn_minmax_1x",
        convention=replace(of_reppoints.MMDETECTION, points_to_box="minmax"),
        config_of=reppoints_of,
    ),
    "faster_rcnn/faster_rcnn_r50_c4": Stated(
        row=FASTER_RCNN_C4, convention=of_faster_rcnn.DETECTRON2_C4, config_of=faster_rcnn_of
    ),
    "faster_rcnn/faster_rcnn_r50_fpn": Stated(
        row="faster_rcnn_r50_fpn_1x", convention=of_faster_rcnn.DETECTRON2, config_of=faster_rcnn_of
    ),
    "mask_rcnn/mask_rcnn_r50_fpn": Stated(
        row="mask_rcnn_r50_fpn_1x",
        convention=of_mask_rcnn.DETECTRON2,
        config_of=of_rcnn(mask_rcnn_of_detectron2, "options"),
    ),
    "cascade_rcnn/cascade_mask_rcnn_r50_fpn": Stated(
        row="cascade_mask_rcnn_r50_fpn_1x",
        convention=of_cascade_rcnn.DETECTRON2_MASKS,
        config_of=of_rcnn(cascade_rcnn_of_detectron2, "options"),
    ),
    "cascade_mask_rcnn_mmdet/cascade-mask-rcnn_fpn": Stated(
        row="cascade_mask_rcnn_r50_fpn_1x",
        convention=of_cascade_rcnn.MMDETECTION_MASKS,
        config_of=of_rcnn(cascade_rcnn_of_mmdetection, "model"),
    ),
    "tensormask/tensormask_r50_fpn": Stated(
        row="tensormask_r50_fpn_1x", convention=of_tensormask.DETECTRON2, config_of=of_rcnn(tensormask_of, "options")
    ),
    "tridentnet/tridentnet_fast_r50_c4": Stated(
        row="tridentnet_r50_c4_1x",
        convention=of_tridentnet.DETECTRON2,
        config_of=of_rcnn(tridentnet_of, "options"),
    ),
    "gcnet_mask_rcnn/mask-rcnn_gcb-c3-c5_fpn": Stated(
        row="mask_rcnn_r50_fpn_gcb_r16_1x",
        convention=replace(of_mask_rcnn.MMDETECTION, backbone=CONTEXT),
        config_of=of_rcnn(mmdetections_mask_rcnn, "model"),
    ),
    "pspnet/pspnet_d8": Stated(
        row="pspnet_r50_d8_cityscapes", convention=of_pspnet.MMSEGMENTATION, config_of=pspnet_of
    ),
    "gcnet_segmentation/gcnet_d8": Stated(
        row="gcnet_r50_d8_cityscapes", convention=of_gcnet.MMSEGMENTATION, config_of=gcnet_of
    ),
    "deeplabv3plus/deeplabv3plus_d8": Stated(
        row="deeplabv3plus_r50_d8_cityscapes",
        convention=replace(of_deeplab.MMSEGMENTATION, align_corners=True),  # as it is for crops of 769x769
        config_of=deeplab_of_mmsegmentation,
    ),
    "deeplab/deeplabv3plus_r50": Stated(
        row="deeplabv3plus_r50_d8_cityscapes",
        convention=of_deeplab.DETECTRON2,
        config_of=deeplab_of_detectron2,
    ),
}
OF_BODY = {"depth", "width", "stem_channels", "out_channels", "norm_groups", "frozen_stages"}
OF_HEAD = {"tower_convs", "tower_norm_groups", "cls_channels", "box_channels", "mask_channels", "windows"}
MADE_SMALL = {
    *("num_classes", "candidates", "low_channels", "pool_window"),
    *("dropout", "aspp_dropout", "channels", "norm_groups", "fc_channels", "convs", "conv_norm_groups"),
    *("samples", "detections", "pre_nms_train", "pre_nms_test", "post_nms_train", "post_nms_test"),
    *OF_BODY,
    *OF_HEAD,
}
"""Options in which golden cases are not the published config."""


def conventions(values: Any) -> Any:
    """A config as JSON values without the options that were made small."""
    if isinstance(values, list):
        return [conventions(value) for value in values]
    if not isinstance(values, dict):
        return values
    return {name: conventions(value) for name, value in values.items() if name not in MADE_SMALL}


@pytest.mark.parametrize("name", CASES)
def test_conventions_are_the_options_of_the_golden_cases(golden: Path, name: str) -> None:
    ours, theirs = CASES[name].convention, CASES[name].config_of(load_case(name).info)
    assert type(theirs) is type(ours)
    assert conventions(to_json(theirs)) == conventions(to_json(ours))


@pytest.mark.parametrize("name", [name for name in CASES if "model" in load_case(name).info])
def test_the_toolboxs_own_config_says_the_same(golden: Path, name: str) -> None:
    """Its text, as the toolbox keeps it in a file of weights, adds nothing to what the case is known to be."""
    info = load_case(name).info
    theirs = CASES[name].config_of(info)
    assert stated(theirs, f"w.pth\nmodel = {info['model']!r}", name) == theirs


def sized(config: Any, like: Any) -> Any:
    """The config of a detector, as large as another one."""
    sizes_of_part = {
        "fpn": ("channels", "norm_groups"),
        "box_head": ("fc_channels", "conv_norm_groups"),
        "mask_head": ("convs", "channels", "conv_norm_groups"),
    }
    parts = {
        name: replace(getattr(config, name), **{size: getattr(getattr(like, name), size) for size in sizes})
        for name, sizes in sizes_of_part.items()
        if getattr(config, name, None) is not None
    }
    parts |= {name: getattr(like, name) for name in OF_HEAD if hasattr(config, name)}
    body = {name: getattr(like.backbone, name) for name in OF_BODY - {"frozen_stages"}}
    return replace(config, backbone=replace(config.backbone, **body), **parts)


@pytest.mark.parametrize("name", [name for name in CASES if ROWS[CASES[name].row].task != "segmentation"])
def test_a_file_of_another_toolbox_brings_its_conventions(golden: Path, name: str) -> None:
    """Conventions from the toolbox, sizes from the row, classes from the file."""
    check_file(golden / name / "weights.safetensors", CASES[name], CASES[name].config_of(load_case(name).info))


def test_a_file_of_tridentnet_brings_the_conventions_of_an_r_cnn_on_c4(golden: Path) -> None:
    name = "tridentnet/tridentnet_fast_r50_c4"
    case = replace(CASES[name], row=FASTER_RCNN_C4, convention=of_faster_rcnn.DETECTRON2_C4)
    check_file(golden / name / "weights.safetensors", case, CASES[name].config_of(load_case(name).info))


def check_file(path: Path, case: Stated, theirs: Any) -> None:
    recipe = ROWS[case.row].recipe()
    loaded, resolved, *_ = build_with_weights(replace(recipe, model=sized(recipe.model, theirs), weights=str(path)))
    assert resolved.model == replace(sized(case.convention, theirs), num_classes=theirs.num_classes)
    source = load_file(path)
    conv1 = next(key for key in source if key.endswith("conv1.weight") and source[key].shape[1] == 3)
    assert loaded.state_dict()["backbone.conv1.weight"].equal(source[conv1])


@pytest.mark.parametrize(
    ("config", "counts"),
    [
        # pre and post NMS in training, the same in inference, sampled proposals (spec two_stage.md 1.7; mmdetection's
        # configs/_base_/models)
        (of_faster_rcnn.DETECTRON2, (2000, 1000, 1000, 1000, 512)),
        (of_faster_rcnn.DETECTRON2_C4, (12000, 2000, 6000, 1000, 512)),
        (of_mask_rcnn.DETECTRON2_C4, (12000, 2000, 6000, 1000, 512)),
        (of_tridentnet.DETECTRON2, (12000, 500, 6000, 1000, 128)),
        (of_cascade_rcnn.DETECTRON2_MASKS, (2000, 2000, 1000, 1000, 512)),
        (of_mask_rcnn.MMDETECTION, (2000, 1000, 1000, 1000, 512)),
        (of_cascade_rcnn.MMDETECTION_MASKS, (2000, 2000, 1000, 1000, 512)),
    ],
)
def test_numbers_of_proposals(config: Any, counts: tuple[int, ...]) -> None:
    rpn = config.rpn
    found = (rpn.pre_nms_train, rpn.post_nms_train, rpn.pre_nms_test, rpn.post_nms_test)
    assert (*found, config.box_head.samples) == counts
    assert rpn.samples == 256
