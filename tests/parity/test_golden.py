"""Every golden case of an implemented system, built from its case.json alone and loaded through the importer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from parity import config_detectron2, config_mmdet
from parity.golden import Case, Report, case_names, load_case
from torch import Tensor, nn

from cvzoo.models.faster_rcnn import FasterRCNN
from cvzoo.models.retinanet import RetinaNet
from cvzoo.ops.anchors import per_anchor
from cvzoo.ops.assigners import IGNORED
from cvzoo.ops.boxes import encode_boxes
from cvzoo.structures import Batch, Prediction, Target, size_of
from cvzoo.weights.load import load_state, to_ours


def batch_of(case: Case, labels: str, original_sizes: list[tuple[int, int]] | None = None, bgr: bool = False) -> Batch:
    """The case's pictures (RGB) on one canvas, with their ground truth."""
    count = sum(key.endswith(".image") for key in case.inputs)
    pictures = [case.inputs[f"{n}.image"] for n in range(count)]
    sizes = [size_of(picture) for picture in pictures]
    images = torch.zeros(count, 3, max(h for h, _ in sizes), max(w for _, w in sizes), dtype=torch.uint8)
    for image, picture, (h, w) in zip(images, pictures, sizes):
        image[:, :h, :w] = picture.flip(0) if bgr else picture
    targets = [Target(case.inputs[f"{n}.gt_boxes"], case.inputs[f"{n}.{labels}"]) for n in range(count)]
    return Batch(images, sizes, original_sizes or sizes, targets, list(range(count)))


def detectron2_batch(case: Case) -> Batch:
    originals = [(h, w) for h, w in (image["output_size"] for image in case.info["images"])]
    return batch_of(case, "gt_classes", originals, bgr=case.info["options"]["INPUT.FORMAT"] == "BGR")


def key_map(case: Case) -> dict[str, str]:
    """The reference's key of each tensor to ours, read off the importer: it passes the tensors themselves on."""
    ours = {id(tensor): key for key, tensor in to_ours(dict(case.weights)).items()}
    return {key: ours[id(tensor)] for key, tensor in case.weights.items() if id(tensor) in ours}


def tolerance(case: Case, group: str) -> float:
    """The case's own rule: 1e-4 (gradients 1e-3), or three times its sensitivity to weight noise where that is more."""
    base = 1e-3 if ".grad" in group else case.info["tolerance"]["relative"]
    return max(base, 3 * (case.info["sensitivity_to_weight_noise_of_1e-7"].get(group) or 0))


def as_rows(prediction: Prediction) -> dict[str, Tensor]:
    return {"boxes": prediction.boxes, "scores": prediction.scores, "labels": prediction.labels}


def compare_detections(report: Report, case: Case, predictions: list[Prediction], relative: float) -> None:
    for n, prediction in enumerate(predictions):
        prefix = f"eval.detections.{n}"
        expected = {"boxes": case.expected[f"{prefix}.boxes"], "scores": case.expected[f"{prefix}.scores"]}
        expected["labels"] = case.expected[f"{prefix}.classes"]
        report.same_set(prefix, as_rows(prediction), expected, relative)


def compare_training(report: Report, case: Case, model: nn.Module, losses: dict[str, Tensor], names: dict) -> None:
    """Losses, the norm of every gradient, and the gradients stored in full."""
    expected = {key for key in case.expected if key.startswith("train.loss.")}
    assert expected == {f"train.loss.{name}" for name in names}
    for reference, ours in names.items():
        report.close(
            reference, losses[ours].detach(), case.expected[f"train.loss.{reference}"], tolerance(case, "train.loss")
        )
    torch.stack(list(losses.values())).sum().backward()
    parameters, keys = dict(model.named_parameters()), key_map(case)
    trained = {key for key, parameter in parameters.items() if parameter.requires_grad}
    wanted = {keys[k.removeprefix("train.grad_norm.")] for k in case.expected if k.startswith("train.grad_norm.")}
    assert trained == wanted, f"trained here or there only: {sorted(trained ^ wanted)}"
    for key, value in case.expected.items():
        if key.startswith("train.grad_norm."):
            grad = parameters[keys[key.removeprefix("train.grad_norm.")]].grad
            assert grad is not None, key
            report.close(key, grad.norm(), value, tolerance(case, "train.grad_norm"))
        elif key.startswith("train.grad."):
            grad = parameters[keys[key.removeprefix("train.grad.")]].grad
            assert grad is not None, key
            report.close(key, grad, value, tolerance(case, "train.grad"))


def compare_levels(report: Report, case: Case, prefix: str, levels: list[Tensor], group: str) -> None:
    expected = case.group(prefix)
    assert len(expected) == len(levels)
    for level, (actual, value) in enumerate(zip(levels, expected)):
        report.close(f"{prefix}.{level}", actual, value, tolerance(case, group))


def run_retinanet(case: Case) -> Report:
    """RetinaNet as detectron2 has it."""
    report, batch = Report(), detectron2_batch(case)
    model = RetinaNet(config_detectron2.retinanet(case.info))
    load_state(model, to_ours(case.weights), case.name)
    losses = model.train()(batch)
    compare_training(report, case, model, losses, {"loss_cls": "loss_cls", "loss_box_reg": "loss_box"})
    model.eval()
    images = model.config.pixels(batch.images, batch.sizes)
    with torch.no_grad():
        features = model.neck(model.backbone(images))
        raw = model.head(features)
    for level, actual in enumerate(features, start=3):
        report.close(f"p{level}", actual, case.expected[f"eval.features.p{level}"], tolerance(case, "eval.features"))
    compare_levels(report, case, "eval.head.logits", raw.logits, "eval.head")
    compare_levels(report, case, "eval.head.deltas", raw.deltas, "eval.head")
    positives = sum(m.positive_A.sum() for m in assignments(model, raw, batch))
    report.close("positives", torch.as_tensor(positives / len(batch)), case.expected["train.logged.num_pos_anchors"])
    for fast in (model, model.for_inference()):
        compare_detections(report, case, fast.predict(batch), tolerance(case, "eval.detections"))
    return report


def assignments(model: RetinaNet, raw, batch: Batch):
    canvas = size_of(model.config.pixels(batch.images, batch.sizes))
    anchors = torch.cat(model.anchors(raw, canvas))
    return [model.assign(anchors, target, model.valid(raw, size)) for target, size in zip(batch.targets, batch.sizes)]


def run_faster_rcnn(case: Case) -> Report:
    """Faster R-CNN with a pyramid as detectron2 has it."""
    report, batch = Report(), detectron2_batch(case)
    model = FasterRCNN(config_detectron2.faster_rcnn(case.info))
    load_state(model, to_ours(case.weights), case.name)
    model.train()
    images = model.config.pixels(batch.images, batch.sizes)
    with torch.no_grad():
        proposals = model.rpn.propose(model.raw(images), batch.sizes, size_of(images))
    compare_proposals(report, case, "train.proposals", proposals)
    names = {"loss_rpn_cls": "loss_rpn_cls", "loss_rpn_loc": "loss_rpn_box"}
    names |= {"loss_cls": "loss_cls", "loss_box_reg": "loss_box"}
    compare_training(report, case, model, model(batch), names)
    model.eval()
    with torch.no_grad():
        features = model.features(images)
        raw = model.rpn(features)
        stored = [case.expected[f"eval.proposals.{n}.proposal_boxes"] for n in range(len(batch))]
        outputs = model.box_outputs(features, stored)
    for level, actual in enumerate(features, start=2):
        report.close(f"p{level}", actual, case.expected[f"eval.features.p{level}"], tolerance(case, "eval.features"))
    compare_levels(report, case, "eval.rpn_head.objectness", raw.logits, "eval.rpn_head")
    compare_levels(report, case, "eval.rpn_head.deltas", raw.deltas, "eval.rpn_head")
    compare_proposals(report, case, "eval.proposals", model.rpn.propose(raw, batch.sizes, size_of(images)))
    # fed with the stored proposals, rows keep their places and the plain tolerance holds
    report.close("box_predictor.scores", outputs.logits, case.expected["eval.box_predictor.scores"])
    report.close("box_predictor.deltas", outputs.deltas, case.expected["eval.box_predictor.deltas"])
    for fast in (model, model.for_inference()):
        compare_detections(report, case, fast.predict(batch), tolerance(case, "eval.detections"))
    return report


def compare_proposals(report: Report, case: Case, prefix: str, proposals) -> None:
    """As sets, within the plain tolerance: weight noise only reorders rows of nearly equal score."""
    for n, found in enumerate(proposals):
        expected = {
            "boxes": case.expected[f"{prefix}.{n}.proposal_boxes"],
            "scores": case.expected[f"{prefix}.{n}.objectness_logits"],
        }
        report.same_set(f"{prefix}.{n}", {"boxes": found.boxes, "scores": found.logits}, expected)


def run_retinanet_mmdet(case: Case) -> Report:
    """RetinaNet as mmdetection has it."""
    limits = case.info["tolerance"]
    report, batch = Report(limits["relative"]), batch_of(case, "gt_labels")
    model = RetinaNet(config_mmdet.retinanet(case.info))
    load_state(model, to_ours(case.weights), case.name)
    images = model.config.pixels(batch.images, batch.sizes)
    report.close("preprocessed", images[:, :, ::16, ::16], case.expected["preprocessed"])
    compare_mmdet_losses(report, case, model, batch)
    keys, parameters = key_map(case), dict(model.named_parameters())
    norms = [parameters[keys[name]].grad.norm() for name in case.info["grad_norm_names"]]  # type: ignore[union-attr]
    report.close("grad_norm", torch.stack(norms), case.expected["grad_norm"], limits["grad_relative"])
    for key, value in case.expected.items():
        if key.startswith("grad."):
            grad = parameters[keys[key.removeprefix("grad.")]].grad
            assert grad is not None, key
            report.close(key, grad, value, limits["grad_relative"])
    model.eval()
    with torch.no_grad():
        features = model.neck(model.backbone(images))
        raw = model.head(features)
    for level, actual in enumerate(features):
        if f"neck.{level}" in case.expected:
            report.close(f"neck.{level}", actual, case.expected[f"neck.{level}"])
        report.close(f"cls.{level}", raw.logits[level], case.expected[f"head.cls.{level}"])
        report.close(f"deltas.{level}", raw.deltas[level], case.expected[f"head.deltas.{level}"])
    compare_mmdet_targets(report, case, model, raw, batch)
    for fast in (model, model.for_inference()):
        for n, prediction in enumerate(fast.predict(batch)):
            expected = {name: case.expected[f"detections.{n}.{name}"] for name in ("boxes", "scores", "labels")}
            report.same_set(f"detections.{n}", as_rows(prediction), expected)
    return report


def compare_mmdet_losses(report: Report, case: Case, model: RetinaNet, batch: Batch) -> None:
    """With all ground truth (leaving its gradients behind), and with none in picture 1."""
    model.train()
    empty = Batch(batch.images, batch.sizes, batch.original_sizes, [batch.targets[0], Target.empty()], batch.image_ids)
    with torch.no_grad():
        without = model(empty)
    losses = model(batch)
    for prefix, found in (("loss", losses), ("no_objects.loss", without)):
        report.close(f"{prefix}_cls", found["loss_cls"].detach(), case.expected[f"{prefix}.loss_cls"])
        report.close(f"{prefix}_bbox", found["loss_box"].detach(), case.expected[f"{prefix}.loss_bbox"])
        total = torch.stack(list(found.values())).sum()
        report.close(f"{prefix}_total", total.detach(), case.expected[f"{prefix}.total"])
    torch.stack(list(losses.values())).sum().backward()


def compare_mmdet_targets(report: Report, case: Case, model: RetinaNet, raw, batch: Batch) -> None:
    config = model.config
    matches = assignments(model, raw, batch)
    anchors = torch.cat(model.anchors(raw, size_of(config.pixels(batch.images, batch.sizes))))
    labels = torch.stack([m.labels(t.labels) for m, t in zip(matches, batch.targets)])
    deltas = torch.zeros(*labels.shape, 4)
    for row, match, target in zip(deltas, matches, batch.targets):
        positive = match.positive_A
        row[positive] = encode_boxes(target.boxes[match.index_A[positive]], anchors[positive], config.box_weights)
    sizes = [per_anchor(x, 4).shape[1] for x in raw.deltas]
    for level, (label, delta) in enumerate(zip(labels.split(sizes, 1), deltas.split(sizes, 1))):
        background = torch.where(label < 0, config.num_classes, label)
        report.equal(f"labels.{level}", background, case.expected[f"target.labels.{level}"])
        report.equal(f"weights.{level}", label != IGNORED, case.expected[f"target.label_weights.{level}"])
        report.close(f"deltas.{level}", delta, case.expected[f"target.deltas.{level}"])


RUNNERS: dict[str, Callable[[Case], Report]] = {
    "retinanet": run_retinanet,
    "retinanet_mmdet": run_retinanet_mmdet,
    "faster_rcnn": run_faster_rcnn,
}
OPERATORS = ("ops", "ops_mmlab", "ops_tree_filter")  # test_golden_ops.py


def not_yet(case: Case) -> str | None:
    """Why a case cannot be expected to pass: its system is not in the zoo yet."""
    if case.name.split("/")[0] not in RUNNERS:
        return "system not implemented yet"
    heads = case.info.get("options", {}).get("MODEL", {}).get("ROI_HEADS", {}).get("NAME")
    return "Faster R-CNN C4 is not implemented yet" if heads == "Res5ROIHeads" else None


@pytest.mark.parametrize("name", [name for name in case_names() if name.split("/")[0] not in OPERATORS])
def test_golden_case(name: str) -> None:
    case = load_case(name)
    if reason := not_yet(case):
        pytest.skip(reason)
    RUNNERS[name.split("/")[0]](case).finish()
