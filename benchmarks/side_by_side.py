"""torchvision's models beside ours, with the same weights and pictures."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Literal

import torch
import torchvision.models.detection as tv
from common import DATA
from torch import Tensor, nn
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops import FrozenBatchNorm2d
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from cvzoo.data.images import read_image
from cvzoo.data.shapes import draw
from cvzoo.data.transforms import resize
from cvzoo.models.faster_rcnn import FasterRCNN
from cvzoo.models.retinanet import RetinaNet
from cvzoo.structures import Batch, Sample, Size, Target
from cvzoo.weights import dialects
from cvzoo.weights.keys import to_ours
from cvzoo.weights.strict import load_state

System = Literal["retinanet", "faster_rcnn"]


def picture(size: Size) -> Sample:
    """A real validation picture with its boxes where there is one, else a drawn one, stretched to `size`."""
    folder = DATA / "coco"
    if not folder.exists():
        return draw(*size, objects=8, seed=0)
    truth = json.loads((folder / "annotations" / "instances_val.json").read_text())
    counts = [sum(a["image_id"] == image["id"] for a in truth["annotations"]) for image in truth["images"]]
    record = truth["images"][counts.index(max(counts))]
    ids = sorted(category["id"] for category in truth["categories"])
    objects = [a for a in truth["annotations"] if a["image_id"] == record["id"] and not a["iscrowd"]]
    boxes = torch.tensor([a["bbox"] for a in objects])
    boxes[:, 2:] += boxes[:, :2]
    target = Target(boxes, torch.tensor([ids.index(a["category_id"]) for a in objects]))
    image = read_image(folder / "val" / record["file_name"])
    return resize(Sample(image, target, record["id"], size), size)


def pair(system: System, batch: Batch, seed: int = 0) -> tuple[nn.Module, nn.Module]:
    """torchvision's R-50-FPN with frozen BN and random weights, and ours with the same weights, both in eval mode.

    The last classification layer is scaled so that scores on `batch` spread and there are candidates to sort out.
    """
    torch.manual_seed(seed)
    spread = 0.5 if system == "retinanet" else 2.0  # RetinaNet has millions of scores, some 5000 shall pass
    sides = {"min_size": min(batch.sizes[0]), "max_size": max(batch.sizes[0])}  # leave the picture as it is
    if system == "retinanet":
        theirs = tv.retinanet_resnet50_fpn(weights=None, weights_backbone=None, **sides)
        theirs.backbone = _backbone(returned_layers=[2, 3, 4], extra_blocks=LastLevelP6P7(256, 256))
        last, ours = (
            theirs.get_submodule("head.classification_head.cls_logits"),
            RetinaNet(dialects.retinanet_torchvision()),
        )
    else:
        theirs = tv.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, **sides)
        theirs.backbone = _backbone()
        last, ours = (
            theirs.get_submodule("roi_heads.box_predictor.cls_score"),
            FasterRCNN(dialects.faster_rcnn_torchvision()),
        )
    seen: list[Tensor] = []
    handle = last.register_forward_hook(lambda _module, _inputs, output: seen.append(output.detach()))  # type: ignore[operator]
    with torch.no_grad():
        theirs.eval()([image[:, :h, :w].float() / 255 for image, (h, w) in zip(batch.images, batch.sizes)])
        last.weight.mul_(spread / seen[0].std())  # type: ignore[union-attr,operator]
    handle.remove()  # type: ignore[union-attr]
    load_state(ours, to_ours(theirs.state_dict()), "torchvision")
    return theirs, ours.eval()


def _backbone(**options: Any) -> nn.Module:
    """ResNet-50 whose frozen BN scales keep activations near 1, as trained ones do."""
    backbone = resnet_fpn_backbone(backbone_name="resnet50", weights=None, trainable_layers=3, **options)
    for module in backbone.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.eps = 0.0
            nn.init.constant_(module.weight, 0.5)  # type: ignore[arg-type]
    return backbone


def batch_of(samples: list[Sample]) -> Batch:
    return Batch.collate([replace(sample, original_size=sample.size) for sample in samples])


def torchvision_inputs(batch: Batch, class_ids: tuple[int, ...], shift: int) -> tuple[list[Tensor], list[dict]]:
    """The same pictures in 0..1 and targets with torchvision's labels (shift 1: 0 is the background)."""
    outputs = torch.tensor([class_ids.index(label) for label in range(80)])
    pictures = [image[:, :h, :w].float() / 255 for image, (h, w) in zip(batch.images, batch.sizes)]
    targets = [{"boxes": t.boxes, "labels": outputs[t.labels] + shift} for t in batch.targets]
    return pictures, targets
