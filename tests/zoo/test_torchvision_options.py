"""The conventions of torchvision against its own objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torchvision.models import detection

from cvzoo.zoo.faster_rcnn import weights as of_faster_rcnn
from cvzoo.zoo.fcos import weights as of_fcos
from cvzoo.zoo.mask_rcnn import weights as of_mask_rcnn
from cvzoo.zoo.retinanet import weights as of_retinanet


def names(config: Any, first: int) -> dict[int, str]:
    """COCO's 80 names by data-set class, read off torchvision's category list through `class_ids`."""
    categories = detection.RetinaNet_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    return {k: categories[first + output] for output, k in enumerate(config.class_ids) if k >= 0}


@pytest.mark.parametrize(
    ("config", "first"),
    [(of_retinanet.TORCHVISION, 0), (of_fcos.TORCHVISION, 0), (of_faster_rcnn.TORCHVISION, 1)],
)
def test_every_output_has_its_coco_class(config: Any, first: int) -> None:
    assert len(config.class_ids) == config.num_classes
    found = names(config, first)
    assert list(found) == list(range(80))
    assert (found[0], found[11], found[79]) == ("person", "stop sign", "toothbrush")
    assert not {"N/A", "__background__"} & set(found.values())


def built(builder: Callable[..., Any]) -> Any:
    with torch.device("meta"):
        return builder(weights=None, weights_backbone=None)


@pytest.mark.parametrize(
    ("ours", "builder"),
    [
        (of_retinanet.TORCHVISION, detection.retinanet_resnet50_fpn),
        (of_retinanet.TORCHVISION_V2, detection.retinanet_resnet50_fpn_v2),
    ],
)
def test_retinanet_has_torchvisions_options(ours: Any, builder: Callable[..., Any]) -> None:
    theirs = built(builder)
    matcher = theirs.proposal_matcher
    assert ours.anchors.sizes == theirs.anchor_generator.sizes
    assert ours.anchors.ratios * 5 == theirs.anchor_generator.aspect_ratios
    assert (ours.negative_below, ours.positive_from) == (matcher.low_threshold, matcher.high_threshold)
    assert (ours.best_match == "own") == matcher.allow_low_quality_matches
    assert {"l1": "smooth_l1"}.get(theirs.head.regression_head._loss_type, "giou") == ours.box_loss
    has_common_options(ours, theirs)


def test_fcos_has_torchvisions_options() -> None:
    ours, theirs = of_fcos.TORCHVISION, built(detection.fcos_resnet50_fpn)
    assert tuple((stride,) for stride in ours.points.strides) == theirs.anchor_generator.sizes
    assert ours.ranges == tuple(8 * stride for stride in ours.points.strides[:-1])
    assert ours.centre_radius == theirs.center_sampling_radius
    has_common_options(ours, theirs)


def has_common_options(ours: Any, theirs: Any) -> None:
    assert ours.detect.score_threshold == theirs.score_thresh
    assert ours.detect.nms_threshold == theirs.nms_thresh
    assert ours.detect.detections == theirs.detections_per_img
    assert ours.candidates == theirs.topk_candidates
    assert (ours.fpn.extra_from == "output") == theirs.backbone.fpn.extra_blocks.use_P5
    assert ours.pixels.std == pytest.approx([255 * x for x in theirs.transform.image_std])
    assert ours.pixels.mean == pytest.approx([255 * x for x in theirs.transform.image_mean])


@pytest.mark.parametrize(
    ("builder", "ours"),
    [
        (detection.retinanet_resnet50_fpn, of_retinanet.TORCHVISION),
        (detection.fcos_resnet50_fpn, of_fcos.TORCHVISION),
        (detection.fasterrcnn_resnet50_fpn, of_faster_rcnn.TORCHVISION),
        (detection.maskrcnn_resnet50_fpn, of_mask_rcnn.TORCHVISION),
    ],
)
def test_the_eps_of_published_norms_is_torchvisions(
    builder: Callable[..., Any], ours: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is set to 0 when weights are loaded, but not in FCOS."""
    monkeypatch.setattr(torch.nn.Module, "load_state_dict", no_state)
    monkeypatch.setattr("torchvision.models._api.WeightsEnum.get_state_dict", no_state)
    with torch.device("meta"):
        theirs = builder(weights="COCO_V1")
    assert ours.backbone.norm_eps == theirs.backbone.body.bn1.eps


def no_state(*_: Any, **__: Any) -> dict[str, Any]:
    return {}


@pytest.mark.parametrize(
    ("ours", "builder"),
    [
        (of_faster_rcnn.TORCHVISION, detection.fasterrcnn_resnet50_fpn),
        (of_faster_rcnn.TORCHVISION_V2, detection.fasterrcnn_resnet50_fpn_v2),
        (of_mask_rcnn.TORCHVISION, detection.maskrcnn_resnet50_fpn),
        (of_mask_rcnn.TORCHVISION_V2, detection.maskrcnn_resnet50_fpn_v2),
    ],
)
def test_rcnns_have_torchvisions_options(ours: Any, builder: Callable[..., Any]) -> None:
    theirs = built(builder)
    rpn, heads = theirs.rpn, theirs.roi_heads
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
    assert hasattr(ours, "mask_head") == heads.has_mask()
    if hasattr(ours, "mask_head"):
        assert ours.mask_head.pool.sampling == heads.mask_roi_pool.sampling_ratio
        assert (ours.mask_head.pool.size,) * 2 == tuple(heads.mask_roi_pool.output_size)
        assert not ours.mask_head.pool.aligned
