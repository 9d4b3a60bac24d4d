"""Our dialects against what the toolboxes' own objects and configs say."""

import json
from dataclasses import replace

import pytest
import torch
from cvzoo.weights.published import PUBLISHED
from parity import config_detectron2, config_mmdet, config_mmseg
from torchvision.models import detection
from weights.narrow import FASTER_RCNN, FCOS_IMPROVED, MASK_RCNN, RETINANET

from cvzoo.recipes import ROWS
from cvzoo.recipes.codec import to_json
from cvzoo.weights import dialects, dialects_semantic
from cvzoo.zoo.deeplabv3plus.model import DeepLabV3PlusConfig
from cvzoo.zoo.gcnet.model import GCNetConfig
from cvzoo.zoo.pspnet.model import PSPNetConfig


def names(config, first):
    """COCO's 80 names by data-set class, read off torchvision's category list through `class_ids`."""
    categories = detection.RetinaNet_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    return {k: categories[first + output] for output, k in enumerate(config.class_ids) if k >= 0}


@pytest.mark.parametrize(
    ("config", "first"),
    [(dialects.retinanet_torchvision(), 0), (dialects.fcos_torchvision(), 0), (dialects.faster_rcnn_torchvision(), 1)],
)
def test_every_output_has_its_coco_class(config, first):
    assert len(config.class_ids) == config.num_classes
    found = names(config, first)
    assert list(found) == list(range(80))
    assert (found[0], found[11], found[79]) == ("person", "stop sign", "toothbrush")
    assert not {"N/A", "__background__"} & set(found.values())


@pytest.mark.parametrize("version", ["torchvision", "torchvision_v2"])
def test_retinanet_has_torchvisions_options(version):
    builder = detection.retinanet_resnet50_fpn if version == "torchvision" else detection.retinanet_resnet50_fpn_v2
    with torch.device("meta"):
        theirs = builder(weights=None, weights_backbone=None)
    ours = PUBLISHED[RETINANET][version].config
    assert ours.anchors.sizes == theirs.anchor_generator.sizes
    assert ours.anchors.ratios * 5 == theirs.anchor_generator.aspect_ratios
    assert ours.detect.score_threshold == theirs.score_thresh
    assert ours.detect.nms_threshold == theirs.nms_thresh
    assert ours.detect.detections == theirs.detections_per_img
    assert ours.candidates == theirs.topk_candidates
    assert (ours.negative_below, ours.positive_from) == (
        theirs.proposal_matcher.low_threshold,
        theirs.proposal_matcher.high_threshold,
    )
    assert (ours.best_match == "own") == theirs.proposal_matcher.allow_low_quality_matches
    assert {"l1": "smooth_l1"}.get(theirs.head.regression_head._loss_type, "giou") == ours.box_loss
    assert (ours.fpn.extra_from == "output") == theirs.backbone.fpn.extra_blocks.use_P5
    assert ours.pixels.std == pytest.approx([255 * x for x in theirs.transform.image_std])


def test_fcos_has_torchvisions_options():
    with torch.device("meta"):
        theirs = detection.fcos_resnet50_fpn(weights=None, weights_backbone=None)
    ours = PUBLISHED[FCOS_IMPROVED]["torchvision"].config
    assert tuple((stride,) for stride in ours.points.strides) == theirs.anchor_generator.sizes
    assert ours.ranges == tuple(8 * stride for stride in ours.points.strides[:-1])
    assert ours.centre_radius == theirs.center_sampling_radius
    assert ours.detect.score_threshold == theirs.score_thresh
    assert ours.detect.nms_threshold == theirs.nms_thresh
    assert ours.detect.detections == theirs.detections_per_img
    assert ours.candidates == theirs.topk_candidates
    assert (ours.fpn.extra_from == "output") == theirs.backbone.fpn.extra_blocks.use_P5
    assert ours.pixels.std == pytest.approx([255 * x for x in theirs.transform.image_std])


@pytest.mark.parametrize(
    ("builder", "row"), [(detection.retinanet_resnet50_fpn, RETINANET), (detection.fcos_resnet50_fpn, FCOS_IMPROVED)]
)
def test_the_eps_of_published_norms_is_torchvisions(builder, row, monkeypatch):
    """It is set to 0 when weights are loaded, but not in FCOS."""
    monkeypatch.setattr(detection.retinanet.RetinaNet_ResNet50_FPN_Weights, "get_state_dict", no_state)
    monkeypatch.setattr(detection.fcos.FCOS_ResNet50_FPN_Weights, "get_state_dict", no_state)
    monkeypatch.setattr(torch.nn.Module, "load_state_dict", no_state)
    with torch.device("meta"):
        theirs = builder(weights="COCO_V1")
    assert PUBLISHED[row]["torchvision"].config.backbone.norm_eps == theirs.backbone.body.bn1.eps


def no_state(*_, **__):
    return {}


RCNNS = {
    (FASTER_RCNN, "torchvision"): detection.fasterrcnn_resnet50_fpn,
    (FASTER_RCNN, "torchvision_v2"): detection.fasterrcnn_resnet50_fpn_v2,
    (MASK_RCNN, "torchvision"): detection.maskrcnn_resnet50_fpn,
    (MASK_RCNN, "torchvision_v2"): detection.maskrcnn_resnet50_fpn_v2,
}


@pytest.mark.parametrize(("row", "version"), RCNNS)
def test_rcnns_have_torchvisions_options(row, version):
    with torch.device("meta"):
        theirs = RCNNS[row, version](weights=None, weights_backbone=None)
    ours, rpn, heads = PUBLISHED[row][version].config, theirs.rpn, theirs.roi_heads
    assert ours.rpn.anchors.sizes == rpn.anchor_generator.sizes
    assert {"training": ours.rpn.pre_nms_train, "testing": ours.rpn.pre_nms_test} == rpn._pre_nms_top_n
    assert {"training": ours.rpn.post_nms_train, "testing": ours.rpn.post_nms_test} == rpn._post_nms_top_n
    assert (ours.rpn.min_side, ours.rpn.nms_threshold) == (rpn.min_size, rpn.nms_thresh)
    assert ours.rpn.samples == rpn.fg_bg_sampler.batch_size_per_image
    assert ours.rpn.positive_fraction == rpn.fg_bg_sampler.positive_fraction
    assert ours.rpn.negative_below == rpn.proposal_matcher.low_threshold
    assert ours.rpn.positive_from == rpn.proposal_matcher.high_threshold
    assert ours.box_head.pool.sampling == heads.box_roi_pool.sampling_ratio
    assert (ours.box_head.pool.size,) * 2 == tuple(heads.box_roi_pool.output_size)
    assert ours.box_head.box_weights == heads.box_coder.weights
    assert ours.box_head.samples == heads.fg_bg_sampler.batch_size_per_image
    assert ours.box_head.positive_fraction == heads.fg_bg_sampler.positive_fraction
    assert ours.box_head.detect.score_threshold == heads.score_thresh
    assert ours.box_head.detect.nms_threshold == heads.nms_thresh
    assert ours.box_head.detect.detections == heads.detections_per_img
    if row == MASK_RCNN:
        assert ours.mask_head.pool.sampling == heads.mask_roi_pool.sampling_ratio
        assert (ours.mask_head.pool.size,) * 2 == tuple(heads.mask_roi_pool.output_size)
        assert not ours.mask_head.pool.aligned


MADE_SMALL = {
    *(
        "num_classes",
        "tower_convs",
        "candidates",
        "fc_channels",
        "channels",
        "convs",
        "depth",
        "width",
        "stem_channels",
        "out_channels",
    ),
    *("low_channels", "pool_window", "dropout", "aspp_dropout"),
    *("samples", "detections", "pre_nms_train", "pre_nms_test", "post_nms_train", "post_nms_test"),
    "frozen_stages",
}
"""Options in which golden cases are not the published config."""
CASES = {
    "retinanet_mmdet/retinanet_fpn": dialects.retinanet_mmdetection(),
    "fcos/fcos_r50_fpn": dialects.fcos_detectron2(),
    "fcos_mmdet/fcos-caffe_fpn_gn-head": dialects.fcos_mmdetection(),
    "fcos_mmdet/fcos-caffe_center-normbbox-centeronreg-giou": dialects.fcos_mmdetection_improved(),
    "atss/atss_fpn": dialects.atss_mmdetection(),
    "freeanchor/freeanchor_fpn": dialects.freeanchor_mmdetection(),
    "reppoints/moment_fpn-gn_head-gn": dialects.reppoints_mmdetection(),
    "reppoints/moment_fpn": dialects.reppoints_mmdetection_without_norm(),
    "faster_rcnn/faster_rcnn_r50_c4": dialects.faster_rcnn_c4_detectron2(),
    "faster_rcnn/faster_rcnn_r50_fpn": dialects.faster_rcnn_detectron2(),
    "mask_rcnn/mask_rcnn_r50_fpn": dialects.mask_rcnn_detectron2(),
    "cascade_rcnn/cascade_mask_rcnn_r50_fpn": dialects.cascade_mask_rcnn_detectron2(),
    "tridentnet/tridentnet_fast_r50_c4": dialects.tridentnet_detectron2(),
    "cascade_mask_rcnn_mmdet/cascade-mask-rcnn_fpn": dialects.cascade_mask_rcnn_mmdetection(),
    "pspnet/pspnet_d8": PSPNetConfig(),
    "gcnet_segmentation/gcnet_d8": GCNetConfig(),
    # mmsegmentation's for crops of 769x769
    "deeplabv3plus/deeplabv3plus_d8": DeepLabV3PlusConfig(align_corners=True),
    "deeplab/deeplabv3plus_r50": dialects_semantic.deeplabv3plus_detectron2(),
    "gcnet_mask_rcnn/mask-rcnn_gcb-c3-c5_fpn": replace(
        dialects.mask_rcnn_mmdetection(), backbone=replace(dialects.MMDETECTION_BODY, context_ratio=1 / 16)
    ),
}


def conventions(values):
    """A config as JSON values without the options that were made small."""
    if isinstance(values, list):
        return [conventions(value) for value in values]
    if not isinstance(values, dict):
        return values
    return {name: conventions(value) for name, value in values.items() if name not in MADE_SMALL}


READERS = {
    "retinanet_mmdet": config_mmdet.retinanet,
    "fcos": config_detectron2.fcos,
    "fcos_mmdet": config_mmdet.fcos,
    "atss": config_mmdet.atss,
    "freeanchor": config_mmdet.freeanchor,
    "reppoints": config_mmdet.reppoints,
    "cascade_mask_rcnn_mmdet": config_mmdet.cascade_rcnn,
    "gcnet_mask_rcnn": config_mmdet.mask_rcnn,
    "pspnet": config_mmseg.pspnet,
    "gcnet_segmentation": config_mmseg.gcnet_segmentation,
    "deeplabv3plus": config_mmseg.deeplabv3plus,
    "deeplab": config_detectron2.deeplab,
}
"""By folder of the cases; the others are R-CNNs of detectron2."""


@pytest.mark.parametrize("name", CASES)
def test_dialects_have_the_options_of_the_golden_cases(golden, name):
    case = json.loads((golden / name / "case.json").read_text())
    theirs = READERS.get(name.split("/")[0], config_detectron2.rcnn)(case)
    assert type(theirs) is type(CASES[name])
    assert conventions(to_json(theirs)) == conventions(to_json(CASES[name]))


@pytest.mark.parametrize(
    ("config", "counts"),
    [
        # pre and post NMS in training, the same in inference, sampled proposals (spec two_stage.md 1.7; mmdetection's
        # configs/_base_/models)
        (dialects.faster_rcnn_detectron2(), (2000, 1000, 1000, 1000, 512)),
        (dialects.faster_rcnn_c4_detectron2(), (12000, 2000, 6000, 1000, 512)),
        (dialects.mask_rcnn_c4_detectron2(), (12000, 2000, 6000, 1000, 512)),
        (dialects.tridentnet_detectron2(), (12000, 500, 6000, 1000, 128)),
        (dialects.cascade_mask_rcnn_detectron2(), (2000, 2000, 1000, 1000, 512)),
        (dialects.mask_rcnn_mmdetection(), (2000, 1000, 1000, 1000, 512)),
        (dialects.cascade_mask_rcnn_mmdetection(), (2000, 2000, 1000, 1000, 512)),
    ],
)
def test_numbers_of_proposals(config, counts):
    rpn = config.rpn
    found = (rpn.pre_nms_train, rpn.post_nms_train, rpn.pre_nms_test, rpn.post_nms_test)
    assert (*found, config.box_head.samples) == counts
    assert rpn.samples == 256


def test_published_files_carry_their_checksum():
    """torchvision, OpenMMLab: eight digits of the sha256; detectron2: six of the md5, as its model zoo page says."""
    for row, named in PUBLISHED.items():
        assert row in ROWS
        for name, entry in named.items():
            digits = {"sha256": 8, "md5": 6}[entry.file.algorithm]
            assert len(entry.file.digest) == digits
            assert int(entry.file.digest, 16) > 0
            assert (entry.file.algorithm == "md5") == name.startswith("detectron2")
            if ROWS[row].task == "segmentation":
                assert 0.4 < entry.results["mIoU"] < 0.9
                continue
            assert 0.3 < entry.results["box_AP"] < 0.5
            assert ("mask_AP" in entry.results) == ("mask_rcnn" in row)
