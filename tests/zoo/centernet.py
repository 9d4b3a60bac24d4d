"""CenterNet's facts, and how its golden cases are compared; see zoo/systems.py."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from parity.compare import as_rows, batch_of, compare_mmdet_gradients, compare_mmdet_losses
from parity.golden import Case, Report
from parity.options import Options, must_be
from torch import Tensor, nn
from zoo.dense import narrow_body
from zoo.systems import Fits, Golden

from cvzoo.nn.deconv import DeconvConfig
from cvzoo.nn.dla_up import DLAUpConfig
from cvzoo.nn.hourglass import HourglassConfig
from cvzoo.nn.pixels import Pixels
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.nn.timm_backbone import TimmConfig
from cvzoo.parts.heatmap.frame import Frame
from cvzoo.structures import Batch, Target, size_of
from cvzoo.zoo.centernet.model import CenterNet, CenterNetConfig, Truth

ROW, DCN, HOURGLASS = "centernet_r18_512", "centernet_r18_dcn_512", "centernet_hourglass104_512"
DLA = "centernet_dla34_512"
UNUSED = 64 * 128 + 2 * 128 + 128 * 256 + 2 * 256
"""In the authors' DLA-34: convolutions, and their norms, whose outputs nobody takes."""
PARAMETERS = {ROW: 14_219_092, DCN: 14_436_901, DLA: 19_675_892 - UNUSED, HOURGLASS: 191_284_008}
MANIFESTS = {
    "mmlab/centernet_r18_8xb16-crop512-140e_coco": Fits(ROW),
    "mmlab/centernet_r18-dcnv2_8xb16-crop512-140e_coco": Fits(DCN),
}
LOSSES = {"loss_center_heatmap": "loss_heatmap", "loss_wh": "loss_size", "loss_offset": "loss_offset"}


def narrow(config: CenterNetConfig) -> CenterNetConfig:
    """The config of any row with few channels and three classes."""
    config = replace(config, num_classes=3, class_ids=(), head_channels=16)
    body = config.backbone
    if isinstance(body, HourglassConfig):
        body = replace(body, stem_channels=8, channels=(16, 16, 24), blocks=(1, 1, 2), width=16, norm="frozen")
        return replace(config, backbone=body, frame=Frame(mask=15))
    if body == TimmConfig(name="dla34", norm="batch"):
        body = TimmConfig(name="dla46_c")  # the smallest of its kind
    if isinstance(config.neck, DLAUpConfig):
        return replace(config, backbone=narrow_body(body), neck=replace(config.neck, norm="frozen"))
    assert config.neck is not None
    neck = replace(config.neck, channels=(16, 16, 8), norm="frozen")
    return replace(config, backbone=narrow_body(body), neck=neck)


def from_mmdetection(case: dict[str, Any]) -> CenterNetConfig:
    """The config of a case of mmdetection."""
    model: Options = case["model"]
    head, test = model["bbox_head"], model["test_cfg"]
    model.without_effect({"backbone.init_cfg": "the case has weights"})
    must_be(model, type="CenterNet", train_cfg=None)
    must_be(head, type="CenterNetHead")
    must_be(head["loss_center_heatmap"], type="GaussianFocalLoss", loss_weight=1)
    must_be(head["loss_wh"], type="L1Loss")
    must_be(head["loss_offset"], type="L1Loss")
    must_be(test, topk=test["max_per_img"])  # which counts only where there is an NMS
    backbone = body_of(model["backbone"])
    neck = neck_of(model["neck"], backbone.channels[-1])
    must_be(head, in_channels=neck.channels[-1])
    return CenterNetConfig(
        num_classes=head["num_classes"],
        backbone=backbone,
        neck=neck,
        pixels=pixels_in(model["data_preprocessor"]),
        head_channels=head["feat_channels"],
        focal_alpha=head["loss_center_heatmap"].get("alpha", 2.0),
        focal_gamma=head["loss_center_heatmap"].get("gamma", 4.0),
        size_weight=head["loss_wh"]["loss_weight"],
        offset_weight=head["loss_offset"]["loss_weight"],
        peak_window=test["local_maximum_kernel"],
        detections=test["topk"],
        clip=False,
    )


def body_of(backbone: Options) -> ResNetConfig:
    must_be(backbone, type="ResNet", norm_cfg={"type": "BN"}, norm_eval=False)
    return ResNetConfig(
        depth=backbone["depth"],
        width=backbone["base_channels"],
        norm="batch",
        frozen_stages=backbone["frozen_stages"] + 1,
    )


def neck_of(neck: Options, in_channels: int) -> DeconvConfig:
    must_be(neck, type="CTResNetNeck", in_channels=in_channels)
    return DeconvConfig(
        channels=tuple(neck["num_deconv_filters"]),
        kernels=tuple(neck["num_deconv_kernels"]),
        conv="deform" if neck["use_dcn"] else "plain",
    )


def pixels_in(pixels: Options) -> Pixels:
    must_be(pixels, type="DetDataPreprocessor")
    return Pixels(
        mean=tuple(pixels["mean"]),
        std=tuple(pixels["std"]),
        bgr=not pixels["bgr_to_rgb"],
        divisor=pixels.get("pad_size_divisor", 1),
    )


def run_mmdetection(case: Case) -> Report:
    report, batch = Report(case.info["tolerance"]["relative"]), batch_of(case, "gt_labels")
    model = case.model(from_mmdetection(case.info))
    images = model.config.pixels(batch.images, batch.sizes)
    report.close("preprocessed", images[:, :, ::16, ::16], case.expected["preprocessed"])
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    compare_step(report, case, with_running_norms(model.train()), batch, "eval_bn.")
    with torch.no_grad():
        without = model(replace(batch, targets=[batch.targets[0], Target.empty()]))
    compare_mmdet_losses(report, case, without, LOSSES, "no_objects.loss.")
    compare_step(report, case, model.train(), batch, "train_bn.")
    model.load_state_dict(before)  # as the statistics of norms were before
    compare_outputs(report, case, model.eval(), batch)
    compare_targets(report, case, model, batch)
    return report


def with_running_norms(model: CenterNet) -> CenterNet:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    return model


def compare_step(report: Report, case: Case, model: CenterNet, batch: Batch, step: str) -> None:
    """Losses and gradients."""
    model.zero_grad()
    losses = model(batch)
    torch.stack(list(losses.values())).sum().backward()
    compare_mmdet_losses(report, case, losses, LOSSES, f"{step}loss.")
    compare_mmdet_gradients(report, case, model, step)


@torch.no_grad()
def compare_outputs(report: Report, case: Case, model: CenterNet, batch: Batch) -> None:
    """The map, what the head says of it, and detections, with each image where the case means it to lie."""
    images = model.config.pixels(batch.images, batch.sizes)
    assert model.neck is not None
    report.close("feature", model.neck(model.backbone(images)), case.expected["feature.0"])
    raw = model.raw(images)
    report.close("heatmap", raw.logits.sigmoid(), case.expected["head.heatmap.0"])
    report.close("wh", raw.sizes, case.expected["head.wh.0"])
    report.close("offset", raw.offsets, case.expected["head.offset.0"])
    corners = [(int(top), int(left)) for top, _, left, _ in case.info["pictures"]["border"]]
    for fast in (model, model.for_inference()):
        found = fast.decode(fast.raw(images), batch.sizes, batch.sizes, size_of(images), corners)
        for n, prediction in enumerate(found):
            expected = {name: case.expected[f"detections.{n}.{name}"] for name in ("boxes", "scores", "labels")}
            report.same_set(f"detections.{n}", as_rows(prediction), expected)


def compare_targets(report: Report, case: Case, model: CenterNet, batch: Batch) -> None:
    """Heat maps, and the dense maps of sizes and offsets that the reference makes."""
    canvas = size_of(model.config.pixels(batch.images, batch.sizes))
    heat = case.expected["target.center_heatmap_target"]
    truth = model.truth(batch.targets, canvas, size_of(heat))
    report.close("heat", truth.heat_NKHW, heat)
    report.close("peaks", (truth.heat_NKHW == 1).sum().float(), case.expected["target.avg_factor"])
    for name, rows_O2 in (
        ("wh_target", truth.sizes_O2),
        ("offset_target", truth.offsets_O2),
        ("wh_offset_target_weight", torch.ones_like(truth.sizes_O2)),
    ):
        expected = case.expected[f"target.{name}"]
        report.close(name, dense(truth, rows_O2, expected.shape), expected)


def dense(truth: Truth, rows_O2: Tensor, shape: torch.Size) -> Tensor:
    """(N, 2, H, W): rows of the objects that count, at their centres."""
    maps = torch.zeros(shape)
    keep = truth.counted_O == 1
    x_O, y_O = truth.cells_O2[keep].unbind(1)
    maps[truth.image_O[keep], :, y_O, x_O] = rows_O2[keep]
    return maps


GOLDEN = {"centernet": Golden("mmdetection", run_mmdetection)}
