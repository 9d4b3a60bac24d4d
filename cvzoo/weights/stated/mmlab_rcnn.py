"""The stages of two-stage detectors in mmdetection's configs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cvzoo.weights.stated.mmlab_body import norm_of
from cvzoo.weights.stated.mmlab_dense import anchors_of, coder_of, detect_of, sigmoid_of
from cvzoo.weights.stated.section import Section, with_fields

LAYERS = {"Shared2FCBBoxHead": (0, 2), "Shared4Conv1FCBBoxHead": (4, 1), "BBoxHead": (0, 0)}
"""Convolutions and hidden linear layers of a box head, by its class."""
IN_THE_SHAPES = (
    "type",
    "num_classes",
    "in_channels",
    "feat_channels",
    "conv_out_channels",
    "fc_out_channels",
    "init_cfg",
)


def stages_of(config: Any, model: Section, test: Section) -> Any:
    """The detector's config; in version 2 the heads stand in `roi_head`, too."""
    rpn = _rpn(config.rpn, model.part("rpn_head"), test.part("rpn"))
    roi, of_regions = model.part("roi_head"), test.part("rcnn")
    config = replace(config, rpn=rpn)
    if roi.entries:
        config = _regions(config, roi)
    box_head = replace(config.box_head, detect=detect_of(config.box_head.detect, of_regions))
    of_regions.close()
    test.close()
    return replace(config, box_head=box_head)


def _rpn(config: Any, head: Section, test: Section) -> Any:
    losses = [key for key in head.entries if key.startswith("loss_")]
    head.skip(*IN_THE_SHAPES, *losses)
    nms = test.part("nms")
    nms.only("type", "nms")
    found = with_fields(
        config,
        anchors=anchors_of(config.anchors, head.part("anchor_generator")),
        box_weights=coder_of(head.part("bbox_coder")),
        convs=head.take("num_convs"),
        pre_nms_test=test.take("nms_pre"),
        post_nms_test=test.take("max_per_img", test.take("max_num", test.take("nms_post"))),
        nms_threshold=nms.take("iou_threshold", test.take("nms_thr")),
        min_side=test.take("min_bbox_size"),
    )
    if head.entries:
        head.only("type", "RPNHead")
        sigmoid_of(head, sigmoid=True)
    test.skip("nms_post", "max_num", "nms_across_levels" if not test.take("nms_across_levels") else "")
    for part in (head, nms, test):
        part.close()
    return found


def _regions(config: Any, roi: Section) -> Any:
    roi.skip("type", "num_stages", "stage_loss_weights", "init_cfg", "train_cfg", "test_cfg")
    roi.skip("shared_head", "num_branch", "test_branch_idx")  # read with the body
    pool = _pool(config.box_head.pool, roi.part("bbox_roi_extractor"))
    box_head = replace(config.box_head, pool=pool)
    if isinstance(roi.entries.get("bbox_head"), list):
        heads = [_box_head(box_head, part) for part in roi.parts("bbox_head")]
        stages = zip(config.stages, heads, strict=False)  # the keys tell how many there are
        config = replace(config, stages=tuple(replace(stage, box_weights=h.box_weights) for stage, h in stages))
        box_head = replace(heads[0], box_weights=box_head.box_weights) if heads else box_head
    else:
        box_head = _box_head(box_head, roi.part("bbox_head"))
    parts = {"box_head": box_head}
    if getattr(config, "mask_head", None) is not None and "mask_head" in roi:
        parts["mask_head"] = _mask_head(config.mask_head, roi, box_head.pool)
    roi.close()
    return replace(config, **parts)


def _box_head(config: Any, head: Section) -> Any:
    losses = [key for key in head.entries if key.startswith("loss_")]
    head.skip(*IN_THE_SHAPES, *losses, "roi_feat_size", "with_avg_pool", "reg_decoded_bbox")
    convs, fcs = LAYERS.get(head.only("type", *LAYERS), (None, None))
    sigmoid_of(head, sigmoid=False)
    norm = norm_of(head)
    found = with_fields(
        config,
        convs=convs,
        fcs=fcs,
        conv_norm_groups=norm["norm_groups"],
        class_agnostic=bool(head.take("reg_class_agnostic")),
        box_weights=coder_of(head.part("bbox_coder")),
    )
    head.close()
    return replace(found, conv_norm=norm["norm"] if found.convs else None)


def _mask_head(config: Any, roi: Section, pool_of_boxes: Any) -> Any:
    """Without an extractor of its own it has the box head's features of a region."""
    head = roi.part("mask_head")
    head.skip(*IN_THE_SHAPES, "loss_mask", "roi_feat_size")
    head.only("type", "FCNMaskHead")
    head.only("conv_kernel_size", 3)
    upsample = head.part("upsample_cfg")
    upsample.only("type", "deconv")
    upsample.only("scale_factor", 2)
    upsample.close()
    norm = norm_of(head)
    extractor = roi.part("mask_roi_extractor")
    pool = _pool(config.pool, extractor) if extractor.entries else pool_of_boxes
    found = with_fields(config, convs=head.take("num_convs"), conv_norm_groups=norm["norm_groups"], pool=pool)
    head.close()
    return replace(found, conv_norm=norm["norm"])


def _pool(config: Any, part: Section) -> Any:
    """Of an empty part it stays as it is."""
    if not part.entries:
        return config
    part.only("type", "SingleRoIExtractor")
    part.skip("out_channels", "init_cfg")
    layer = part.part("roi_layer")
    layer.only("type", "RoIAlign")
    layer.only("pool_mode", "avg")
    layer.skip("use_torchvision", "output_channels")
    size = layer.take("output_size", layer.take("out_size"))
    finest = part.take("finest_scale", 56)
    found = with_fields(
        config,
        size=size,
        sampling=max(layer.take("sampling_ratio", 0), 0),
        aligned=layer.take("aligned", True),
        strides=part.take("featmap_strides"),
        canonical_size=finest * 4,
    )
    layer.close()
    part.close()
    return found
