"""How cases of networks for semantic segmentation are compared, as mmsegmentation and detectron2 have them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from parity.compare import compare_mmdet_gradients, compare_training, key_map, tolerance
from parity.config_mmseg import check_windows
from parity.golden import Case, Report
from parity.logits import logits_of_images
from torch import Tensor, nn

from cvzoo.structures import Batch, Sample, Target, size_of

ConfigOf = Callable[[dict[str, Any]], Any]
"""From what a case states to the model's config."""
LOSSES = {"decode.loss_ce": "loss_seg", "aux.loss_ce": "loss_aux"}
"""mmsegmentation's name of each loss and ours."""


def run_mmsegmentation(case: Case, *, config_of: ConfigOf) -> Report:
    canvas = case.info["model"]["data_preprocessor"].get("size")
    report, batch = Report(case.info["tolerance"]["relative"]), semantic_batch(case, "gt_label_map", canvas)
    check_windows(case.info["model"], batch.sizes)
    model = case.model(config_of(case.info))
    images = model.config.pixels(batch.images, batch.sizes)
    report.close("preprocessed", images[:, :, ::16, ::16], case.expected["preprocessed"])
    model.eval()
    with torch.no_grad():
        features = model.backbone(images)
        report.close("backbone.last", features[3][:, :32], case.expected["backbone.last"])
        if model.aux_head is not None:
            report.close("head.aux_logits", model.aux_head(features[:3]), case.expected["head.aux_logits"])
    names = ("logits_every_4th.{}", "label_map.{}")
    for fast, ties in ((model, 0.0), (model.for_inference(), report.relative)):
        report.close("head.logits", fast.raw(images).logits, case.expected["head.logits"])
        compare_label_maps(report, case, fast, batch, names, report.relative, ties)
    for step in ("eval_bn.", "train_bn."):
        compare_losses(report, case, model, batch, step)
    return report


def run_detectron2(case: Case, *, config_of: ConfigOf) -> Report:
    sizes = [(h, w) for h, w in (image["output_size"] for image in case.info["images"])]
    report, batch = Report(), replace(semantic_batch(case, "sem_seg"), original_sizes=sizes)
    model = case.model(config_of(case.info))
    model.eval()
    images = model.config.pixels(batch.images, batch.sizes)
    with torch.no_grad():
        c2, _, _, c5 = model.backbone(images)
    for name, actual in (("res2", c2), ("res5", c5)):
        if f"eval.features.{name}" in case.expected:
            report.close(name, actual, case.expected[f"eval.features.{name}"], tolerance(case, "eval.features"))
    names = ("eval.sem_seg.{}.logits_every_4th", "eval.sem_seg.{}.labels")
    relative = tolerance(case, "eval.sem_seg")
    for fast, ties in ((model, 0.0), (model.for_inference(), relative)):
        logits = fast.raw(images).logits
        report.close("predictor", logits, case.expected["eval.predictor"], tolerance(case, "eval.predictor"))
        compare_label_maps(report, case, fast, batch, names, relative, ties)
    compare_training(report, case, model, model.train()(batch), {"loss_sem_seg": "loss_seg"})
    buffers, keys = dict(model.named_buffers()), key_map(case, model.config)
    for key, value in case.expected.items():
        if key.startswith("train.buffer_after."):
            actual = buffers[keys[key.removeprefix("train.buffer_after.")]]
            report.close(key, actual, value, tolerance(case, "train.buffer_after"))
    return report


def semantic_batch(case: Case, labels: str, canvas: list[int] | None = None) -> Batch:
    """The case's images (RGB) with their label maps, on a canvas as large as stated or as they are."""
    samples = []
    for n in range(sum(key.endswith(".image") for key in case.inputs)):
        image = case.inputs[f"{n}.image"]
        target = replace(Target.empty(), label_map=case.inputs[f"{n}.{labels}"])
        samples.append(Sample(image, target, n, size_of(image)))
    return Batch.collate(samples, (canvas[0], canvas[1]) if canvas else None)


def compare_label_maps(
    report: Report, case: Case, model: Any, batch: Batch, names: tuple[str, str], relative: float, ties: float
) -> None:
    """Logits of the original images' pixels, and the best class of each.

    Two best logits that differ by less than `ties` of the largest one are a tie, which folded norms may turn.
    """
    for n, (own, found) in enumerate(zip(logits_of_images(model, batch), model.predict(batch), strict=True)):
        every_4th, labels = (case.expected[name.format(n)] for name in names)
        report.close(names[0].format(n), own[:, ::4, ::4], every_4th, relative)
        best, second = own.topk(2, dim=0).values
        clear = best - second >= ties * own.abs().max()
        report.equal(names[1].format(n), found.labels[clear], labels[clear])


def compare_losses(report: Report, case: Case, model: Any, batch: Batch, step: str) -> None:
    """Losses and gradients of a training step, for eval_bn. with the running statistics."""
    model.train()
    if step == "eval_bn.":
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
    model.zero_grad()
    losses: dict[str, Tensor] = model(batch)
    expected = {key for key in case.expected if key.startswith(f"{step}loss.")} - {f"{step}loss.total"}
    assert expected == {f"{step}loss.{theirs}" for theirs, ours in LOSSES.items() if ours in losses}
    for theirs, ours in LOSSES.items():
        if ours in losses:
            report.close(f"{step}{theirs}", losses[ours].detach(), case.expected[f"{step}loss.{theirs}"])
    total = torch.stack(list(losses.values())).sum()
    report.close(f"{step}total", total.detach(), case.expected[f"{step}loss.total"])
    total.backward()
    compare_mmdet_gradients(report, case, model, step)
