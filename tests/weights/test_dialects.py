"""Our dialects against what torchvision's own objects say; detectron2's and mmdetection's are in tests/parity."""

import pytest
import torch
from torchvision.models import detection
from weights.narrow import FASTER_RCNN, RETINANET

from cvzoo.weights import dialects
from cvzoo.weights.published import PUBLISHED


def names(config, first):
    """COCO's 80 names by data-set class, read off torchvision's category list through `class_ids`."""
    categories = detection.RetinaNet_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    return {k: categories[first + output] for output, k in enumerate(config.class_ids) if k >= 0}


@pytest.mark.parametrize(
    ("config", "first"), [(dialects.retinanet_torchvision(), 0), (dialects.faster_rcnn_torchvision(), 1)]
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


@pytest.mark.parametrize("version", ["torchvision", "torchvision_v2"])
def test_faster_rcnn_has_torchvisions_options(version):
    builder = detection.fasterrcnn_resnet50_fpn if version == "torchvision" else detection.fasterrcnn_resnet50_fpn_v2
    with torch.device("meta"):
        theirs = builder(weights=None, weights_backbone=None)
    ours, rpn, heads = PUBLISHED[FASTER_RCNN][version].config, theirs.rpn, theirs.roi_heads
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


def test_published_files_carry_their_checksum():
    """torchvision: eight digits of the sha256; detectron2: six of the md5, as its model zoo page says."""
    for row in (RETINANET, FASTER_RCNN):
        for name, entry in PUBLISHED[row].items():
            digits = {"sha256": 8, "md5": 6}[entry.file.algorithm]
            assert len(entry.file.digest) == digits
            assert int(entry.file.digest, 16) > 0
            assert (entry.file.algorithm == "md5") == name.startswith("detectron2")
            assert 0.3 < entry.results["box_AP"] < 0.5
