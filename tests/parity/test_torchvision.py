"""Side by side with torchvision on real pictures: its random weights, through our importer, give its outputs."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
import torchvision.models.detection as tv
from parity.golden import Report
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import FrozenBatchNorm2d

from cvzoo.data.images import read_image
from cvzoo.data.transforms import resize_image
from cvzoo.models.faster_rcnn import FasterRCNN, FasterRCNNConfig
from cvzoo.models.retinanet import RetinaNet, RetinaNetConfig
from cvzoo.ops.classes import classes_of
from cvzoo.structures import Batch, Target, size_of
from cvzoo.weights import dialects
from cvzoo.weights.keys import to_ours
from cvzoo.weights.strict import load_state

COCO = Path(os.environ.get("CVZOO_DATA", Path(__file__).parents[3] / "shared" / "data")) / "coco"
pytestmark = pytest.mark.skipif(not COCO.exists(), reason=f"real pictures are not at {COCO}")
SIZES = ((192, 256), (256, 192))


@cache
def batch() -> Batch:
    """Two validation pictures with COCO's boxes, resized here so that neither side resizes again."""
    truth = json.loads((COCO / "annotations" / "instances_val.json").read_text())
    ids = sorted(category["id"] for category in truth["categories"])
    pictures, targets = [], []
    for record, (h, w) in zip(truth["images"], SIZES):
        pictures.append(resize_image(read_image(COCO / "val" / record["file_name"]), (h, w)))
        objects = [a for a in truth["annotations"] if a["image_id"] == record["id"] and not a["iscrowd"]]
        xywh = torch.tensor([a["bbox"] for a in objects])
        scale = torch.tensor([w / record["width"], h / record["height"]]).repeat(2)
        boxes = torch.cat([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], dim=1) * scale
        targets.append(Target(boxes, torch.tensor([ids.index(a["category_id"]) for a in objects])))
    images = torch.zeros(2, 3, 256, 256, dtype=torch.uint8)
    for image, picture in zip(images, pictures):
        image[:, : picture.shape[1], : picture.shape[2]] = picture
    return Batch(images, list(SIZES), list(SIZES), targets, [0, 1])


def theirs_of(batch: Batch, class_ids: tuple[int, ...], shift: int) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """The batch as torchvision takes it: pictures in 0..1, labels are network outputs (shift 1: 0 is background)."""
    outputs = {label: output for output, label in enumerate(class_ids) if label >= 0}
    pictures = [image[:, :h, :w].float() / 255 for image, (h, w) in zip(batch.images, batch.sizes)]
    targets = [
        {"boxes": t.boxes, "labels": torch.tensor([outputs[int(label)] + shift for label in t.labels])}
        for t in batch.targets
    ]
    return pictures, targets


def randomise(model: nn.Module, last: nn.Module, spread: float, pictures: list[Tensor]) -> None:
    """Weights for which activations stay small, and scores of the `last` layer that differ enough to be ordered."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, (FrozenBatchNorm2d, nn.BatchNorm2d)):
            module.weight.data.uniform_(0.2, 0.5, generator=generator)
            module.bias.data.uniform_(-0.1, 0.1, generator=generator)
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.uniform_(-0.1, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    for name, parameter in model.named_parameters():
        if "bbox" in name and name.endswith("weight"):
            # boxes that hardly leave their anchors overlap by round fractions, and NMS hangs on the last bit
            parameter.data.mul_(10)
    seen: list[Tensor] = []
    handle = last.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    with torch.no_grad():
        model.eval()(pictures)
        last.weight.mul_(spread / seen[0].std())  # type: ignore[operator]
    handle.remove()


def compare_detections(report: Report, found: list[dict[str, Tensor]], ours, class_ids: tuple[int, ...], shift: int):
    for n, (theirs, prediction) in enumerate(zip(found, ours)):
        labels = classes_of(theirs["labels"] - shift, class_ids)
        known = labels >= 0
        expected = {"boxes": theirs["boxes"][known], "scores": theirs["scores"][known], "labels": labels[known]}
        assert known.sum() > 5, "too few detections to say anything"
        actual = {"boxes": prediction.boxes, "scores": prediction.scores, "labels": prediction.labels}
        report.same_set(f"detections {n}", actual, expected)


def frozen_backbone(**options):
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

    backbone = resnet_fpn_backbone(backbone_name="resnet50", weights=None, trainable_layers=3, **options)
    for module in backbone.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.eps = 0.0  # as torchvision does when it loads COCO_V1
    return backbone


def torchvision_retinanet(version: str) -> tuple[nn.Module, RetinaNetConfig]:
    fixed = {"min_size": 192, "max_size": 256}
    if version == "v2":
        model = tv.retinanet_resnet50_fpn_v2(weights=None, weights_backbone=None, **fixed)
        return model, dialects.retinanet_torchvision_v2()
    model = tv.retinanet_resnet50_fpn(weights=None, weights_backbone=None, **fixed)
    from torchvision.ops.feature_pyramid_network import LastLevelP6P7

    extra = LastLevelP6P7(256, 256)
    model.backbone = frozen_backbone(returned_layers=[2, 3, 4], extra_blocks=extra)
    return model, dialects.retinanet_torchvision()


def torchvision_faster_rcnn(version: str) -> tuple[nn.Module, FasterRCNNConfig]:
    # samples exceed the candidates, so that no random choice is left to differ in
    fixed = {"min_size": 192, "max_size": 256, "rpn_batch_size_per_image": 10**6, "box_batch_size_per_image": 10**6}
    # few candidates: of many thousand pairs of random boxes some have an IoU that hangs on the last bit
    fixed |= {"rpn_pre_nms_top_n_train": 100, "rpn_pre_nms_top_n_test": 50}
    fixed |= {"rpn_post_nms_top_n_train": 200, "rpn_post_nms_top_n_test": 100}
    fixed |= {"box_detections_per_img": 10**6}  # scores of a random head nearly tie, and a limit would cut between them
    if version == "v2":
        model = tv.fasterrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None, **fixed)
        config = dialects.faster_rcnn_torchvision_v2()
    else:
        model = tv.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, **fixed)
        model.backbone = frozen_backbone()
        config = dialects.faster_rcnn_torchvision()
    # every anchor and proposal may be sampled, whatever its sign
    limits = {"pre_nms_train": 100, "pre_nms_test": 50, "post_nms_train": 200, "post_nms_test": 100}
    rpn = replace(config.rpn, samples=2 * 10**6, positive_fraction=0.5, **limits)
    detect = replace(config.box_head.detect, detections=10**6)
    box_head = replace(config.box_head, samples=4 * 10**6, positive_fraction=0.25, detect=detect)
    return model, replace(config, rpn=rpn, box_head=box_head)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_retinanet(version: str) -> None:
    theirs, config = torchvision_retinanet(version)
    images = batch()
    pictures, targets = theirs_of(images, config.class_ids, shift=0)
    randomise(theirs, theirs.head.classification_head.cls_logits, 0.7, pictures)  # type: ignore[union-attr,arg-type]
    ours, report = RetinaNet(config), Report()
    load_state(ours, to_ours(theirs.state_dict()), "torchvision")

    theirs.train()
    ours.train()
    with torch.no_grad():
        expected, losses = theirs(pictures, targets), ours(images)
    report.close("loss_cls", losses["loss_cls"], expected["classification"])
    report.close("loss_box", losses["loss_box"], expected["bbox_regression"])

    theirs.eval()
    ours.eval()
    load_state(ours, to_ours(theirs.state_dict()), "torchvision")
    with torch.no_grad():
        canvas, _ = theirs.transform(pictures)  # type: ignore[operator]
        head = theirs.head(list(theirs.backbone(canvas.tensors).values()))  # type: ignore[operator]
        normalised = ours.config.pixels(images.images, images.sizes)
        raw = ours.raw(normalised)
    report.close("images", normalised, canvas.tensors)
    flat = [torch.cat([x.permute(0, 2, 3, 1).flatten(1) for x in levels], 1) for levels in raw]
    report.close("logits", flat[0], head["cls_logits"].flatten(1))
    report.close("deltas", flat[1], head["bbox_regression"].flatten(1))
    compare_detections(report, theirs(pictures), ours.predict(images), config.class_ids, shift=0)  # type: ignore[operator]
    report.finish()


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_faster_rcnn(version: str) -> None:
    theirs, config = torchvision_faster_rcnn(version)
    images = batch()
    pictures, targets = theirs_of(images, config.class_ids, shift=1)
    randomise(theirs, theirs.roi_heads.box_predictor.cls_score, 4.0, pictures)  # type: ignore[union-attr,arg-type]
    ours, report = FasterRCNN(config), Report()
    load_state(ours, to_ours(theirs.state_dict()), "torchvision")

    theirs.train()
    ours.train()
    with torch.no_grad():
        expected, losses = theirs(pictures, targets), ours(images)
    names = {"loss_objectness": "loss_rpn_cls", "loss_rpn_box_reg": "loss_rpn_box"}
    names |= {"loss_classifier": "loss_cls", "loss_box_reg": "loss_box"}
    for reference, name in names.items():
        report.close(name, losses[name], expected[reference])

    theirs.eval()
    ours.eval()
    load_state(ours, to_ours(theirs.state_dict()), "torchvision")
    with torch.no_grad():
        canvas, _ = theirs.transform(pictures)  # type: ignore[operator]
        features = theirs.backbone(canvas.tensors)  # type: ignore[operator]
        objectness, deltas = theirs.rpn.head(list(features.values()))  # type: ignore[union-attr,operator]
        boxes, _ = theirs.rpn(ImageList(canvas.tensors, canvas.image_sizes), features)  # type: ignore[operator]
        ours_features = ours.features(ours.config.pixels(images.images, images.sizes))
        raw = ours.rpn(ours_features)
        proposals = ours.rpn.propose(raw, images.sizes, size_of(canvas.tensors))
    for level in range(len(objectness)):
        report.close(f"objectness {level}", raw.logits[level], objectness[level])
        report.close(f"rpn deltas {level}", raw.deltas[level], deltas[level])
    for n, (actual, wanted) in enumerate(zip(proposals, boxes)):
        score = torch.ones(len(wanted))
        report.same_set(
            f"proposals {n}",
            {"boxes": actual.boxes, "scores": torch.ones(len(actual.boxes))},
            {"boxes": wanted, "scores": score},
        )
    compare_detections(report, theirs(pictures), ours.predict(images), config.class_ids, shift=1)  # type: ignore[operator]
    report.finish()
