"""TensorMask's facts, and how its golden cases are compared; see zoo/systems.py."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from parity import config_detectron2
from parity.compare import (
    bitmaps_of,
    compare_detections,
    compare_levels,
    compare_mask,
    compare_training,
    detectron2_batch,
    expected_masks,
    tolerance,
)
from parity.golden import Case, Report
from parity.options import Options, must_be
from zoo.dense import CHANNELS, GROUPS, narrow_body
from zoo.systems import Fits, Golden

from cvzoo.nn.fpn import FPNConfig
from cvzoo.ops.boxes import scale_boxes
from cvzoo.ops.detect import DetectConfig
from cvzoo.structures import Batch, Prediction, size_of
from cvzoo.zoo.tensormask.head import Representation, TensorMaskOutput
from cvzoo.zoo.tensormask.model import TensorMask, TensorMaskConfig
from cvzoo.zoo.tensormask.rows import small_windows
from cvzoo.zoo.tensormask.windows import Windows

ROW = "tensormask_r50_fpn_1x"
PARAMETERS = {ROW: 36_514_370}
MANIFESTS = {
    "detectron2/tensormask_R_50_FPN_1x": Fits(ROW),
    "detectron2/tensormask_R_50_FPN_6x": Fits(ROW),
}
LOSSES = {"loss_cls": "loss_cls", "loss_box_reg": "loss_box", "loss_mask": "loss_mask"}
REPRESENTATIONS: dict[tuple[bool, bool], Representation] = {
    (True, True): "bipyramid",
    (True, False): "aligned",
    (False, False): "natural",
}
"""By detectron2's ALIGNED_ON and BIPYRAMID_ON."""


def narrow(config: TensorMaskConfig) -> TensorMaskConfig:
    """The config of any row, narrow and with small windows, scoring so low that it has detections."""
    return replace(
        config,
        num_classes=3,
        class_ids=(),
        backbone=narrow_body(config.backbone),
        fpn=replace(config.fpn, channels=CHANNELS, norm_groups=GROUPS),
        windows=small_windows(*config.windows.strides),
        tower_convs=1,
        cls_channels=CHANNELS,
        box_channels=CHANNELS,
        mask_channels=CHANNELS,
        detect=replace(config.detect, score_threshold=0.001),
    )


def from_detectron2(options: Options) -> TensorMaskConfig:
    """The config of a case of detectron2."""
    model = options["MODEL"]
    head, fpn, stages = model["TENSOR_MASK"], model["FPN"], ["res2", "res3", "res4", "res5"]
    must_be(model, META_ARCHITECTURE="TensorMask", MASK_ON=True)
    must_be(model["BACKBONE"], NAME="build_retinanet_resnet_fpn_backbone")
    must_be(model["RESNETS"], OUT_FEATURES=stages)
    must_be(fpn, IN_FEATURES=stages)
    return TensorMaskConfig(
        num_classes=head["NUM_CLASSES"],
        backbone=config_detectron2.resnet_of(model),
        fpn=FPNConfig(
            channels=fpn["OUT_CHANNELS"],
            first_level=2,
            extra_from="input",
            fuse=config_detectron2.fuse_of(fpn["FUSE_TYPE"]),
            norm=config_detectron2.NORMS[fpn["NORM"]],
        ),
        pixels=config_detectron2.pixels_of(options, divisor=32),
        windows=config_detectron2.anchors_of(model, head["IN_FEATURES"]),
        representation=REPRESENTATIONS[head["ALIGNED_ON"], head["BIPYRAMID_ON"]],
        tower_convs=head["NUM_CONVS"],
        cls_channels=head["CLS_CHANNELS"],
        box_channels=head["BBOX_CHANNELS"],
        mask_channels=head["MASK_CHANNELS"],
        box_weights=tuple(head["BBOX_REG_WEIGHTS"]),
        focal_alpha=head["FOCAL_LOSS_ALPHA"],
        focal_gamma=head["FOCAL_LOSS_GAMMA"],
        mask_weight=head["MASK_LOSS_WEIGHT"],
        mask_positive_weight=head["POSITIVE_WEIGHT"],
        candidates=head["TOPK_CANDIDATES_TEST"],
        detect=DetectConfig(
            score_threshold=head["SCORE_THRESH_TEST"],
            nms_threshold=head["NMS_THRESH_TEST"],
            detections=options["TEST.DETECTIONS_PER_IMAGE"],
            clip_first=False,
        ),
    )


def run_detectron2(case: Case) -> Report:
    report, batch = Report(), detectron2_batch(case)
    model: TensorMask = case.model(from_detectron2(case.info["options"]))
    masks = [bitmaps_of(case, n, size) for n, size in enumerate(batch.sizes)]
    bitmaps = replace(batch, targets=[replace(t, masks=own) for t, own in zip(batch.targets, masks)])
    compare_training(report, case, model, model.train()(bitmaps), LOSSES, step="train_bitmask")
    compare_training(report, case, model, model(batch), LOSSES)
    model.eval()
    with torch.no_grad():
        raw = model.raw(model.config.pixels(batch.images, batch.sizes))
        compare_head(report, case, model, raw)
    for fast in (model, model.for_inference()):
        found = fast.predict(batch)
        partners = compare_detections(report, case, found, tolerance(case, "eval.detections"))
        compare_masks(report, case, fast, batch, found, partners)
    return report


def everywhere(raw: TensorMaskOutput, kinds: int) -> Windows:
    """All windows of all images."""
    grids = [size_of(x) for x in raw.logits]
    count = kinds * sum(height * width for height, width in grids)
    images = len(raw.logits[0])
    return Windows.of(np.repeat(np.arange(images), count), np.tile(np.arange(count), images), grids, kinds)


def compare_head(report: Report, case: Case, model: TensorMask, raw: TensorMaskOutput) -> None:
    """The pyramid, and boxes and masks of all windows."""
    for level, actual in enumerate(raw.features, start=2):
        report.close(f"p{level}", actual, case.expected[f"eval.features.p{level}"], tolerance(case, "eval.features"))
    compare_levels(report, case, "eval.head.logits", raw.logits, "eval.head")
    windows = everywhere(raw, len(model.config.mask_sides))
    compare_levels(report, case, "eval.head.deltas", model.head.deltas(raw.features, windows), "eval.head")
    compared = set()
    for rows, logits_PSS in model.head.masks(raw.features, windows):
        level, kind = windows.level[rows[0]], windows.kind[rows[0]]
        images, (height, width) = len(raw.logits[0]), size_of(raw.logits[level])
        name = f"eval.head.masks.{level}.{kind}"
        masks = logits_PSS.reshape(images, height, width, -1).permute(0, 3, 1, 2)
        report.close(name, masks, case.expected[name], tolerance(case, "eval.head"))
        compared.add(name)
    assert compared == {name for name in case.expected if name.startswith("eval.head.masks.")}


def compare_masks(
    report: Report, case: Case, model: TensorMask, batch: Batch, found: list[Prediction], partners: list[list[int]]
) -> None:
    """Every pixel is the reference's, except those whose probability is as good as the threshold."""
    largest = max(x.abs().max().item() for key, x in case.expected.items() if key.startswith("eval.head.masks."))
    limit = tolerance(case, "eval.head") * largest / 4
    images = model.config.pixels(batch.images, batch.sizes)
    with torch.no_grad():
        seen = model.detections(model.raw(images), batch.sizes, size_of(images))
    for n, (boxes, windows_D4, probabilities) in enumerate(seen):
        expected, size = expected_masks(case, f"eval.detections.{n}"), batch.original_sizes[n]
        assert len(boxes) == len(found[n]), "a detection was dropped after its mask was made"
        masks = found[n].masks
        assert masks is not None
        windows_D4 = scale_boxes(windows_D4, batch.sizes[n], size)
        for row, partner in enumerate(partners[n]):
            place = probabilities[partner], windows_D4[partner]
            compare_mask(report, f"masks of {n}.{row}", masks[partner], expected[row], *place, limit)


GOLDEN = {"tensormask": Golden("detectron2", run_detectron2)}
