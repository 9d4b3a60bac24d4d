"""What a toolbox's config says of its weights: files that differ in nothing else are read differently."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from weights.as_mmdetection import as_mmdetection

from cvzoo.data.class_names import COCO
from cvzoo.loading import Loaded, build_with_weights, read_state
from cvzoo.nn.pixels import CAFFE, CAFFE2, IMAGENET
from cvzoo.nn.roi_pool import RoIPoolConfig
from cvzoo.weights.errors import WeightsError
from cvzoo.weights.stated import stated
from cvzoo.weights.stated.eval_sizes import eval_sizes
from cvzoo.zoo import ROWS
from cvzoo.zoo.faster_rcnn import weights as faster_rcnn
from cvzoo.zoo.mask_rcnn import weights as mask_rcnn
from cvzoo.zoo.tridentnet import weights as tridentnet

CAFFE_RETINANET = """
custom_hooks = [dict(type=NumClassCheckHook)]
model = dict(
    type='RetinaNet',
    data_preprocessor=dict(
        type='DetDataPreprocessor', mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0], bgr_to_rgb=False,
        pad_size_divisor=64),
    backbone=dict(type='ResNet', depth=50, norm_eval=True, style='caffe'),
    bbox_head=dict(type='RetinaHead', num_classes=80),
    test_cfg=dict(nms_pre=500, min_bbox_size=0, score_thr=0.0001, nms=dict(type='nms', iou_threshold=0.6),
        max_per_img=300))
"""
VERSION_2 = """
img_norm_cfg = dict(mean=[103.53, 116.28, 123.675], std=[57.375, 57.12, 58.395], to_rgb=False)
model = dict(type='FasterRCNN', backbone=dict(type='ResNet', style='pytorch'), bbox_head=None)
test_cfg = dict(rpn=dict(nms_pre=700, max_num=200, nms_thr=0.8),
    rcnn=dict(score_thr=0.2, nms=dict(type='nms', iou_thr=0.4), max_per_img=50))
"""
SEGMENTER = """
model = dict(type='EncoderDecoder', data_preprocessor=dict(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0], bgr_to_rgb=True),
    backbone=dict(type='ResNetV1c', strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2), contract_dilation=False),
    decode_head=dict(type='DepthwiseSeparableASPPHead', dilations=(1, 6, 12, 18), align_corners=True))
"""
DETECTRON2 = """
INPUT: {FORMAT: RGB}
TEST: {DETECTIONS_PER_IMAGE: 300}
MODEL:
  PIXEL_MEAN: [123.675, 116.28, 103.53]
  PIXEL_STD: [58.395, 57.12, 57.375]
  RESNETS: {STRIDE_IN_1X1: false}
  ROI_HEADS: {SCORE_THRESH_TEST: 0.0001, NMS_THRESH_TEST: 0.4}
  RPN: {PRE_NMS_TOPK_TEST: 400, POST_NMS_TOPK_TEST: 300, NMS_THRESH: 0.65}
"""

ON_C5 = """
model = dict(type='FasterRCNN',
    backbone=dict(type='ResNet', num_stages=4, strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2), out_indices=(3, ),
        frozen_stages=1, norm_cfg=dict(type='BN', requires_grad=False), norm_eval=True, style='caffe'),
    rpn_head=dict(type='RPNHead', in_channels=2048, anchor_generator=dict(type='AnchorGenerator',
        scales=[2, 4, 8, 16, 32], ratios=[0.5, 1.0, 2.0], strides=[16])),
    roi_head=dict(type='StandardRoIHead',
        bbox_roi_extractor=dict(type='SingleRoIExtractor', featmap_strides=[16],
            roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=0)),
        bbox_head=dict(type='Shared2FCBBoxHead', in_channels=2048)),
    test_cfg=dict(rpn=dict(nms_pre=6000, max_per_img=1000), rcnn=dict(score_thr=0.05)))
"""
ON_C4 = (
    ON_C5.replace("num_stages=4, strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2)", "num_stages=3, strides=(1, 2, 2)")
    .replace("out_indices=(3, )", "dilations=(1, 1, 1), out_indices=(2, )")
    .replace("output_size=7", "output_size=14")
    .replace("'Shared2FCBBoxHead'", "'BBoxHead', with_avg_pool=True")
    .replace(
        "bbox_roi", "shared_head=dict(type='ResLayer', depth=50, stage=3, stride=2, style='caffe'),\n        bbox_roi"
    )
)
TRIDENT = ON_C4.replace("'ResNet'", "'TridentResNet', trident_dilations=(1, 2, 3), num_branch=3, test_branch_idx=1")
DETECTRON2_C5 = """
MODEL:
  RESNETS: {STRIDE_IN_1X1: true, RES5_DILATION: 2}
  RPN: {PRE_NMS_TOPK_TEST: 6000}
  ROI_HEADS: {IN_FEATURES: [res5]}
  ROI_BOX_HEAD: {POOLER_RESOLUTION: 7, NUM_CONV: 0, NUM_FC: 2}
  ROI_MASK_HEAD: {POOLER_RESOLUTION: 14, NUM_CONV: 4}
"""


def read(row: str, text: str) -> Any:
    return stated(ROWS[row].recipe().model, f"w.pth\n{text}", "w.pth")


def test_mmdetection_3() -> None:
    config = read("retinanet_r50_fpn_1x", CAFFE_RETINANET)
    assert config.pixels == replace(CAFFE, divisor=64)
    assert config.backbone.stride_in_1x1
    assert config.candidates == 500
    detect = config.detect
    assert (detect.score_threshold, detect.nms_threshold, detect.detections) == (0.0001, 0.6, 300)


def test_mmdetection_2() -> None:
    config = read("faster_rcnn_r50_fpn_1x", VERSION_2)
    assert (config.pixels.std, config.pixels.bgr) == ((57.375, 57.12, 58.395), True)
    assert not config.backbone.stride_in_1x1
    assert (config.rpn.pre_nms_test, config.rpn.post_nms_test, config.rpn.nms_threshold) == (700, 200, 0.8)
    detect = config.box_head.detect
    assert (detect.score_threshold, detect.nms_threshold, detect.detections) == (0.2, 0.4, 50)


def test_mmsegmentation() -> None:
    config = read("deeplabv3plus_r50_d8_cityscapes", SEGMENTER)
    assert (config.pixels.mean, config.pixels.std, config.pixels.bgr) == ((1, 2, 3), (4, 5, 6), False)
    assert (config.backbone.output_stride, config.backbone.contract_dilation) == (16, False)
    assert config.dilations == (6, 12, 18)
    assert config.align_corners


def test_detectron2() -> None:
    config = read("faster_rcnn_r50_fpn_1x", DETECTRON2)
    assert config.pixels == IMAGENET
    assert not config.backbone.stride_in_1x1
    assert (config.rpn.pre_nms_test, config.rpn.post_nms_test, config.rpn.nms_threshold) == (400, 300, 0.65)
    detect = config.box_head.detect
    assert (detect.score_threshold, detect.nms_threshold, detect.detections) == (0.0001, 0.4, 300)


@pytest.mark.parametrize(
    ("published", "text"),
    [
        (faster_rcnn.MMDETECTION_C4, ON_C4),
        (mask_rcnn.MMDETECTION_C4, ON_C4.replace("bbox_head=", "mask_head=dict(num_convs=0), bbox_head=")),
        (faster_rcnn.MMDETECTION_C5, ON_C5),
        (tridentnet.MMDETECTION, TRIDENT.replace("'StandardRoIHead'", "'TridentRoIHead', num_branch=3")),
        (faster_rcnn.DETECTRON2_C5, DETECTRON2_C5),
        (mask_rcnn.DETECTRON2_C5, DETECTRON2_C5),
    ],
)
def test_stages_without_a_pyramid(published: Any, text: str) -> None:
    """A text leads to the published config also from one that is wrong in all that it says."""
    b, heads = published.backbone, {"box_head": published.box_head, "mask_head": getattr(published, "mask_head", None)}
    pool = RoIPoolConfig(size=3, strides=(8,))
    wrong = {name: replace(head, pool=pool, convs=1) for name, head in heads.items() if head is not None}
    config = replace(
        published,
        backbone=replace(b, stride_in_1x1=False, output_stride=48 - b.output_stride),
        rpn=replace(published.rpn, pre_nms_test=1),
        **wrong,
    )
    assert stated(config, f"w.pth\n{text}", "w.pth") == published


def test_a_last_layer_unlike_the_body_is_refused() -> None:
    text = ON_C4.replace("stride=2, style='caffe'", "stride=2, style='pytorch'")
    with pytest.raises(WeightsError, match=r"roi_head\.shared_head\.style='pytorch'"):
        read("faster_rcnn_r50_c4_1x", text)


@pytest.mark.parametrize("text", ["", "x", "model = dict(", "MODEL: [", "model = undefined(1)", "model = os.x"])
def test_what_says_nothing_changes_nothing(text: str) -> None:
    assert read("retinanet_r50_fpn_1x", text) == ROWS["retinanet_r50_fpn_1x"].recipe().model


def test_what_we_do_not_compute_is_refused() -> None:
    legacy = CAFFE_RETINANET.replace("num_classes=80", "bbox_coder=dict(type='LegacyDeltaXYWHBBoxCoder')")
    with pytest.raises(WeightsError, match=r"w\.pth .*bbox_coder\.type='LegacyDelta"):
        read("retinanet_r50_fpn_1x", legacy)


ROW = "retinanet_r18_fpn_shapes"


def loaded(path: Path, **options: Any) -> Loaded:
    return build_with_weights(replace(ROWS[ROW].recipe(), weights=str(path), **options))


def state_of_mmdetection() -> dict[str, Tensor]:
    """Its P6 is made of C5."""
    model = ROWS[ROW].recipe().model
    model = replace(model, fpn=replace(model.fpn, extra_from="input"))
    return as_mmdetection(model.build().state_dict(), "retinanet")


def test_files_that_differ_in_their_record_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The text in the file, the config beside it, the style that the user names, and none of them."""
    state = state_of_mmdetection()
    torch.save({"state_dict": state, "meta": {"cfg": CAFFE_RETINANET}}, tmp_path / "told.pth")
    torch.save(state, tmp_path / "bare.pth")
    told, bare = (loaded(tmp_path / name).recipe.model for name in ("told.pth", "bare.pth"))
    assert (told.pixels.bgr, told.backbone.stride_in_1x1, told.detect.detections) == (True, True, 300)
    assert (bare.pixels.bgr, bare.backbone.stride_in_1x1, bare.detect.detections) == (False, False, 100)
    (message,) = [record.getMessage() for record in caplog.records]
    assert "bare.pth has no config in it or beside it, so it is taken for RetinaNet" in message
    assert "images enter as RGB, mean (123.675, 116.28, 103.53)" in message
    assert "at most 100 detections of a score above 0.05" in message
    assert "--weights-style caffe" in message

    caffe = loaded(tmp_path / "bare.pth", weights_style="caffe").recipe.model
    assert (caffe.pixels, caffe.backbone.stride_in_1x1) == (CAFFE, True)
    (tmp_path / "retinanet-caffe.py").write_text(CAFFE_RETINANET)
    assert loaded(tmp_path / "bare.pth").recipe.model == told
    torch.save({"state_dict": state, "meta": {"cfg": "", "CLASSES": ("a", "b", "c")}}, tmp_path / "named.pth")
    assert loaded(tmp_path / "named.pth").classes == ["a", "b", "c"]


def test_names_of_other_classes_than_are_scored_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As of a training for three classes whose config still names those of COCO."""
    state = state_of_mmdetection()
    meta = {"cfg": CAFFE_RETINANET.replace("num_classes=80", "num_classes=3"), "dataset_meta": {"CLASSES": COCO}}
    torch.save({"state_dict": state, "meta": meta}, tmp_path / "w.pth")
    found = loaded(tmp_path / "w.pth")
    assert (found.classes, found.class_names) == (None, ["class 0", "class 1", "class 2"])
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.endswith("w.pth names 80 classes but scores 3: its names are left out")


@pytest.mark.parametrize(
    ("name", "row", "caffe"),
    [
        ("retinanet_r50_caffe_fpn_1x_coco_20200531-f11027c5.pth", "retinanet_r50_fpn_1x", True),
        ("retinanet_r50_fpn_1x_coco_20200130-c2398f9e.pth", "retinanet_r50_fpn_1x", False),
        ("fcos_r50-caffe_fpn_gn-head_1x_coco-821213aa.pth", "fcos_r50_fpn_1x", True),
        ("fcos_x101_64x4d_fpn_gn-head_mstrain_640-800_2x_coco-ede514a8.pth", "fcos_r50_fpn_1x", False),
        ("epoch_12.pth", "fcos_r50_fpn_1x", True),
        ("retinanet_x101_32x8d_fpn_1x_coco.pth", "retinanet_r50_fpn_1x", None),
    ],
)
def test_a_name_of_mmdetection_tells_the_style(name: str, row: str, caffe: bool | None) -> None:
    """Where no text does; FCOS of another name is taken to be caffe's, as it was published first."""
    recipe = ROWS[row].recipe()
    with torch.device("meta"):
        state = as_mmdetection(recipe.model.build().state_dict(), recipe.row.partition("_")[0])
    _, config = read_state(state, recipe, name, f"{name}\n")
    if caffe is None:  # Caffe2's ResNeXt
        assert (config.backbone.stride_in_1x1, config.pixels) == (False, CAFFE2)
    else:
        assert (config.backbone.stride_in_1x1, config.pixels.bgr) == (caffe, caffe)


@pytest.mark.parametrize(
    ("row", "text", "named"),
    [
        ("retinanet_r50_fpn_1x", f"_base_ = ['x.py', 'y.py']{CAFFE_RETINANET}", r"\['x\.py', 'y\.py'\] \(_base_\)"),
        (
            "faster_rcnn_r50_fpn_1x",
            f"_BASE_: ../Base-RCNN-FPN.yaml{DETECTRON2}",
            r"\.\./Base-RCNN-FPN\.yaml \(_BASE_\)",
        ),
    ],
)
def test_a_config_that_states_only_differences_is_refused(row: str, text: str, named: str) -> None:
    with pytest.raises(WeightsError, match=rf"w\.pth comes with a config that is built on {named}"):
        read(row, text)


MMDET_3 = """
model = dict(type='RetinaNet')
test_pipeline = [dict(type='Resize', scale=(1, 1))]
test_dataloader = dict(dataset=dict(pipeline=[
    dict(type='LoadImageFromFile'), dict(type='mmdet.Resize', scale=(1333, 800), keep_ratio=True)]))
"""
MMDET_2 = """
model = dict(type='RetinaNet')
test_pipeline = [dict(type='MultiScaleFlipAug', img_scale=(1333, 800), transforms=[dict(type='Resize')])]
data = dict(test=dict(pipeline=test_pipeline))
"""
SLIDING = MMDET_3.replace("'RetinaNet'", "'EncoderDecoder', test_cfg=dict(mode='slide', crop_size=(769, 513))")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (MMDET_3, ""),
        (MMDET_2, ""),
        ("INPUT: {MIN_SIZE_TEST: 800, MAX_SIZE_TEST: 1333}\nMODEL: {}", ""),
        ("INPUT: {MIN_SIZE_TEST: 0, MAX_SIZE_TEST: 0}\nMODEL: {}", "--data.test-full-size"),
        (MMDET_3.replace("1333", "2048"), "--data.test-short-side 800 --data.max-long-side 2048"),
        (MMDET_2.replace("(1333, 800)", "(512, 640)"),
         "--data.short-sides 512 --data.test-short-side 512 --data.max-long-side 640"),
        (MMDET_2.replace("(1333, 800)", "[(1333, 800), (1000, 600)]"), ""),
        (MMDET_3.replace("True", "False"), "squeezes images to 1333 and 800 pixels"),
        (SLIDING, "--data.test-window 769 513"),
        (CAFFE_RETINANET, ""),
    ],
)  # fmt: skip
def test_another_size_in_the_test_is_told(text: str, told: str) -> None:
    found = eval_sizes(f"w.pth\n{text}")
    said = found.told(ROWS["retinanet_r50_fpn_1x"].recipe().data) if found else ""
    assert told in said
    assert bool(told) == bool(said)


def test_a_row_that_resizes_nothing_is_told_of_a_size() -> None:
    data = replace(ROWS["retinanet_r50_fpn_1x"].recipe().data, test_full_size=True)
    found = eval_sizes(f"w.pth\n{MMDET_3}")
    assert found is not None
    assert "--data.no-test-full-size --data.test-short-side 800 --data.max-long-side 1333" in found.told(data)


def test_the_size_is_told_where_weights_are_used_as_they_are(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = CAFFE_RETINANET + MMDET_3.partition("\n")[2].partition("\n")[2].replace("1333, 800", "640, 640")
    torch.save({"state_dict": state_of_mmdetection(), "meta": {"cfg": text}}, tmp_path / "w.pth")
    recipe = loaded(tmp_path / "w.pth").recipe
    (message,) = [record.getMessage() for record in caplog.records]
    assert (
        "w.pth: its own test takes images in another size or window than this recipe; as there: --data.test" in message
    )
    data = replace(recipe.data, canvas=None, test_short_side=640, max_long_side=640)
    caplog.clear()
    loaded(tmp_path / "w.pth", data=data)
    assert not caplog.records
