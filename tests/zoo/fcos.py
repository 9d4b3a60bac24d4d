"""FCOS's facts, and how its golden cases are compared; see zoo/systems.py."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import torch
from parity import config_mmdet
from parity.golden import Case, Report
from parity.options import Options, must_be
from parity.run_dense import run_detectron2, run_mmdetection
from zoo.dense import narrow
from zoo.systems import Fits, Golden

from cvzoo.nn.fpn import FPNConfig
from cvzoo.nn.pixels import Pixels
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.ops.assigners import point_distances, targets_of_batch
from cvzoo.ops.detect import DetectConfig
from cvzoo.ops.points import PointConfig, per_level, points_of
from cvzoo.structures import Batch, Size
from cvzoo.zoo.fcos.model import FCOS, FCOSConfig

__all__ = ["GOLDEN", "MANIFESTS", "PARAMETERS", "narrow"]
ROW, IMPROVED, DCN = "fcos_r50_fpn_1x", "fcos_r50_fpn_improved_1x", "fcos_r50_dcn_fpn_improved_1x"
PARAMETERS: dict[str, int] = {}
MANIFESTS = {
    "detectron2/fcos_R_50_FPN_1x": Fits(IMPROVED),
    "mmlab/fcos_r50-caffe_fpn_gn-head_1x_coco": Fits(ROW),
    "mmlab/fcos_r50-caffe_fpn_gn-head-center_1x_coco": Fits(ROW),
    "mmlab/fcos_r50-caffe_fpn_gn-head-center-normbbox-centeronreg-giou_1x_coco": Fits(IMPROVED),
    "mmlab/fcos_r101-caffe_fpn_gn-head-1x_coco": Fits(ROW, body={"depth": 101}),
    "mmlab/fcos_r50-dcn-caffe_fpn_gn-head-center-normbbox-centeronreg-giou_1x_coco": Fits(DCN),
}
FAR = 100_000_000
"""mmdetection's infinity."""


def from_detectron2(case: dict[str, Any]) -> FCOSConfig:
    """The config of a case of detectron2, which states options of its own and, in words, its body and pyramid."""
    options: Options = case["options"]
    body, fpn = body_of(options["backbone"])
    groups = re.fullmatch(r"GroupNorm\((\d+), (\d+)\)", options["head_norm"])
    assert groups is not None
    assert int(groups[2]) == fpn.channels
    return FCOSConfig(
        num_classes=options["num_classes"],
        backbone=body,
        fpn=fpn,
        pixels=Pixels(mean=tuple(options["pixel_mean"]), std=tuple(options["pixel_std"]), bgr=True),
        points=PointConfig(strides=tuple(options["strides"])),
        tower_convs=options["head_convs"],
        tower_norm_groups=int(groups[1]),
        level_scales=False,
        distance="relu",
        centreness_on="box",
        closed_ranges=False,
        centre_radius=options["center_sampling_radius"],
        focal_alpha=options["focal_loss_alpha"],
        focal_gamma=options["focal_loss_gamma"],
        box_loss="giou",
        central_boxes=False,
        normaliser="moving",
        candidates=options["test_topk_candidates"],
        score="root",
        detect=DetectConfig(
            score_threshold=options["test_score_thresh"],
            nms_threshold=options["test_nms_thresh"],
            detections=options["max_detections_per_image"],
            clip_first=False,
        ),
    )


def body_of(words: str) -> tuple[ResNetConfig, FPNConfig]:
    """From `R-50 (stride in 1x1, FrozenBN), stem 8, stage outputs ..., bottlenecks ...; FPN p3-p5 16 channels, ...`."""
    found = re.fullmatch(
        r"R-(\d+) \(stride in (1x1|3x3), FrozenBN\), stem (\d+), stage outputs ([\d ]+), bottlenecks ([\d ]+);"
        r" FPN p3-p5 (\d+) channels, p6 and p7 from (p5|res5)",
        words,
    )
    assert found is not None, words
    depth, stride, stem, outputs, widths, channels, extra = found.groups()
    body = ResNetConfig(
        depth=int(depth),  # type: ignore[arg-type]
        width=int(widths.split()[0]),
        stem_channels=int(stem),
        out_channels=int(outputs.split()[0]),
        stride_in_1x1=stride == "1x1",
    )
    assert body.channels == tuple(map(int, outputs.split()))
    assert [body.width * 2**i for i in range(4)] == list(map(int, widths.split()))
    return body, FPNConfig(channels=int(channels), extra_from="output" if extra == "p5" else "input")


def from_mmdetection(case: dict[str, Any]) -> FCOSConfig:
    """The config of a case of mmdetection."""
    model: Options = case["model"]
    head = model["bbox_head"]
    must_be(model, type="FCOS")
    must_be(head, type="FCOSHead")
    must_be(head["loss_bbox"], loss_weight=1)
    config_mmdet.check_centreness(head)
    radius = head.get("center_sample_radius", 1.5)
    return FCOSConfig(
        **config_mmdet.dense_of(model),
        **config_mmdet.focal_of(head),
        **config_mmdet.norm_of(head["norm_cfg"], "tower_"),
        points=PointConfig(strides=tuple(head["strides"])),
        tower_bias={"auto": None, True: True, False: False}[head.get("conv_bias", "auto")],
        deform_last=head.get("dcn_on_last_conv", False),
        distance="relu" if head.get("norm_on_bbox", False) else "exp",
        centreness_on="box" if head.get("centerness_on_reg", False) else "cls",
        ranges=ranges_of(head["regress_ranges"]) if "regress_ranges" in head else FCOSConfig().ranges,
        centre_radius=radius if head.get("center_sampling", False) else None,
        box_loss={"IoULoss": "iou", "GIoULoss": "giou"}[head["loss_bbox"]["type"]],  # type: ignore[arg-type]
    )


def ranges_of(bounds: list[list[float]]) -> tuple[float, ...]:
    """Each level's begins where that of the level before ends."""
    ends = [end for _, end in bounds]
    assert [start for start, _ in bounds] == [-1, *ends[:-1]]
    assert ends[-1] == FAR
    return tuple(ends[:-1])


def compare(report: Report, case: Case, model: FCOS, raw: Any, batch: Batch, canvas: Size) -> None:
    """Distances, centre-ness, and what the locations learn, level by level."""
    strides, points = model.config.points.strides, points_of(model.config.points, raw.logits, canvas)
    for level, stride in enumerate(strides):
        report.close(f"ltrb.{level}", model.distances(raw.deltas[level], stride), case.expected[f"head.ltrb.{level}"])
        report.close(f"centerness.{level}", raw.centreness[level], case.expected[f"head.centerness.{level}"])
    matches = model.matches(raw, batch.targets, batch.sizes, canvas)
    labels_NM, image_P, row_P, truth_P4 = targets_of_batch(matches, batch.targets)
    unit_M = per_level(strides, points) if model.config.distance == "relu" else torch.ones(labels_NM.shape[1])
    wanted_NM4 = torch.zeros(*labels_NM.shape, 4)
    wanted_NM4[image_P, row_P] = point_distances(torch.cat(points)[row_P], truth_P4) / unit_M[row_P, None]
    sizes = [len(level) for level in points]
    for level, (labels, wanted) in enumerate(zip(labels_NM.split(sizes, 1), wanted_NM4.split(sizes, 1))):
        expected = case.expected[f"target.labels.{level}"].view_as(labels)
        report.equal(f"labels.{level}", torch.where(labels < 0, model.config.num_classes, labels), expected)
        positive = labels >= 0  # the reference leaves distances to some box at the others
        expected = case.expected[f"target.ltrb.{level}"].view_as(wanted)
        report.close(f"distances.{level}", wanted[positive], expected[positive])


DETECTRON2_LOSSES = {"loss_fcos_cls": "loss_cls", "loss_fcos_loc": "loss_box", "loss_fcos_ctr": "loss_centreness"}
MMDETECTION_LOSSES = {"loss_cls": "loss_cls", "loss_bbox": "loss_box", "loss_centerness": "loss_centreness"}
GOLDEN = {
    "fcos": Golden("detectron2", partial(run_detectron2, config_of=from_detectron2, losses=DETECTRON2_LOSSES)),
    "fcos_mmdet": Golden(
        "mmdetection",
        partial(run_mmdetection, config_of=from_mmdetection, losses=MMDETECTION_LOSSES, compare=compare),
    ),
}
