"""Every option of a toolbox's config that bears on an answer is read into its place, or refused by its name.

In each pair of texts only one option differs.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import torch
from weights.as_mmdetection import as_mmdetection, save

from cvzoo.loading import build_with_weights, read_state
from cvzoo.recipes import Recipe
from cvzoo.structures import Batch
from cvzoo.weights.errors import WeightsError
from cvzoo.weights.stated import stated
from cvzoo.weights.stated.style import style_of, styled
from cvzoo.zoo import ROWS

DENSE = """
model = dict(
    data_preprocessor=dict(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0], bgr_to_rgb=True, pad_size_divisor=32),
    backbone=dict(type='ResNet', depth=50, norm_cfg=dict(type='BN'), norm_eval=True, style='pytorch', frozen_stages=1),
    neck=dict(type='FPN', in_channels=[256, 512, 1024, 2048], out_channels=256, start_level=1, num_outs=5,
        add_extra_convs='on_input', relu_before_extra_convs=False),
    bbox_head=dict(type='HEAD', stacked_convs=4, norm_cfg=dict(type='GN', num_groups=32),
        anchor_generator=dict(type='AnchorGenerator', octave_base_scale=4, scales_per_octave=3, ratios=[0.5, 1.0, 2.0],
            strides=[8, 16, 32, 64, 128], center_offset=0.0, scale_major=True),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_stds=[1.0, 1.0, 1.0, 1.0]),
        loss_cls=dict(type='FocalLoss', use_sigmoid=True)),
    test_cfg=dict(nms_pre=1000, min_bbox_size=0, score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5)))
"""
LOCATIONS = DENSE.partition("        anchor_generator")[0] + "        norm_on_bbox=False, centerness_on_reg=False))"
STAGES = """
model = dict(
    backbone=dict(type='ResNet', style='pytorch', plugins=[dict(cfg=dict(type='ContextBlock', ratio=0.25),
        stages=(False, True, True, True), position='after_conv3')], dcn=dict(type='DCN', deform_groups=1),
        stage_with_dcn=(False, True, True, True)),
    neck=dict(type='FPN', in_channels=[256, 512, 1024, 2048], out_channels=256, num_outs=5),
    rpn_head=dict(type='RPNHead', anchor_generator=dict(type='AnchorGenerator', scales=[8], ratios=[0.5, 1.0, 2.0],
        strides=[4, 8, 16, 32, 64]), bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_stds=[1.0, 1.0, 1.0, 1.0])),
    roi_head=dict(type='StandardRoIHead',
        bbox_roi_extractor=dict(type='SingleRoIExtractor', featmap_strides=[4, 8, 16, 32], out_channels=256,
            roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=0)),
        bbox_head=dict(type='Shared2FCBBoxHead', reg_class_agnostic=False,
            bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_stds=[0.1, 0.1, 0.2, 0.2])),
        mask_roi_extractor=dict(type='SingleRoIExtractor', featmap_strides=[4, 8, 16, 32],
            roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0)),
        mask_head=dict(type='FCNMaskHead', num_convs=4)),
    test_cfg=dict(rpn=dict(nms_pre=1000, nms=dict(type='nms', iou_threshold=0.7)),
        rcnn=dict(score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5), max_per_img=100, mask_thr_binary=0.5)))
"""
SEGMENTS = """
model = dict(
    backbone=dict(type='ResNetV1c', strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4), norm_cfg=dict(type='SyncBN')),
    decode_head=dict(type='HEAD', in_index=3, dilations=(1, 12, 24, 36), norm_cfg=dict(type='SyncBN'),
        align_corners=False))
"""
YAML = """
MODEL:
  RESNETS: {RES4_DILATION: 1, RES5_DILATION: 1, NORM: FrozenBN, DEFORM_ON_PER_STAGE: [false, false, false, false]}
  FPN: {NORM: '', FUSE_TYPE: sum}
  ANCHOR_GENERATOR: {NAME: DefaultAnchorGenerator, SIZES: [[32], [64], [128], [256], [512]], OFFSET: 0.0}
  RPN: {HEAD_NAME: StandardRPNHead, IN_FEATURES: [p2, p3, p4, p5, p6], BBOX_REG_WEIGHTS: [1.0, 1.0, 1.0, 1.0]}
  ROI_HEADS: {IN_FEATURES: [p2, p3, p4, p5]}
  ROI_BOX_HEAD: {POOLER_TYPE: ROIAlignV2, POOLER_SAMPLING_RATIO: 0, NUM_CONV: 0, NUM_FC: 2, NORM: '',
    CLS_AGNOSTIC_BBOX_REG: false, BBOX_REG_WEIGHTS: [10.0, 10.0, 5.0, 5.0]}
  ROI_MASK_HEAD: {POOLER_TYPE: ROIAlignV2, POOLER_RESOLUTION: 14, NORM: '', CLS_AGNOSTIC_MASK: false}
  RETINANET: {IN_FEATURES: [p3, p4, p5, p6, p7], TOPK_CANDIDATES_TEST: 1000, NORM: '', NUM_CONVS: 4}
"""
RETINANET, FCOS, MASKS = "retinanet_r50_fpn_1x", "fcos_r50_fpn_1x", "mask_rcnn_r50_fpn_1x"
DEEPLAB = "deeplabv3plus_r50_d8_cityscapes"


def read(row: str, text: str) -> Any:
    return stated(ROWS[row].recipe().model, f"w.pth\n{text}", "w.pth")


def option(config: Any, path: str) -> Any:
    return reduce(getattr, path.split("."), config)


@pytest.mark.parametrize(
    ("row", "text", "old", "new", "path", "before", "after"),
    [
        (RETINANET, DENSE, "num_groups=32", "num_groups=16", "tower_norm_groups", 32, 16),
        (RETINANET, DENSE, "type='GN', num_groups=32", "type='SyncBN'", "tower_norm", "group", "batch"),
        (RETINANET, DENSE, "offset=0.0", "offset=0.5", "anchors.offset", 0.0, 0.5),
        (RETINANET, DENSE, "scale_major=True", "scale_major=False", "anchors.order", "ratio", "size"),
        (RETINANET, DENSE, "base_scale=4, scales_per_octave=3", "base_scale=8, scales_per_octave=1", "anchors.sizes",
            tuple(tuple(4 * s * 2 ** (i / 3) for i in range(3)) for s in (8, 16, 32, 64, 128)),
            ((64,), (128,), (256,), (512,), (1024,))),
        (RETINANET, DENSE, "stds=[1.0, 1.0, 1.0, 1.0]", "stds=[0.1, 0.1, 0.2, 0.2]", "box_weights",
            (1, 1, 1, 1), (10, 10, 5, 5)),
        (RETINANET, DENSE, "convs=False", "convs=True", "fpn.extra_relu", False, True),
        (RETINANET, DENSE, "on_input", "on_output", "fpn.extra_from", "input", "output"),
        (RETINANET, DENSE, "min_bbox_size=0", "min_bbox_size=-1", "detect.min_side", 0.0, None),
        (RETINANET, DENSE, "bgr_to_rgb=True, ", "", "pixels.bgr", False, True),
        (RETINANET, DENSE, "norm_cfg=dict(type='BN')", "norm_cfg=dict(type='GN', num_groups=8)",
            "backbone.norm_groups", 32, 8),
        (FCOS, LOCATIONS, "norm_on_bbox=False", "norm_on_bbox=True", "distance", "exp", "relu"),
        (FCOS, LOCATIONS, "on_reg=False", "on_reg=True", "centreness_on", "cls", "box"),
        (FCOS, LOCATIONS, "style='pytorch'", "style='caffe'", "backbone.stride_in_1x1", False, True),
        (MASKS, STAGES, "size=7, sampling_ratio=0", "size=7, sampling_ratio=2", "box_head.pool.sampling", 0, 2),
        (MASKS, STAGES, "size=7, ", "size=7, aligned=False, ", "box_head.pool.aligned", True, False),
        (MASKS, STAGES, "size=14, ", "size=14, aligned=False, ", "mask_head.pool.aligned", True, False),
        (MASKS, STAGES, "Shared2FC", "Shared4Conv1FC", "box_head.convs", 0, 4),
        (MASKS, STAGES, "agnostic=False", "agnostic=True", "box_head.class_agnostic", False, True),
        (MASKS, STAGES, "stds=[0.1, 0.1, 0.2, 0.2]", "stds=[0.05, 0.05, 0.1, 0.1]", "box_head.box_weights",
            (10, 10, 5, 5), (20, 20, 10, 10)),
        (MASKS, STAGES, "num_convs=4", "num_convs=4, norm_cfg=dict(type='GN', num_groups=16)",
            "mask_head.conv_norm_groups", 32, 16),
        (MASKS, STAGES, "ratio=0.25", "ratio=0.0625", "backbone.context_ratio", 0.25, 0.0625),
        (MASKS, STAGES, "type='DCN'", "type='DCNv2'", "backbone.deform", "v1", "v2"),
        (DEEPLAB, SEGMENTS, "1, 1), dilations=(1, 1, 2, 4)", "2, 1), dilations=(1, 1, 1, 2)",
            "backbone.output_stride", 8, 16),
        (DEEPLAB, SEGMENTS, "(1, 12, 24, 36)", "(1, 6, 12, 18)", "dilations", (12, 24, 36), (6, 12, 18)),
        (DEEPLAB, SEGMENTS, "align_corners=False", "align_corners=True", "align_corners", False, True),
        (DEEPLAB, SEGMENTS, "SyncBN'),\n", "GN', num_groups=16),\n", "norm_groups", 32, 16),
        (MASKS, YAML, "BOX_HEAD: {POOLER_TYPE: ROIAlignV2", "BOX_HEAD: {POOLER_TYPE: ROIAlign",
            "box_head.pool.aligned", True, False),
        (MASKS, YAML, "MASK_HEAD: {POOLER_TYPE: ROIAlignV2", "MASK_HEAD: {POOLER_TYPE: ROIAlign",
            "mask_head.pool.aligned", True, False),
        (MASKS, YAML, "RATIO: 0", "RATIO: 2", "box_head.pool.sampling", 0, 2),
        (MASKS, YAML, "MASK: false", "MASK: true", "mask_head.class_agnostic", False, True),
        (MASKS, YAML, "RESOLUTION: 14", "RESOLUTION: 28", "mask_head.pool.size", 14, 28),
        (MASKS, YAML, "FPN: {NORM: ''", "FPN: {NORM: GN", "fpn.norm", None, "group"),
        (MASKS, YAML, "NORM: FrozenBN", "NORM: GN", "backbone.norm", "frozen", "group"),
        (MASKS, YAML, "FUSE_TYPE: sum", "FUSE_TYPE: avg", "fpn.fuse", "sum", "mean"),
        (MASKS, YAML, "OFFSET: 0.0", "OFFSET: 0.5", "rpn.anchors.offset", 0.0, 0.5),
        (MASKS, YAML, "[[32], [64], [128], [256], [512]]", "[[16, 32]]", "rpn.anchors.sizes",
            ((32,), (64,), (128,), (256,), (512,)), ((16, 32),) * 5),
        (MASKS, YAML, "[10.0, 10.0, 5.0, 5.0]", "'(20.0, 20.0, 10.0, 10.0)'", "box_head.box_weights",
            (10, 10, 5, 5), (20, 20, 10, 10)),
        (RETINANET, YAML, "NORM: '', NUM_CONVS", "NORM: GN, NUM_CONVS", "tower_norm", None, "group"),
        (RETINANET, YAML, "\n  RETINANET", "\n  OTHER: {TOPK_CANDIDATES_TEST: 77}\n  RETINANET",
            "candidates", 1000, 77),
    ],
)  # fmt: skip
def test_one_option(row: str, text: str, old: str, new: str, path: str, before: Any, after: Any) -> None:
    assert text.count(old) >= 1
    assert option(read(row, text), path) == before
    assert option(read(row, text.replace(old, new)), path) == after


@pytest.mark.parametrize(
    ("row", "text", "old", "new", "named"),
    [
        (RETINANET, DENSE, "type='nms'", "type='soft_nms'", r"test_cfg\.nms\.type='soft_nms'"),
        (RETINANET, DENSE, "type='AnchorG", "type='LegacyAnchorG", r"anchor_generator\.type='LegacyAnchorGenerator'"),
        (RETINANET, DENSE, "type='ResNet'", "type='RegNet'", r"backbone\.type='RegNet'"),
        (RETINANET, DENSE, "depth=50", "conv_cfg=dict(type='ConvWS')", r"backbone\.conv_cfg with type='ConvWS'"),
        (RETINANET, DENSE, "depth=50", "out_indices=(1, 2, 3)", r"backbone\.out_indices=\[?\(?1, 2, 3"),
        (RETINANET, DENSE, "type='FPN'", "type='PAFPN'", r"neck\.type='PAFPN'"),
        (RETINANET, DENSE, "use_sigmoid=True", "use_sigmoid=False", r"loss_cls\.use_sigmoid=False"),
        (RETINANET, DENSE, "stacked_convs=4", "unheard_of=4", r"bbox_head\.unheard_of=4"),
        (RETINANET, DENSE, "style='pytorch'", "style=f(x)", r"backbone\.style='f\(x\)'"),
        (MASKS, STAGES, "type='RoIAlign'", "type='RoIPool'", r"roi_layer\.type='RoIPool'"),
        (MASKS, STAGES, "ContextBlock", "GeneralizedAttention", r"cfg\.type='GeneralizedAttention'"),
        (MASKS, STAGES, "reg_class_agnostic=False", "loss_cls=dict(type='SeesawLoss')", r"loss_cls\.type='SeesawLoss'"),
        (MASKS, STAGES, "mask_thr_binary=0.5", "mask_thr_binary=0.4", r"mask_thr_binary=0\.4"),
        (MASKS, STAGES, "type='nms', iou_threshold=0.5", "type='soft_nms', iou_threshold=0.5",
            r"test_cfg\.rcnn\.nms\.type='soft_nms'"),
        (MASKS, STAGES, "type='nms', iou_threshold=0.7", "type='soft_nms', iou_threshold=0.7",
            r"test_cfg\.rpn\.nms\.type='soft_nms'"),
        (DEEPLAB, SEGMENTS, "in_index=3", "in_index=[0, 1, 2, 3], input_transform='resize_concat'",
            r"decode_head\.in_index=\[0, 1, 2, 3\]; .*input_transform='resize_concat'"),
        (DEEPLAB, SEGMENTS, "in_index=3", "in_index=2", r"decode_head\.in_index=2"),
        (DEEPLAB, SEGMENTS, "in_index=3", "dilation=6", r"decode_head\.dilation=6"),
        (DEEPLAB, SEGMENTS, "(1, 2, 1, 1)", "(1, 2, 2, 2)", r"backbone\.strides="),
        (MASKS, YAML, "POOLER_TYPE: ROIAlignV2", "POOLER_TYPE: ROIPool", "POOLER_TYPE='ROIPool'"),
        (MASKS, YAML, "RES5_DILATION: 1", "RES5_DILATION: 3", "RES5_DILATION=3"),
        (MASKS, YAML, "p2, p3, p4, p5, p6", "p2, p3, p4, p5", r"RPN\.IN_FEATURES=\['p2', 'p3', 'p4', 'p5'\]"),
        (RETINANET, YAML, "p3, p4, p5, p6, p7", "p3, p4, p5, p6", r"RETINANET\.IN_FEATURES="),
    ],
)  # fmt: skip
def test_refused_by_name(row: str, text: str, old: str, new: str, named: str) -> None:
    assert text.count(old) >= 1
    with pytest.raises(WeightsError, match=rf"w\.pth states what cvzoo does not compute: .*{named}"):
        read(row, text.replace(old, new))


def test_all_problems_at_once() -> None:
    text = DENSE.replace("type='nms'", "type='soft_nms'").replace("type='AnchorG", "type='SSDAnchorG")
    with pytest.raises(WeightsError, match=r"SSDAnchorGenerator.*; .*soft_nms.*save its state dict alone"):
        read(RETINANET, text)


def test_another_head_with_the_same_keys_is_refused() -> None:
    """PAA's keys are those of ATSS, its scores are not."""
    recipe = ROWS["atss_r18_fpn_shapes"].recipe()
    state = as_mmdetection(recipe.model.build().state_dict(), "atss")
    read_state(state, recipe, "w.pth", "w.pth\n" + DENSE.replace("HEAD", "ATSSHead"))
    with pytest.raises(WeightsError, match=r"w\.pth has keys as ATSS, but its config states a PAAHead"):
        read_state(state, recipe, "w.pth", "w.pth\n" + DENSE.replace("HEAD", "PAAHead"))


def test_another_body_with_most_keys_is_refused() -> None:
    """Res2Net has several convolutions in the place of a second one."""
    recipe = ROWS["retinanet_r50_fpn_1x"].recipe()
    with torch.device("meta"):
        state = as_mmdetection(recipe.model.build().state_dict(), "retinanet")
    state = {key.replace("conv2.weight", "convs.0.weight"): tensor for key, tensor in state.items()}
    text = DENSE.replace("'ResNet'", "'Res2Net'").replace("HEAD", "RetinaHead")
    with pytest.raises(WeightsError, match=r"backbone\.type='Res2Net'"):
        read_state(state, recipe, "w.pth", f"w.pth\n{text}")


def test_what_lacks_the_layer_that_tells_its_size_is_refused() -> None:
    keys = ["decode_head.aspp_modules.0.conv.weight", "decode_head.c1_bottleneck.conv.weight"]
    with pytest.raises(WeightsError, match=r"w\.pth has keys as DeepLab v3\+ but lacks 'head\.aspp\.fuse"):
        read_state(dict.fromkeys(keys, torch.zeros(1)), ROWS["deeplabv3plus_r18_shapes"].recipe(), "w.pth")


def test_a_name_that_says_version_1_is_refused_where_no_text_says_more() -> None:
    model = ROWS[RETINANET].recipe().model
    with pytest.raises(WeightsError, match="a pixel wider"):
        stated(model, "retinanet_r50_fpn_1x_coco_v1-abc.pth\n", "the file")
    assert stated(model, "mask_rcnn_r50_fpn_1x_lvis_v1-abc.pth\n", "the file") == model
    assert stated(model, "retinanet_r50_fpn_1x_coco_v1.pth\n" + DENSE, "the file").pixels.mean == (1, 2, 3)


@pytest.mark.parametrize(("row", "words"), [(FCOS, "BGR.*stride in the 1x1"), (DEEPLAB, "RGB.*output stride 8")])
def test_what_is_assumed_in_words(row: str, words: str) -> None:
    model = ROWS[row].recipe().model
    assert re.search(words, style_of(styled(model, "caffe") if row == FCOS else model))


def _recipe() -> Recipe[Any]:
    return ROWS["fcos_r18_fpn_shapes"].recipe()


@pytest.mark.parametrize("change", [("num_groups=32", "num_groups=16"), ("norm_eval=True", "norm_eval=False")])
def test_answers_of_files_that_differ_in_their_text_alone(tmp_path: Path, change: tuple[str, str]) -> None:
    """Another number of groups gives other scores; how batch norms were trained does not."""
    torch.manual_seed(0)
    state = _recipe().model.build().state_dict()
    text = LOCATIONS.replace("HEAD", "FCOSHead").replace(
        "relu_before_extra_convs=False", "relu_before_extra_convs=True"
    )
    text = text.replace("on_input", "on_output").replace("stacked_convs=4", "stacked_convs=2")
    image = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    batch = Batch(images=image, sizes=[(64, 64)], original_sizes=[(64, 64)], targets=[], image_ids=[0])
    raw = []
    for name, told in (("a.pth", text), ("b.pth", text.replace(*change))):
        save(tmp_path / name, state, "fcos", told)
        model = build_with_weights(replace(_recipe(), weights=str(tmp_path / name))).model.eval()
        with torch.no_grad():
            raw.append(model.raw(model.config.pixels(batch.images, batch.sizes)).logits[0])
    assert torch.equal(raw[0], raw[1]) == ("norm_eval" in change[1])
