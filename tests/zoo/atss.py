"""ATSS's facts, and how its golden cases are compared; see zoo/systems.py."""

from __future__ import annotations

from functools import partial
from typing import Any

from parity import config_mmdet
from parity.golden import Case, Report
from parity.options import Options, must_be
from parity.run_dense import compare_count, compare_targets, run_mmdetection
from zoo.dense import narrow
from zoo.systems import Fits, Golden

from cvzoo.ops.anchors import anchors_of
from cvzoo.structures import Batch, Size
from cvzoo.zoo.atss.model import ATSS, ATSSConfig

__all__ = ["GOLDEN", "MANIFESTS", "PARAMETERS", "narrow"]
ROW = "atss_r50_fpn_1x"
PARAMETERS: dict[str, int] = {}
MANIFESTS = {
    "mmlab/atss_r50_fpn_1x_coco": Fits(ROW),
    "mmlab/atss_r101_fpn_1x_coco": Fits(ROW, body={"depth": 101}),
}


def from_mmdetection(case: dict[str, Any]) -> ATSSConfig:
    """The config of a case of mmdetection."""
    model: Options = case["model"]
    head, train = model["bbox_head"], model["train_cfg"]
    must_be(model, type="ATSS")
    must_be(head, type="ATSSHead", pred_kernel_size=3, reg_decoded_bbox=True)
    must_be(head["loss_bbox"], type="GIoULoss")
    must_be(train, allowed_border=-1, pos_weight=-1)
    must_be(train["assigner"], type="ATSSAssigner", alpha=None, ignore_iof_thr=-1)
    config_mmdet.check_centreness(head)
    return ATSSConfig(
        **config_mmdet.dense_of(model),
        **config_mmdet.focal_of(head),
        **config_mmdet.norm_of(head["norm_cfg"], "tower_"),
        anchors=config_mmdet.anchors_of(head["anchor_generator"]),
        nearest=train["assigner"]["topk"],
        box_weights=config_mmdet.box_weights_of(head["bbox_coder"]),
        box_loss_weight=head["loss_bbox"]["loss_weight"],
    )


def compare(report: Report, case: Case, model: ATSS, raw: Any, batch: Batch, canvas: Size) -> None:
    """Deltas, centre-ness, and what the anchors learn, level by level."""
    anchors = anchors_of(model.config.anchors, raw.logits, canvas)
    for level in range(len(anchors)):
        report.close(f"deltas.{level}", raw.deltas[level], case.expected[f"head.deltas.{level}"])
        report.close(f"centerness.{level}", raw.centreness[level], case.expected[f"head.centerness.{level}"])
    matches = model.matches(raw, batch.targets, batch.sizes, canvas)
    compare_count(report, case, "target", matches)
    compare_targets(report, case, "target", matches, batch.targets, anchors, model.config.num_classes)


LOSSES = {"loss_cls": "loss_cls", "loss_bbox": "loss_box", "loss_centerness": "loss_centreness"}
GOLDEN = {
    "atss": Golden("mmdetection", partial(run_mmdetection, config_of=from_mmdetection, losses=LOSSES, compare=compare)),
}
