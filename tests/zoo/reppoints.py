"""RepPoints' facts, and how its golden cases are compared; see zoo/systems.py."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from parity import config_mmdet
from parity.golden import Case, Report
from parity.options import Options, must_be
from parity.run_dense import compare_count, compare_targets, run_mmdetection
from zoo.dense import narrow
from zoo.systems import Fits, Golden

from cvzoo.ops.anchors import per_anchor
from cvzoo.ops.assigners import targets_of_batch
from cvzoo.ops.points import PointConfig, per_level, points_of
from cvzoo.structures import Batch, Size
from cvzoo.zoo.reppoints.model import POINTS, RepPoints, RepPointsConfig

__all__ = ["BY_PREDICTIONS", "GOLDEN", "MANIFESTS", "PARAMETERS", "narrow"]
MOMENT, MOMENT_2X = "reppoints_r50_fpn_moment_1x", "reppoints_r50_fpn_moment_2x"
MINMAX, PARTIAL, GRID = (f"reppoints_r50_fpn_{kind}_1x" for kind in ("minmax", "partial_minmax", "grid"))
R101, DCN = "reppoints_r101_fpn_moment_2x_ms", "reppoints_r101_dcn_fpn_moment_2x"
PARAMETERS: dict[str, int] = {}
BY_PREDICTIONS = ("loss_cls", "loss_refined")
MANIFESTS = {
    "mmlab/reppoints-minmax_r50_fpn-gn_head-gn_1x_coco": Fits(MINMAX),
    "mmlab/reppoints-partial-minmax_r50_fpn-gn_head-gn_1x_coco": Fits(PARTIAL),
    "mmlab/reppoints-bbox_r50_fpn-gn_head-gn-grid_1x_coco": Fits(GRID),
    "mmlab/reppoints-moment_r50_fpn_1x_coco": Fits(MOMENT),
    "mmlab/reppoints-moment_r50_fpn-gn_head-gn_1x_coco": Fits(MOMENT),
    "mmlab/reppoints-moment_r50_fpn-gn_head-gn_2x_coco": Fits(MOMENT_2X),
    "mmlab/reppoints-moment_r101_fpn-gn_head-gn_2x_coco": Fits(R101),
    "mmlab/reppoints-moment_r101-dconv-c3-c5_fpn-gn_head-gn_2x_coco": Fits(DCN),
}


def from_mmdetection(case: dict[str, Any]) -> RepPointsConfig:
    """The config of a case of mmdetection."""
    model: Options = case["model"]
    head, train = model["bbox_head"], model["train_cfg"]
    first, refine = train["init"], train["refine"]
    beta, scale = head["loss_bbox_init"]["beta"], head["point_base_scale"]
    must_be(model, type="RepPointsDetector")
    must_be(head, type="RepPointsHead", num_points=POINTS, point_feat_channels=head["feat_channels"])
    must_be(head, use_grid_points=False, center_init=True)
    must_be(head["loss_bbox_init"], type="SmoothL1Loss")
    must_be(head["loss_bbox_refine"], type="SmoothL1Loss", beta=beta, loss_weight=1)
    must_be(first, allowed_border=-1, pos_weight=-1)
    must_be(refine, allowed_border=-1, pos_weight=-1)
    must_be(first["assigner"], type="PointAssigner", pos_num=1, scale=scale)
    must_be(refine["assigner"], type="MaxIoUAssigner", min_pos_iou=0, ignore_iof_thr=-1, match_low_quality=True)
    return RepPointsConfig(
        **config_mmdet.dense_of(model),
        **config_mmdet.focal_of(head),
        **config_mmdet.norm_of(head.get("norm_cfg"), "tower_"),
        points=PointConfig(strides=tuple(head["point_strides"]), offset=0.0),
        points_to_box=head["transform_method"],
        transfer_gradient=head.get("moment_mul", 0.01),
        offset_gradient=head["gradient_mul"],
        base_scale=scale,
        negative_below=refine["assigner"]["neg_iou_thr"],
        positive_from=refine["assigner"]["pos_iou_thr"],
        smooth_l1_beta=beta,
        init_loss_weight=head["loss_bbox_init"]["loss_weight"],
    )


def compare(report: Report, case: Case, model: RepPoints, raw: Any, batch: Batch, canvas: Size) -> None:
    """Both sets of points and what their locations learn, level by level."""
    strides, points = model.config.points.strides, points_of(model.config.points, raw.logits, canvas)
    for level in range(len(points)):
        boxes = model.boxes(raw.refined[level].movedim(1, -1)).movedim(-1, 1)
        report.close(f"boxes.{level}", boxes, case.expected[f"head.boxes.{level}"])
        report.close(f"first.{level}", raw.first[level], case.expected[f"train.points_init.{level}"])
        report.close(f"refined.{level}", raw.refined[level], case.expected[f"train.points_refine.{level}"])
    first, refined = model.matches(raw, batch.targets, batch.sizes, canvas)
    points_NMD = torch.cat([per_anchor(x, 2 * POINTS) for x in raw.first], dim=1)
    boxes_NM4 = torch.cat(points).repeat(1, 2) + per_level(strides, points)[:, None] * model.boxes(points_NMD)
    for stage, matches in (("init", first), ("refine", refined)):
        compare_count(report, case, f"target.{stage}", matches)
    sizes = [len(level) for level in points]
    labels_NM, image_P, row_P, truth_P4 = targets_of_batch(first, batch.targets)
    wanted_NM4 = torch.zeros_like(boxes_NM4)
    wanted_NM4[image_P, row_P] = truth_P4
    for level, (wanted, labels) in enumerate(zip(wanted_NM4.split(sizes, 1), labels_NM.split(sizes, 1))):
        report.close(f"init.boxes.{level}", wanted, case.expected[f"target.init.boxes.{level}"])
        used = (labels >= 0)[..., None].expand_as(wanted)
        report.equal(f"init.weights.{level}", used, case.expected[f"target.init.weights.{level}"])
    compare_targets(report, case, "target.refine", refined, batch.targets, points, model.config.num_classes)
    proposals_NM4 = boxes_NM4 * torch.stack([match.positive_A for match in refined])[..., None]
    for level, proposals in enumerate(proposals_NM4.split(sizes, 1)):
        report.close(f"proposals.{level}", proposals, case.expected[f"target.refine.proposals.{level}"])


LOSSES = {"loss_cls": "loss_cls", "loss_pts_init": "loss_first", "loss_pts_refine": "loss_refined"}
GOLDEN = {
    "reppoints": Golden(
        "mmdetection", partial(run_mmdetection, config_of=from_mmdetection, losses=LOSSES, compare=compare)
    ),
}
