"""FreeAnchor's facts, and how its golden cases are compared; see zoo/systems.py."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from parity import config_mmdet
from parity.golden import Case, Report
from parity.options import Options, must_be
from parity.run_dense import run_mmdetection
from torchvision.ops import box_iou
from zoo.dense import narrow
from zoo.systems import Fits, Golden

from cvzoo.ops.anchors import anchors_of
from cvzoo.structures import Batch, Size
from cvzoo.zoo.freeanchor.model import FreeAnchor, FreeAnchorConfig

__all__ = ["GOLDEN", "MANIFESTS", "PARAMETERS", "narrow"]
ROW = "freeanchor_r50_fpn_1x"
PARAMETERS: dict[str, int] = {}
MANIFESTS = {
    "mmlab/freeanchor_r50_fpn_1x_coco": Fits(ROW),
    "mmlab/freeanchor_r101_fpn_1x_coco": Fits(ROW, body={"depth": 101}),
}
OF_RETINANET = "the reference's config is RetinaNet's, whose matcher FreeAnchor does without"
WITHOUT_EFFECT = {f"train_cfg.{name}": OF_RETINANET for name in ("assigner", "sampler", "allowed_border", "pos_weight")}


def from_mmdetection(case: dict[str, Any]) -> FreeAnchorConfig:
    """The config of a case of mmdetection."""
    model: Options = case["model"]
    head, default = model["bbox_head"], FreeAnchorConfig()
    model.without_effect(WITHOUT_EFFECT)
    must_be(model, type="RetinaNet")
    must_be(head, type="FreeAnchorRetinaHead", reg_decoded_bbox=False)
    must_be(head["loss_bbox"], type="SmoothL1Loss")
    return FreeAnchorConfig(
        **config_mmdet.dense_of(model),
        **config_mmdet.norm_of(head.get("norm_cfg"), "tower_"),
        anchors=config_mmdet.anchors_of(head["anchor_generator"]),
        box_weights=config_mmdet.box_weights_of(head["bbox_coder"]),
        clamp_shrinking=True,
        bag=head.get("pre_anchor_topk", default.bag),
        localised_from=head.get("bbox_thr", default.localised_from),
        smooth_l1_beta=head["loss_bbox"]["beta"],
        box_loss_weight=head["loss_bbox"]["loss_weight"],
        alpha=head.get("alpha", default.alpha),
        gamma=head.get("gamma", default.gamma),
    )


def compare(report: Report, case: Case, model: FreeAnchor, raw: Any, batch: Batch, canvas: Size) -> None:
    """Deltas, anchors, and which of them are in each object's bag."""
    for level, deltas in enumerate(raw.deltas):
        report.close(f"deltas.{level}", deltas, case.expected[f"head.deltas.{level}"])
    anchors = torch.cat(anchors_of(model.config.anchors, raw.logits, canvas))
    report.close("first anchors", anchors[:16], case.expected["target.anchors_head_16"])
    report.close("last anchors", anchors[-16:], case.expected["target.anchors_tail_16"])
    for n, target in enumerate(batch.targets):
        bags = model.bags(anchors, [target]).anchor_BT
        iou = box_iou(target.boxes, anchors).gather(1, bags).sort(dim=1, descending=True).values
        report.close(f"bag_ious.{n}", iou, case.expected[f"target.bag_ious.{n}"])
        report.equal(f"bags.{n}", bags.sum(dim=1), case.expected[f"target.bag_sum_of_anchor_indices.{n}"])


LOSSES = {"positive_bag_loss": "loss_bag", "negative_bag_loss": "loss_background"}
GOLDEN = {
    "freeanchor": Golden(
        "mmdetection", partial(run_mmdetection, config_of=from_mmdetection, losses=LOSSES, compare=compare)
    ),
}
