"""RetinaNet's facts, and how its golden cases are compared; see zoo/systems.py."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from parity import config_detectron2, config_mmdet
from parity.golden import Case, Report
from parity.options import Options, must_be
from parity.run_dense import run_detectron2, run_mmdetection
from torch import Tensor
from zoo.dense import narrow
from zoo.systems import Fits, Golden

from cvzoo.nn.fpn import FPNConfig
from cvzoo.ops.anchors import anchors_of, per_anchor
from cvzoo.ops.assigners import IGNORED, targets_of_batch
from cvzoo.ops.boxes import encode_boxes
from cvzoo.ops.detect import DetectConfig
from cvzoo.structures import Batch, Size
from cvzoo.zoo.retinanet.model import RetinaNet, RetinaNetConfig

__all__ = ["GOLDEN", "MANIFESTS", "PARAMETERS", "narrow"]
ROW = "retinanet_r50_fpn_1x"
R18, R101 = {"depth": 18}, {"depth": 101}
PARAMETERS = {ROW: 37_915_572}  # torchvision's 34,014,999 has P6 from P5 and 91 classes
MANIFESTS = {
    "detectron2/retinanet_R_50_FPN_1x": Fits(ROW),
    "detectron2/retinanet_R_50_FPN_3x": Fits(ROW),
    "detectron2/retinanet_R_101_FPN_3x": Fits(ROW, body=R101),
    "mmlab/retinanet_r18_fpn_1x_coco": Fits(ROW, body=R18),
    "mmlab/retinanet_r50_fpn_1x_coco": Fits(ROW),
    "mmlab/retinanet_r101_fpn_1x_coco": Fits(ROW, body=R101),
}


def from_detectron2(case: dict[str, Any]) -> RetinaNetConfig:
    """The config of a case of detectron2."""
    options: Options = case["options"]
    model = options["MODEL"]
    head, fpn, levels = model["RETINANET"], model["FPN"], ["res3", "res4", "res5"]
    must_be(model, META_ARCHITECTURE="RetinaNet")
    must_be(model["BACKBONE"], NAME="build_retinanet_resnet_fpn_backbone")
    must_be(model["RESNETS"], OUT_FEATURES=levels)
    must_be(fpn, IN_FEATURES=levels)
    must_be(head, IOU_LABELS=[0, -1, 1])
    negative, positive = head["IOU_THRESHOLDS"]
    fuse = config_detectron2.fuse_of(fpn["FUSE_TYPE"])
    norm = config_detectron2.NORMS[fpn["NORM"]]
    return RetinaNetConfig(
        num_classes=head["NUM_CLASSES"],
        backbone=config_detectron2.resnet_of(model),
        fpn=FPNConfig(channels=fpn["OUT_CHANNELS"], extra_from="input", norm=norm, fuse=fuse),
        pixels=config_detectron2.pixels_of(options, divisor=32),
        anchors=config_detectron2.anchors_of(model, head["IN_FEATURES"]),
        tower_convs=head["NUM_CONVS"],
        tower_norm=config_detectron2.NORMS[head["NORM"]],
        tower_bias=True,
        prior=head["PRIOR_PROB"],
        box_weights=tuple(head["BBOX_REG_WEIGHTS"]),
        negative_below=negative,
        positive_from=positive,
        focal_alpha=head["FOCAL_LOSS_ALPHA"],
        focal_gamma=head["FOCAL_LOSS_GAMMA"],
        box_loss=head["BBOX_REG_LOSS_TYPE"],
        smooth_l1_beta=head["SMOOTH_L1_LOSS_BETA"],
        candidates=head["TOPK_CANDIDATES_TEST"],
        detect=DetectConfig(
            score_threshold=head["SCORE_THRESH_TEST"],
            nms_threshold=head["NMS_THRESH_TEST"],
            detections=options["TEST.DETECTIONS_PER_IMAGE"],
            clip_first=False,
        ),
    )


def from_mmdetection(case: dict[str, Any]) -> RetinaNetConfig:
    """The config of a case of mmdetection."""
    model: Options = case["model"]
    head, train = model["bbox_head"], model["train_cfg"]
    assigner, loss = train["assigner"], head["loss_bbox"]
    must_be(model, type="RetinaNet")
    must_be(head, type="RetinaHead", reg_decoded_bbox=loss["type"] == "GIoULoss")
    must_be(train, allowed_border=-1, pos_weight=-1)
    must_be(train.get("sampler", {}), type="PseudoSampler")
    must_be(assigner, type="MaxIoUAssigner", min_pos_iou=0, ignore_iof_thr=-1)
    must_be(loss, loss_weight=1)
    kinds = {"L1Loss": "smooth_l1", "SmoothL1Loss": "smooth_l1", "GIoULoss": "giou"}
    return RetinaNetConfig(
        **config_mmdet.dense_of(model),
        **config_mmdet.focal_of(head),
        **config_mmdet.norm_of(head.get("norm_cfg"), "tower_"),
        anchors=config_mmdet.anchors_of(head["anchor_generator"]),
        box_weights=config_mmdet.box_weights_of(head["bbox_coder"]),
        clamp_shrinking=True,
        negative_below=assigner["neg_iou_thr"],
        positive_from=assigner["pos_iou_thr"],
        best_match="truth" if assigner.get("match_low_quality", True) else "none",
        skip_padding=True,
        box_loss=kinds[loss["type"]],  # type: ignore[arg-type]
        smooth_l1_beta=loss.get("beta", 1.0) if loss["type"] == "SmoothL1Loss" else 0.0,
        normaliser="batch",
    )


def compare(report: Report, case: Case, model: RetinaNet, raw: Any, batch: Batch, canvas: Size) -> None:
    """What the anchors learn, level by level."""
    config, anchors = model.config, torch.cat(anchors_of(model.config.anchors, raw.logits, canvas))
    matches = model.matches(raw, batch.targets, batch.sizes, canvas)
    labels_NM, image_P, anchor_P, truth_P4 = targets_of_batch(matches, batch.targets)
    wanted_NM4 = torch.zeros(*labels_NM.shape, 4)
    wanted_NM4[image_P, anchor_P] = encode_boxes(truth_P4, anchors[anchor_P], config.box_weights)
    sizes = [per_anchor(x, 4).shape[1] for x in raw.deltas]
    levels: list[tuple[Tensor, Tensor]] = list(zip(labels_NM.split(sizes, 1), wanted_NM4.split(sizes, 1)))
    for level, (labels, wanted) in enumerate(levels):
        report.close(f"deltas.{level}", raw.deltas[level], case.expected[f"head.deltas.{level}"])
        background = torch.where(labels < 0, config.num_classes, labels)
        report.equal(f"labels.{level}", background, case.expected[f"target.labels.{level}"])
        report.equal(f"weights.{level}", labels != IGNORED, case.expected[f"target.label_weights.{level}"])
        report.close(f"wanted deltas.{level}", wanted, case.expected[f"target.deltas.{level}"])


DETECTRON2_LOSSES = {"loss_cls": "loss_cls", "loss_box_reg": "loss_box"}
MMDETECTION_LOSSES = {"loss_cls": "loss_cls", "loss_bbox": "loss_box"}
GOLDEN = {
    "retinanet": Golden("detectron2", partial(run_detectron2, config_of=from_detectron2, losses=DETECTRON2_LOSSES)),
    "retinanet_mmdet": Golden(
        "mmdetection",
        partial(run_mmdetection, config_of=from_mmdetection, losses=MMDETECTION_LOSSES, compare=compare),
    ),
}
