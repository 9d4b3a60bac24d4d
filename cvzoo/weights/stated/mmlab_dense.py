"""Heads of one-stage detectors in mmdetection's configs, their anchors, and how candidates become detections."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cvzoo.weights.stated.mmlab_body import norm_of
from cvzoo.weights.stated.section import Section, with_fields

IN_THE_SHAPES = (
    *("type", "num_classes", "in_channels", "feat_channels", "point_feat_channels", "num_points", "conv_bias"),
    *("corner_emb_channels", "num_feat_levels", "corner_offset_channels"),
)
TRAINING = (
    *(
        "init_cfg",
        "gradient_mul",
        "train_cfg",
        "reg_decoded_bbox",
        "regress_ranges",
        "norm_eval",
        "assigner",
        "sampler",
    ),
    *("center_sampling", "center_sample_radius", "pre_anchor_topk", "bbox_thr", "gamma", "alpha", "num_base_priors"),
)
"""A system reads itself what it needs of these."""


def dense_of(config: Any, head: Section, test: Section) -> Any:
    """The detector's config, whichever its head is."""
    losses = [key for key in head.entries if key.startswith("loss_")]
    head.skip(*IN_THE_SHAPES, *TRAINING, *losses)
    config = with_fields(
        config,
        tower_convs=head.take("stacked_convs"),
        deform_last=bool(head.take("dcn_on_last_conv")) if hasattr(config, "deform_last") else None,
        **_head(config, head),
        **detection_of(config, test),
    )
    head.close()
    test.close()
    return config


def _head(config: Any, head: Section) -> dict[str, Any]:
    """What only some heads have."""
    found: dict[str, Any] = {}
    if head.entries and hasattr(config, "tower_norm"):
        norm = norm_of(head, default=None if "norm_cfg" in head.entries else config.tower_norm)
        found |= {"tower_norm": norm["norm"], "tower_norm_groups": norm["norm_groups"]}
    if hasattr(config, "anchors"):
        found["anchors"] = anchors_of(config.anchors, head.part("anchor_generator"))
        sigmoid_of(head, sigmoid=True)
    if hasattr(config, "box_weights"):
        found["box_weights"] = coder_of(head.part("bbox_coder")) or coder_of(head.part("anchor_coder"))
    if hasattr(config, "points"):
        head.part("bbox_coder").only("type", "DistancePointBBoxCoder")
        strides = head.take("strides") or head.take("point_strides")
        found["points"] = with_fields(config.points, strides=strides)
        sigmoid_of(head, sigmoid=True)
    if hasattr(config, "distance"):
        found["distance"] = "relu" if head.take("norm_on_bbox") else "exp"
        found["centreness_on"] = "box" if head.take("centerness_on_reg") else "cls"
    if hasattr(config, "points_to_box"):
        found["base_scale"] = head.take("point_base_scale")
        method = head.only("transform_method", "moment", "minmax", "partial_minmax")
        found["points_to_box"] = "grid" if head.take("use_grid_points") else method
        head.skip("moment_mul")
    head.only("pred_kernel_size", 3)
    return found


def sigmoid_of(head: Section, *, sigmoid: bool) -> None:
    """Refuse scores that are no sigmoid, or no softmax: the config's loss says."""
    loss = head.part("loss_cls")
    loss.skip(*loss.entries)
    loss.asked.discard("use_sigmoid")
    if loss.entries and bool(loss.take("use_sigmoid", sigmoid)) != sigmoid:
        loss.refuse("use_sigmoid")
    if loss.entries.get("type") == "SeesawLoss":
        loss.refuse("type")


def anchors_of(anchors: Any, part: Section) -> Any:
    """Of a generator; of an empty part they stay as they are."""
    if not part.entries:
        return anchors
    part.only("type", "AnchorGenerator")
    part.skip("use_box_type")
    strides = part.take("strides") or anchors.strides
    bases = part.take("base_sizes") or strides
    base, octaves = part.take("octave_base_scale"), part.take("scales_per_octave")
    scales = tuple(base * 2 ** (i / octaves) for i in range(octaves)) if base and octaves else part.take("scales")
    if not scales:
        part.refuse("scales")
        return anchors
    found = replace(
        anchors,
        sizes=tuple(tuple(size * scale for scale in scales) for size in bases),
        strides=strides,
        ratios=(part.take("ratios") or anchors.ratios[0],),
        offset=part.take("center_offset", 0.0),
        order="ratio" if part.take("scale_major", True) else "size",
    )
    part.close()
    return found


def coder_of(part: Section) -> tuple[float, ...] | None:
    """What the deltas are multiplied by; None of an empty part."""
    if not part.entries:
        return None
    part.only("type", "DeltaXYWHBBoxCoder")
    part.only("clip_border", True)
    part.skip("ctr_clamp", "use_box_type")
    part.only("target_means", (0.0, 0.0, 0.0, 0.0))
    stds = part.take("target_stds", (1.0, 1.0, 1.0, 1.0))
    part.close()
    return tuple(1 / std for std in stds)


def detection_of(config: Any, test: Section) -> dict[str, Any]:
    """How candidates become detections: the fields of a config's `detect`, or of its own."""
    nms = test.part("nms")
    if hasattr(config, "detect"):
        return {"candidates": test.take("nms_pre"), "detect": detect_of(config.detect, test)}
    test.skip("nms_pre", "score_thr", "min_bbox_size", "topk")
    found = {
        "corners": test.take("corner_topk"),
        "tag_distance": test.take("distance_threshold"),
        "peak_window": test.take("local_maximum_kernel"),
        "peak_kernel": test.take("local_maximum_kernel"),
        "detections": test.take("max_per_img"),
        "nms": _soft_nms(getattr(config, "nms", None), nms) if nms.entries else None,
    }
    return found


def detect_of(detect: Any, test: Section) -> Any:
    """Hard NMS, class by class."""
    nms = test.part("nms")
    nms.only("type", "nms")
    nms.skip("split_thr", "max_num")
    test.only("mask_thr_binary", 0.5)
    found = with_fields(
        detect,
        score_threshold=test.take("score_thr"),
        nms_threshold=nms.take("iou_threshold", nms.take("iou_thr")),
        detections=test.take("max_per_img"),
    )
    smallest = test.take("min_bbox_size")
    if smallest is not None:
        found = replace(found, min_side=None if smallest < 0 else float(smallest))
    nms.close()
    return found


def _soft_nms(soft: Any, nms: Section) -> Any:
    nms.only("type", "soft_nms")
    nms.skip("split_thr", "max_num")
    method = nms.choose("method", {"gaussian": "gaussian", "linear": "linear", "naive": "hard"}, "linear")
    found = with_fields(
        soft,
        method=method,
        iou_threshold=nms.take("iou_threshold", nms.take("iou_thr")),
        sigma=nms.take("sigma", 0.5),
        min_score=nms.take("min_score", 1e-3),
    )
    nms.close()
    return found
