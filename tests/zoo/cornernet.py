"""CornerNet's facts, and how its golden cases are compared; see zoo/systems.py."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from parity.compare import as_rows, batch_of, compare_mmdet_gradients, compare_mmdet_losses
from parity.golden import Case, Report
from parity.options import Options, must_be
from torch import Tensor, nn
from zoo.systems import Fits, Golden

from cvzoo.nn.hourglass import HourglassConfig
from cvzoo.nn.pixels import Pixels
from cvzoo.ops.soft_nms import SoftNMSConfig
from cvzoo.parts.heatmap.targets import cells_of, objects_of
from cvzoo.structures import Batch, Size, Target, size_of
from cvzoo.zoo.cornernet.model import CornerNet, CornerNetConfig
from cvzoo.zoo.cornernet.tags import TagLoss

ROW = "cornernet_hourglass104_511"
PARAMETERS = {ROW: 201_035_212}
MANIFESTS = {"mmlab/cornernet_hourglass104_10xb5-crop511-210e-mstest_coco": Fits(ROW)}
LOSSES = {
    "det_loss": "loss_heat",
    "off_loss": "loss_offset",
    "pull_loss": "loss_pull",
    "push_loss": "loss_push",
}
KINDS = {"tl": ("top_left", "topleft"), "br": ("bottom_right", "bottomright")}
"""The reference's name of a kind of corner in maps to ours, and to its name in targets."""


def narrow(config: CornerNetConfig) -> CornerNetConfig:
    """The config of any row with few channels, three levels and three classes."""
    body = replace(config.backbone, stem_channels=8, channels=(16, 16, 24), blocks=(1, 1, 2), width=16, norm="frozen")
    return replace(
        config,
        num_classes=3,
        class_ids=(),
        backbone=body,
        pool_channels=12,
        branch_channels=16,
        head_norm="frozen",
        frame=config.frame and replace(config.frame, mask=15),
        # what a fresh network takes for corners lies anywhere
        corners=400,
        tag_distance=10.0,
    )


def from_mmdetection(case: dict[str, Any]) -> CornerNetConfig:
    """The config of a case of mmdetection."""
    model: Options = case["model"]
    head, test, weights = model["bbox_head"], model["test_cfg"], case["weights"]
    backbone = body_of(model["backbone"])
    must_be(model, type="CornerNet", neck=None, train_cfg=None)
    must_be(
        head,
        type="CornerHead",
        corner_emb_channels=1,
        num_feat_levels=backbone.stacks,
        in_channels=backbone.width,
    )
    must_be(head["loss_embedding"], type="AssociativeEmbeddingLoss")
    must_be(head["loss_heatmap"], type="GaussianFocalLoss")
    must_be(head["loss_offset"], type="SmoothL1Loss", beta=1.0)
    model.without_effect({"test_cfg.score_thr": "mmdetection's CornerHead does not read it"})
    tags = head["loss_embedding"]
    return CornerNetConfig(
        num_classes=head["num_classes"],
        backbone=backbone,
        pixels=pixels_of(model["data_preprocessor"]),
        # the widths of the head stand in no option
        pool_channels=len(weights["bbox_head.tl_pool.0.direction1_conv.conv.weight"]),
        branch_channels=len(weights["bbox_head.tl_heat.0.0.conv.weight"]),
        focal_alpha=head["loss_heatmap"]["alpha"],
        focal_gamma=head["loss_heatmap"]["gamma"],
        focal_epsilon=1e-12,
        heat_weight=head["loss_heatmap"]["loss_weight"],
        offset_weight=head["loss_offset"]["loss_weight"],
        tags=TagLoss(
            pull_weight=tags["pull_weight"], push_weight=tags["push_weight"], images=case["pictures"]["count"]
        ),
        corners=test["corner_topk"],
        peak_kernel=test["local_maximum_kernel"],
        tag_distance=test["distance_threshold"],
        clip="left_top",
        nms=soft_nms_of(test["nms"]),
        detections=test["max_per_img"],
    )


def body_of(backbone: Options) -> HourglassConfig:
    must_be(backbone, type="HourglassNet", norm_cfg={"type": "BN", "requires_grad": True})
    channels = tuple(backbone["stage_channels"])
    must_be(backbone, downsample_times=len(channels) - 1)
    return HourglassConfig(
        stacks=backbone["num_stacks"],
        stem_channels=channels[0] // 2,
        channels=channels,
        blocks=tuple(backbone["stage_blocks"]),
        width=backbone["feat_channel"],
    )


def pixels_of(pixels: Options) -> Pixels:
    must_be(pixels, type="DetDataPreprocessor")
    divisor = pixels.get("pad_size_divisor", 1)
    return Pixels(mean=tuple(pixels["mean"]), std=tuple(pixels["std"]), bgr=not pixels["bgr_to_rgb"], divisor=divisor)


def soft_nms_of(nms: Options) -> SoftNMSConfig:
    must_be(nms, type="soft_nms")
    default = SoftNMSConfig()
    return SoftNMSConfig(
        method={"gaussian": "gaussian", "linear": "linear", "naive": "hard"}[nms["method"]],  # type: ignore[arg-type]
        iou_threshold=nms["iou_threshold"],
        sigma=nms.get("sigma", default.sigma),
        min_score=nms.get("min_score", default.min_score),
    )


def run_mmdetection(case: Case) -> Report:
    report, batch = Report(case.info["tolerance"]["relative"]), batch_of(case, "gt_labels")
    model = case.model(from_mmdetection({**case.info, "weights": case.weights}))
    images = model.config.pixels(batch.images, batch.sizes)
    report.close("preprocessed", images[:, :, ::16, ::16], case.expected["preprocessed"])
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    for module in model.train().modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    compare_step(report, case, model, batch, "eval_bn.")
    with torch.no_grad():
        without = model(replace(batch, targets=[batch.targets[0], Target.empty()]))
        compare_maps(report, case, model, images)
    compare_mmdet_losses(report, case, without, LOSSES, "no_objects.loss.")
    compare_step(report, case, model.train(), batch, "train_bn.")
    model.load_state_dict(before)  # as the statistics of norms were before
    compare_targets(report, case, model, batch.targets, size_of(images))
    compare_detections(report, case, model.eval(), images)
    return report


def compare_step(report: Report, case: Case, model: CornerNet, batch: Batch, step: str) -> None:
    """Losses, those of each hourglass, and gradients."""
    model.zero_grad()
    images = model.config.pixels(batch.images, batch.sizes)
    raw = model.raw(images)
    where = batch.targets, batch.sizes, size_of(images)
    losses = model.losses(raw, *where)
    torch.stack(list(losses.values())).sum().backward()
    compare_mmdet_losses(report, case, losses, LOSSES, f"{step}loss.")
    for level in range(model.config.backbone.stacks):
        of_level = type(raw)(*(type(kind)(*(maps[level : level + 1] for maps in kind)) for kind in raw))
        for theirs, loss in ((theirs, model.losses(of_level, *where)[ours]) for theirs, ours in LOSSES.items()):
            expected = case.expected[f"{step}loss_level.{theirs}.{level}"]
            report.close(f"{step}{theirs}.{level}", loss.detach(), expected)
    compare_mmdet_gradients(report, case, model, step)


def compare_maps(report: Report, case: Case, model: CornerNet, images: Tensor) -> None:
    """Of all hourglasses."""
    raw = model.raw(images)
    for theirs, (ours, _) in KINDS.items():
        kind = getattr(raw, ours)
        for name, maps in (("heat", kind.heat), ("emb", kind.tag), ("off", kind.offset)):
            for level, x in enumerate(maps):
                report.close(f"{theirs}_{name}.{level}", x, case.expected[f"head.{theirs}_{name}.{level}"])


def compare_targets(report: Report, case: Case, model: CornerNet, targets: list[Target], canvas: Size) -> None:
    """Heat maps, the cells of corners, and where in them the corners lie."""
    size = size_of(case.expected["target.topleft_heatmap"])
    objects = objects_of(targets, canvas, size)
    corners = objects.boxes_O4.split(2, dim=1)
    cells = [cells_of(corner, size) for corner in corners]
    heats = model.heat_targets(objects, len(targets), size)
    for (_, theirs), heat, corner_O2, cell_O2 in zip(KINDS.values(), heats, corners, cells):
        report.close(f"{theirs}_heatmap", heat, case.expected[f"target.{theirs}_heatmap"])
        offset = torch.zeros(len(targets), 2, *size)
        for n, (x, y), value in zip(objects.image_O, cell_O2, corner_O2 - cell_O2):
            offset[n, :, y, x] = value
        report.close(f"{theirs}_offset", offset, case.expected[f"target.{theirs}_offset"])
    for n in range(len(targets)):
        found = torch.stack([cell_O2[objects.image_O == n].flip(1) for cell_O2 in cells], dim=1)
        report.equal(f"corners.{n}", found, case.expected[f"target.corners.{n}"])


@torch.no_grad()
def compare_detections(report: Report, case: Case, model: CornerNet, images: Tensor) -> None:
    """Each image lies where the case means it to, and is as large as it says."""
    borders = [[int(value) for value in border] for border in case.info["pictures"]["border"]]
    begins = [(top, left) for top, _, left, _ in borders]
    sizes = [(bottom - top, right - left) for top, bottom, left, right in borders]
    for fast in (model, model.for_inference()):
        for n, found in enumerate(fast.decode(fast.raw(images), sizes, sizes, size_of(images), begins)):
            expected = {name: case.expected[f"detections.{n}.{name}"] for name in ("boxes", "scores", "labels")}
            report.same_set(f"detections.{n}", as_rows(found), expected)


GOLDEN = {"cornernet": Golden("mmdetection", run_mmdetection)}
